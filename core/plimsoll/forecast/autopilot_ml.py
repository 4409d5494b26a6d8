"""Autopilot's ML recommender: arms that each pick a limit by its past costs, and a choice among the arms.

After Rzadca et al., "Autopilot: workload autoscaling at Google", EuroSys 2020, section 3.2.3. The paper's:
an arm is a decay rate d_m and a safety margin M_m; it keeps smoothed overrun and underrun costs of every
possible limit and takes the argmin, change cost included; the arm whose own smoothed cost is least, with a
cost for changing arm and one for changing limit, is the recommendation. Both costs count samples, above and
below the limit. Ours: an hour is a step and its peak the sample; margins are a part of the limit instead of
an amount; a limit is judged by the hour after it was set; all weights, rates and margins (the paper gives
none), chosen by bench/choose_autopilot.py on the training half of the development series.

The recursions were held against a public re-implementation that is not ours (C. Herron Mulet's, on Alibaba's
traces, November 2026): smoothed counts above and below each limit, argmin with the cost of leaving L'_m,
c_m = d (costs of the arm's limit) + (1 - d) c_m, and the two change costs of the choice are the same there.
It adds margins and judges an arm by its new limit on the hour just past: the two points named as ours.
"""

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from plimsoll.forecast.moving_windows import said_and_came
from plimsoll.forecast.prior import log_ratio_prior
from plimsoll.forecast.protocol import Hindcast, Memoryless, PeakDistribution
from plimsoll.forecast.usage_grid import BUCKETS, MISSING, bucket_ends, buckets_of
from plimsoll.forecast.window import HOURS_PER_DAY, Float32Array, FloatArray, UsageWindow, peak, seen_hours

# What is older has lost its weight under every arm.
PAST_HOURS = 14 * HOURS_PER_DAY
LEAST_PAST_HOURS = 3


@dataclass(frozen=True, slots=True)
class ArmSettings:
    """Weights of the costs of a sample and of a change. Rates are half-lives in hours."""

    overrun: float = 100.0  # w_o
    underrun: float = 1.0  # w_u
    limit_change: float = 0.002  # w_dL
    arm_change: float = 0.05  # w_dm
    cost_half_life: float = 24.0  # d, of an arm's own cost
    half_lives: tuple[float, ...] = (24.0, 96.0)  # d_m
    margins: tuple[float, ...] = (0.1, 0.2)  # M_m, of the limit

    def cost_table(self, buckets: int) -> Float32Array:
        """What a sample in a bucket (first axis) costs under the limit at a bucket's end (second)."""
        ends = bucket_ends(buckets)
        over, under = ends[:, None] > ends[None, :], ends[:, None] < ends[None, :]
        return np.asarray(self.overrun * over + self.underrun * under, dtype=np.float32)


class Arms:
    """The arms of n rows, fed hour by hour. Limits are kept over the row's anchor."""

    def __init__(self, rows: int, settings: ArmSettings, buckets: int = BUCKETS) -> None:
        self._settings = settings
        self._ends = bucket_ends(buckets)
        self._table = settings.cost_table(buckets)
        rates, margins = len(settings.half_lives), len(settings.margins)
        self._decay = np.asarray(_decay(np.array(settings.half_lives)), dtype=np.float32)
        self._margin = 1 + np.array(settings.margins)
        self._smoothed = np.zeros((rows, rates, buckets), dtype=np.float32)
        self._best = np.zeros((rows, rates), dtype=np.intp)
        self._cost = np.zeros((rows, rates * margins))
        self._arm = np.zeros(rows, dtype=np.intp)
        self.limit = np.full(rows, np.nan)  # [n] recommended, over the anchor; NaN: nothing seen yet

    def step(self, buckets: npt.NDArray[np.integer], usage: FloatArray) -> None:
        """Take in an hour: buckets [n] (MISSING: the row stays as it is) and usage [n] over the anchor."""
        rows = np.flatnonzero(buckets != MISSING)
        if not len(rows):
            return
        bucket, fresh = buckets[rows], np.isnan(self.limit[rows])
        before = self._limits(rows)
        self._smooth(rows, bucket, fresh)
        self._pick(rows, fresh)
        after = self._limits(rows)
        self._judge(rows, usage[rows], before, after, fresh)
        self._choose(rows, after, fresh)

    def _limits(self, rows: npt.NDArray[np.intp]) -> FloatArray:
        """What each arm recommends [rows, arms]: L'_m with its margin."""
        limits = self._ends[self._best[rows]][:, :, None] * self._margin
        return np.asarray(limits.reshape(len(rows), -1))

    def _smooth(
        self, rows: npt.NDArray[np.intp], bucket: npt.NDArray[np.integer], fresh: npt.NDArray[np.bool_]
    ) -> None:
        """w_o o(L) + w_u u(L) of every limit: both are sums of costs of samples, kept as one."""
        whole = len(rows) == len(self._smoothed)
        smoothed = self._smoothed if whole else self._smoothed[rows]
        cost = self._table[bucket][:, None, :]
        smoothed *= (1 - self._decay)[:, None]
        smoothed += self._decay[:, None] * cost
        smoothed[fresh] = cost[fresh]
        if not whole:
            self._smoothed[rows] = smoothed

    def _pick(self, rows: npt.NDArray[np.intp], fresh: npt.NDArray[np.bool_]) -> None:
        """L'_m: the argmin over all limits, where to stay costs w_dL less."""
        smoothed = self._smoothed if len(rows) == len(self._smoothed) else self._smoothed[rows]
        best, held = np.argmin(smoothed, axis=2), self._best[rows]
        least, stay = (np.take_along_axis(smoothed, at[:, :, None], axis=2)[:, :, 0] for at in (best, held))
        moves = fresh[:, None] | (least + np.float32(self._settings.limit_change) < stay)
        self._best[rows] = np.where(moves, best, held)

    def _judge(
        self,
        rows: npt.NDArray[np.intp],
        usage: FloatArray,
        before: FloatArray,
        after: FloatArray,
        fresh: npt.NDArray[np.bool_],
    ) -> None:
        """c_m: each arm's own smoothed cost of the limit that it had when the hour came."""
        settings = self._settings
        over, under = usage[:, None] > before, usage[:, None] < before
        cost = settings.overrun * over + settings.underrun * under
        cost += settings.limit_change * (after != before)
        decay = _decay(np.array(settings.cost_half_life))
        smoothed = (1 - decay) * self._cost[rows] + decay * cost
        self._cost[rows] = np.where(fresh[:, None], 0.0, smoothed)

    def _choose(self, rows: npt.NDArray[np.intp], limits: FloatArray, fresh: npt.NDArray[np.bool_]) -> None:
        """The arm whose cost is least, with what it costs to change arm and limit."""
        settings = self._settings
        arms = np.arange(limits.shape[1])
        changes = np.where(fresh[:, None], False, limits != self.limit[rows][:, None])
        other = np.where(fresh[:, None], False, arms != self._arm[rows][:, None])
        total = self._cost[rows] + settings.arm_change * other + settings.limit_change * changes
        chosen = np.argmin(total, axis=1)
        self._arm[rows] = chosen
        self.limit[rows] = limits[np.arange(len(rows)), chosen]


@dataclass(frozen=True, slots=True)
class AutopilotMl(Memoryless):
    """The ensemble run over the hours of a window."""

    settings: ArmSettings = field(default_factory=ArmSettings)
    name: str = "autopilot-ml"

    def fit(self, window: UsageWindow) -> "FittedAutopilotMl":
        """Walk the last two weeks: what was recommended after each hour, and what is now."""
        hourly = window.hourly_bytes[:, -PAST_HOURS:]
        anchor = np.maximum(peak(hourly), 1.0)
        buckets, usage = buckets_of(hourly, anchor), hourly / anchor[:, None]
        arms = Arms(len(hourly), self.settings)
        said = np.full_like(hourly, np.nan)
        for hour in seen_hours(hourly):
            arms.step(buckets[:, hour], usage[:, hour])
            said[:, hour] = arms.limit
        return FittedAutopilotMl(self.name, window, said * anchor[:, None])


@dataclass(frozen=True, slots=True)
class FittedAutopilotMl:
    """Recommendations of every hour."""

    name: str
    window: UsageWindow
    said_bytes: FloatArray  # [n, t] after each hour; the last column is the word now

    def predict(self, horizon_seconds: float, levels: FloatArray) -> PeakDistribution:
        """Distribution of the peak over the horizon: the recommendation and what came above such ones."""
        ratio = np.exp(log_ratio_prior(self.name, levels, horizon_seconds))
        return PeakDistribution(levels, self.said_bytes[:, -1:] * ratio[None, :])

    def hindcast(self) -> Hindcast:
        """What the recommendation of the hour before would have been to every whole past hour."""
        return said_and_came(self.window.hourly_bytes, self.said_bytes, LEAST_PAST_HOURS)


def _decay(half_life: FloatArray) -> FloatArray:
    return np.asarray(1 - 0.5 ** (1 / half_life), dtype=np.float64)
