"""From history to limits: forecast, price, buffer and the vectorised guards, for all rows that are due.

In: a `History`, rows and `now`. Out: `Recommendations` (hourly per row), `Raises` (at once) and limits
after hysteresis. `plimsoll replay limits` and the operator's engine call the same object. What it keeps
beside the history outlives a restart in three ways: limits in force, policies, pods and relatives are told
again; what models learned of a row, since when it is told needed memory, and where its objective's price was
steered to are in its checkpoint; the peak that the last forecast knew is read off the history. Whether an
open promise was followed is not kept: the hour that a restart falls into steers no price unless its limit is
told in force again.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from plimsoll.forecast.protocol import Outcome, PeakDistribution, PeakModel
from plimsoll.forecast.registry import DEFAULT_MODEL
from plimsoll.forecast.window import (
    BINS_PER_DAY,
    BINS_PER_HOUR,
    FloatArray,
    IntArray,
    UsageWindow,
    chunks,
    clipped,
    last_hour_peak,
    part_of,
    peak,
    present_bytes,
    read_window,
)
from plimsoll.guard.limits import (
    BoolArray,
    CodeArray,
    GuardSettings,
    LimitPlan,
    LimitReason,
    Raises,
    after_climb,
    after_oom,
    floor_by_use,
    remember_ooms,
    settle,
)
from plimsoll.recommend.buffer import (
    killed_at_bytes,
    next_shift,
    outcome,
    shifted,
    within_buffer,
)
from plimsoll.recommend.circumstances import Circumstances
from plimsoll.recommend.lessons import LessonBook
from plimsoll.recommend.objective import DEFAULT_OBJECTIVE, oom_price_of
from plimsoll.recommend.past import expected_usage, lifted, past_peak, quantiles, ready, typical_need
from plimsoll.recommend.price import LOWER_GAIN, RAISE_GAIN, Priced, cheapest, exceedance_at
from plimsoll.recommend.recommendation import Recommendations, joined
from plimsoll.recommend.relatives import Steps
from plimsoll.recommend.row_models import RowModels
from plimsoll.recommend.row_policy import PolicyColumns, RowPolicy
from plimsoll.recommend.steering import STEERED, Gains, PriceSteering, is_in_force
from plimsoll.usage.grown import grown
from plimsoll.usage.history import History
from plimsoll.usage.needed import LEARNED, NeededSince
from plimsoll.usage.promises import NO_PROMISE
from plimsoll.usage.sample import DAY_SECONDS, HOUR_SECONDS, round_up_float32

# Quantiles that are reported (and shown by `plimsoll explain`); the price looks at all of `LEVELS`.
REPORTED_LEVELS = np.array([0.5, 0.9, 0.95, 0.99, 0.999])
# The buffer is what the target has above this quantile of the uncalibrated forecast.
BUFFER_LEVEL = 0.95


@dataclass(frozen=True, slots=True)
class PipelineSettings:
    """How the pipeline decides. The defaults are those that were measured; see docs/decisions."""

    model: str = DEFAULT_MODEL
    objective: str = DEFAULT_OBJECTIVE  # for rows without a price of their own
    oom_price: float | None = (
        None  # container-days a kill is worth; given, it stands instead of the objective
    )
    guarded: bool = True  # False: no raise between two decisions (for comparison only)
    adaptive: bool = True  # False: the buffer does not follow broken promises (for comparison only)
    horizon_seconds: float = HOUR_SECONDS
    least_history_hours: int = 3  # a row that was first seen later than this is not ready
    ask_again_above: float = 1.02  # usage above this multiple of the known peak asks the model again
    floored: bool = True  # False: past peaks are no floor of a limit (for comparison only)
    lifted: bool = True  # False: a killed hour counts with what was seen of it (for comparison only)
    raise_gain: float = RAISE_GAIN
    lower_gain: float = LOWER_GAIN
    guard: GuardSettings = field(default_factory=GuardSettings)
    gains: Gains = field(default_factory=Gains)


class LimitPipeline:
    """The brain's whole path for the rows of one history."""

    def __init__(
        self,
        history: History,
        settings: PipelineSettings | None = None,
        model: PeakModel | None = None,
        models: Mapping[str, PeakModel] | None = None,
        lessons: LessonBook | None = None,
    ) -> None:
        """`models` stand in for those of the registry of the same name: a shell knows their answers.

        `lessons` are told of decisions and of what came of them.
        """
        self.history = history
        self._lessons = lessons
        self.settings = settings or PipelineSettings()
        price = self.settings.oom_price
        self._default_price = oom_price_of(self.settings.objective) if price is None else price
        self._limit_bytes = np.full(history.capacity, np.nan)
        self._policies = PolicyColumns()
        self._policies.grow(history.capacity)
        self._models = RowModels(self.settings.model, model, models)
        self._known_peak_bytes = np.full(history.capacity, np.nan)
        self._circumstances = Circumstances(history)
        self._steering = PriceSteering(self._policies, self.settings.gains)
        self._followed = np.zeros(history.capacity, dtype=np.bool_)
        self.needed = NeededSince()

    # -- what is told ---------------------------------------------------------------------------------------

    def observe_limits(self, rows: IntArray, limit_bytes: npt.ArrayLike) -> None:
        """The limits now in force, [n] bytes; NaN: none is set."""
        self._grow()
        self._limit_bytes[rows] = limit_bytes
        promised = self.history.promises.open(rows).limit_bytes
        self._followed[rows] |= is_in_force(promised, self._limit_bytes[rows])

    def observe_policies(self, rows: IntArray, policies: Sequence[RowPolicy]) -> None:
        """What their policies say about `rows` [n]."""
        self._grow()
        self._policies.put(rows, policies)

    def observe_relatives(self, steps: Mapping[int, Steps]) -> None:
        """What containers like these rows did (`recommend.relatives`); heard while a row is young."""
        self._circumstances.relatives.tell(steps)

    def observe_replicas(self, rows: IntArray, counts: IntArray) -> None:
        """So many live pods share each of `rows` [n] now (`recommend.replicas`)."""
        used = peak(self.history.five_minute(rows, 2).astype(np.float64))
        self._circumstances.replicas.observe(rows, counts, used, self.history.current_bin)

    def observe_start(self, rows: IntArray, started_seconds: float) -> Raises:
        """Processes of `rows` [n] began anew: remember, and raise at once to what such starts have needed."""
        self._grow()
        self.history.record_restart(rows, started_seconds)
        window = read_window(self.history, rows)
        wanted = self._circumstances.start_peak_bytes(window, rows) / self.settings.guard.climb_threshold
        raised = np.flatnonzero(wanted > self._limit_bytes[rows])
        return self._raises(rows[raised], wanted[raised], np.full(len(raised), LimitReason.START_UP))

    def observe_oom(
        self, rows: IntArray, now_seconds: float, limit_bytes: npt.ArrayLike | None = None
    ) -> Raises:
        """Kills happened at the limits in force (or at `limit_bytes` [n]): remember, and raise at once."""
        self._grow()
        limit = self._limit_bytes[rows] if limit_bytes is None else np.broadcast_to(limit_bytes, rows.shape)
        limit = np.asarray(limit, dtype=np.float64)
        usage = peak(self.history.five_minute(rows, 2).astype(np.float64))
        # A history rounds up: what is the limit, but for that, is cut off at it.
        seen = np.where(usage > round_up_float32(limit), usage, np.nan)
        self.history.record_oom(rows, now_seconds, limit, seen)
        raised = after_oom(limit, self.settings.guard)
        known = np.isfinite(raised)
        return self._raises(rows[known], raised[known], np.full(int(known.sum()), LimitReason.OOM_KILLED))

    def forget(self, rows: IntArray) -> None:
        """Rows were freed or given to another container."""
        self._grow()
        for column in (self._limit_bytes, self._known_peak_bytes):
            column[rows] = np.nan
        self._followed[rows] = False
        self._policies.clear(rows)
        self._circumstances.forget(rows)
        self.needed.forget(rows)
        if self._lessons is not None:
            self._lessons.forget(rows)
        self._models.forget(rows)

    def checkpoint(self, row: int) -> bytes:
        """A row's past with what models have learned of it beside the history."""
        named = self._models.learned(row)
        named |= {LEARNED: self.needed.learned(row), STEERED: self._steering.learned(row)}
        return self.history.checkpoint(row, {name: learned for name, learned in named.items() if learned})

    def restore(self, row: int, data: bytes, *, steered: bool = True) -> None:
        """Give a row its past, and models what they had learned of it. Raises `CheckpointError`.

        `steered` False: it may be another fleet's past, whose price says nothing of this one's.
        """
        for name, learned in self.history.restore(row, data).items():
            if name == LEARNED:
                self.needed.relearn(row, learned)
            elif name == STEERED and steered:
                self._steering.relearn(learned)
            self._models.relearn(row, name, learned)

    # -- what is asked --------------------------------------------------------------------------------------

    def decide(self, rows: IntArray, now_seconds: float) -> Recommendations:
        """Recommendations for `rows`, by chunks so that memory stays bounded; never NaN where ready."""
        rows = np.asarray(rows, dtype=np.int32)
        parts = list(chunks(len(rows))) or [slice(0)]
        return joined([self.decide_seen(self.look(rows[part], now_seconds), now_seconds) for part in parts])

    def look(self, rows: IntArray, now_seconds: float) -> UsageWindow:
        """What a decision about `rows`, a chunk at the most, looks at."""
        self._grow()
        self.history.advance(now_seconds)
        return read_window(self.history, np.asarray(rows, dtype=np.int32))

    def decide_seen(self, window: UsageWindow, now_seconds: float) -> Recommendations:
        """`decide` about the rows of a window that `look` has just read: for whoever looks at it, too.

        What was promised an hour ago is closed, and promised anew.
        """
        if window.rows is None:
            raise ValueError("a decision is about rows of the history, and this window is of none")
        self._close_promises(window.rows)
        return self._recommend(window.rows, window, now_seconds, promise=True)

    def settle(self, recommendations: Recommendations, now_seconds: float) -> LimitPlan:
        """Limits after hysteresis against those in force, with the reason of each."""
        memory = remember_ooms(self.history.ooms(recommendations.rows), now_seconds, self.settings.guard)
        limit = self._limit_bytes[recommendations.rows]
        return settle(recommendations, limit, memory.remembered_bytes, self.settings.guard)

    def react(self, rows: IntArray, now_seconds: float) -> Raises:
        """Raises that cannot wait for the next decision: a climb towards the limit, an unexpected peak.

        Call it after each bin or batch of samples. Rows without a limit or without fresh usage stay.
        """
        self._grow()
        rows = np.asarray(rows, dtype=np.int32)
        if not self.settings.guarded or not len(rows):
            return self._raises(rows[:0], np.empty(0), np.empty(0))
        self.history.advance(now_seconds)
        limit, recent = self._limit_bytes[rows], self.history.five_minute(rows, 3).astype(np.float64)
        climbed = self._climb(recent, limit)
        asked, why = self._ask_again(rows, peak(recent[:, -2:]), limit, now_seconds)
        raised = np.fmax(climbed, asked)
        reason = np.where(np.fmax(asked, 0) > np.fmax(climbed, 0), why, LimitReason.CLIMB)
        found = np.isfinite(raised)
        return self._raises(rows[found], raised[found], reason[found])

    def oom_prices(self, rows: IntArray) -> FloatArray:
        """Container-days of unused limit that a kill of each of `rows` [n] is worth now."""
        said = self._policies.oom_price[rows]
        prices = np.where(np.isnan(said), self._default_price, said)
        return np.asarray(prices * self._steering.factors(rows))

    def price_factors(self) -> dict[str, float]:
        """How far the price of each objective has been steered from the table's, 1 where it has not."""
        return self._steering.told()

    # -- parts ----------------------------------------------------------------------------------------------

    def _close_promises(self, rows: IntArray) -> None:
        """Learn from the hours that are over. A promise whose hour is no longer kept is dropped."""
        log, present = self.history.promises, self.history.current_bin
        open_ = log.open(rows)
        age = present - open_.bin
        over = np.flatnonzero((open_.bin != NO_PROMISE) & (age >= BINS_PER_HOUR))
        if not len(over):
            return
        hour = rows[over]
        column = BINS_PER_DAY - 1 - age[over][:, None] + np.arange(BINS_PER_HOUR)
        recent = self.history.five_minute(hour, BINS_PER_DAY).astype(np.float64)
        usage = np.where(column >= 0, np.take_along_axis(recent, np.maximum(column, 0), axis=1), np.nan)
        limit, chance = open_.limit_bytes[over], open_.chance[over]
        came = outcome(usage, limit, self.settings.guard)
        killed = killed_at_bytes(self.history.ooms(hour), open_.bin[over])
        came = np.where(killed >= limit, 1.0, came)
        if self._lessons is not None:
            self._lessons.end(hour, open_.bin[over], usage, killed)
        # Who was killed wanted more than anybody saw: at least what it was killed at.
        self._models.update(Outcome(hour, np.fmax(peak(usage), killed)))
        # Raises within the hour count by half: nobody noted when they came.
        stood = (limit + np.fmax(limit, self._limit_bytes[hour])) / 2
        ours = np.flatnonzero(self._followed[hour])
        self._steering.learn(hour[ours], usage[ours], stood[ours], came[ours], present // BINS_PER_HOUR)
        log.close(hour, came, next_shift(log.record(hour).shift, chance, came))

    def _promise(self, rows: IntArray, priced: Priced, forecast: PeakDistribution, ready: BoolArray) -> None:
        """Note what the limit that stands after this decision is expected to bear."""
        limit = self._limit_bytes[rows]
        with np.errstate(invalid="ignore"):
            stays = (limit >= priced.lower_bytes) & (limit <= priced.upper_bytes)
        stands = np.where(ready, np.where(stays, limit, priced.target_bytes), np.nan)
        self._followed[rows] = ready & stays
        chance = exceedance_at(forecast, np.where(ready, stands, 1.0))
        self.history.promises.promise(rows, self.history.current_bin, stands, chance)

    def _recommend(
        self, rows: IntArray, window: UsageWindow, now_seconds: float, *, promise: bool
    ) -> Recommendations:
        settings, policies = self.settings, self._policies
        present, hour_peak = present_bytes(window), last_hour_peak(window)
        self._known_peak_bytes[rows] = hour_peak
        ooms = self.history.ooms(rows)
        memory = remember_ooms(ooms, now_seconds, settings.guard)
        past = lifted(window, ooms, self.history.current_bin, settings.guard) if settings.lifted else window
        hours = np.minimum(policies.history_hours[rows], self.needed.hours(rows, now_seconds))
        lived = self._circumstances.lived(clipped(past, hours), rows)
        looked = lived.window
        raw, forecast = self._models.forecast(policies.model[rows], looked, settings.horizon_seconds)
        if settings.adaptive:
            forecast = shifted(forecast, self.history.promises.record(rows).shift)
        forecast = self._circumstances.corrected(forecast, rows, lived)
        price = self.oom_prices(rows)
        floor = np.maximum(floor_by_use(present, settings.guard), memory.hold_bytes)
        if settings.floored:
            floor = np.fmax(floor, past_peak(looked, price, settings.guard))
        if settings.guarded:  # a limit that the guard would raise in the next bin is no limit to ask for
            used = np.where(np.isnan(present), hour_peak, present)
            used = np.fmax(used, lived.held_bytes())
            floor = np.fmax(floor, used / settings.guard.climb_threshold)
        priced = cheapest(
            forecast,
            expected_usage(looked),
            price * DAY_SECONDS / settings.horizon_seconds,
            floor,
            settings.lower_gain,
            settings.raise_gain,
        )
        quantile = quantiles(raw, np.array([BUFFER_LEVEL]))[:, 0]
        priced = within_buffer(priced, quantile, policies.buffer_min[rows], policies.buffer_max[rows], floor)
        known = ready(window, forecast, settings.least_history_hours) & np.isfinite(priced.target_bytes)
        if promise:
            self._promise(rows, priced, forecast, known)
            if self._lessons is not None:
                told = np.flatnonzero(known)
                self._lessons.begin(rows[told], part_of(looked, told), self.history.current_bin)
        reported = quantiles(forecast, REPORTED_LEVELS)
        request = np.minimum(typical_need(forecast, looked, settings.guard), priced.target_bytes)
        columns = [
            priced.target_bytes,
            priced.lower_bytes,
            priced.upper_bytes,
            priced.target_bytes - quantile,
            request,
        ]
        target, lower, upper, buffer, request = (np.where(known, column, np.nan) for column in columns)
        said = (REPORTED_LEVELS, np.where(known[:, None], reported, np.nan), np.where(known, price, np.nan))
        return Recommendations(rows, known, target, lower, upper, buffer, request, *said)

    def _climb(self, recent: FloatArray, limit_bytes: FloatArray) -> FloatArray:
        """Limit to rise to because usage, of the last bins [n, 3], is close to it, or NaN."""
        usage = peak(recent[:, -2:])
        previous = np.where(np.isnan(recent[:, -1]), recent[:, -3], recent[:, -2])
        return after_climb(usage, previous, limit_bytes, self.settings.guard)

    def _ask_again(
        self, rows: IntArray, usage: FloatArray, limit_bytes: FloatArray, now_seconds: float
    ) -> tuple[FloatArray, CodeArray]:
        """Limit to rise to because usage left what the last forecast knew, or will; NaN: none. And why."""
        raised = np.full(len(rows), np.nan)
        known = self._known_peaks(rows)
        least_rise = np.log(self.settings.ask_again_above)
        fewer = self._circumstances.replicas.expected_rise(rows, usage) > least_rise
        with np.errstate(invalid="ignore"):
            left = usage > self.settings.ask_again_above * known
            due = np.flatnonzero(np.isfinite(limit_bytes) & (left | fewer))
        for part in chunks(len(due)):
            asked = due[part]
            window = read_window(self.history, rows[asked])
            again = self._recommend(rows[asked], window, now_seconds, promise=False)
            wanted = again.ready & (limit_bytes[asked] < again.lower_bytes)
            raised[asked[wanted]] = again.target_bytes[wanted]
        why = np.where(left, LimitReason.NEW_PEAK, LimitReason.FEWER_PODS)
        return raised, why.astype(np.int8)

    def _known_peaks(self, rows: IntArray) -> FloatArray:
        """Peak of the hour that the last forecast saw; after a restart, of the hour before."""
        known = self._known_peak_bytes[rows]
        unknown = np.flatnonzero(np.isnan(known))
        if len(unknown):
            past = self.history.five_minute(rows[unknown], BINS_PER_HOUR + 2).astype(np.float64)
            known[unknown] = peak(past[:, :-2])
            self._known_peak_bytes[rows[unknown]] = known[unknown]
        return known

    def _raises(self, rows: IntArray, limit_bytes: FloatArray, reason: npt.ArrayLike) -> Raises:
        return Raises(rows.astype(np.int32), limit_bytes, np.asarray(reason).astype(np.int8))

    def _grow(self) -> None:
        rows = self.history.capacity
        self._limit_bytes = grown(self._limit_bytes, rows, np.nan)
        self._known_peak_bytes = grown(self._known_peak_bytes, rows, np.nan)
        self._followed = grown(self._followed, rows, False)
        self._policies.grow(rows)
