"""Limits for needed memory that are never above those that usage alone would give.

In: as `LimitPipeline`, and beside what a history is told of needed memory what was used. Out: the smaller of
two answers, each a whole pipeline's: one that knows what was needed, one that knows what was used. An agent
whose container suffers says that all is needed; told to a forecast beside the little that was needed an hour
before, it looks like growth by several times, and the limit would go where neither need nor use ever was.
The row of usage begins as a copy of the row, when need is first known of it; it is kept nowhere else, so a
restart begins it anew, with what was needed as its past: then it bounds less, never more.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from plimsoll.forecast.protocol import PeakModel
from plimsoll.forecast.window import IntArray, UsageWindow, chunks
from plimsoll.guard.limits import Raises
from plimsoll.pipeline import LimitPipeline, PipelineSettings
from plimsoll.recommend.lessons import LessonBook
from plimsoll.recommend.recommendation import Recommendations, joined
from plimsoll.recommend.relatives import Steps
from plimsoll.recommend.row_policy import RowPolicy
from plimsoll.usage.grown import grown
from plimsoll.usage.history import History
from plimsoll.usage.sample import BoolArray, Float64Array

FIRST_ROWS = 64  # few are told what they need; it grows
NOBODY = -1


class NeedPipeline(LimitPipeline):
    """A `LimitPipeline` whose rows of needed memory are bounded by what they use."""

    def __init__(
        self,
        history: History,
        settings: PipelineSettings | None = None,
        model: PeakModel | None = None,
        models: Mapping[str, PeakModel] | None = None,
        lessons: LessonBook | None = None,
        usage_models: Mapping[str, PeakModel] | None = None,
    ) -> None:
        """`usage_models` as `models`, for the rows of usage: whose answers do not go by a row's number."""
        super().__init__(history, settings, model, models, lessons)
        self._usage_history = History(history.quantity, FIRST_ROWS)
        self._usage = LimitPipeline(self._usage_history, settings, model, usage_models)
        self._usage_row: IntArray = np.full(history.capacity, NOBODY, dtype=np.int32)
        self._said: dict[int, RowPolicy] = {}  # of rows whose policy asks for needed memory

    # -- what is told ---------------------------------------------------------------------------------------

    def observe_usage(
        self,
        rows: IntArray,
        seconds: Float64Array,
        used_bytes: Float64Array,
        now_seconds: float,
        ceiling_bytes: npt.ArrayLike = np.inf,
        limit_bytes: npt.ArrayLike = np.nan,
    ) -> None:
        """What was used [n], before the history is told what of it was needed; for rows that hold needed
        memory, and nothing for others.
        """
        mine = np.flatnonzero(self.needed.known(rows))
        if not len(mine) and not len(self._usage_history):
            return  # as most of the time: nobody is asked
        self._follow(np.unique(rows), now_seconds)
        columns = (np.broadcast_to(each, rows.shape)[mine] for each in (ceiling_bytes, limit_bytes))
        here = self._usage_row[rows[mine]]
        self._usage_history.append(here, seconds[mine], used_bytes[mine], now_seconds, *columns)

    def observe_limits(self, rows: IntArray, limit_bytes: npt.ArrayLike) -> None:
        """As there."""
        super().observe_limits(rows, limit_bytes)
        at, here = self._bounded(rows)
        if len(at):
            self._usage.observe_limits(here, np.broadcast_to(np.asarray(limit_bytes), rows.shape)[at])

    def observe_policies(self, rows: IntArray, policies: Sequence[RowPolicy]) -> None:
        """As there."""
        super().observe_policies(rows, policies)
        for row, policy in zip(rows.tolist(), policies, strict=True):
            self._said.pop(row, None)
            if policy.needed:
                self._said[row] = policy
        at, here = self._bounded(rows)
        self._usage.observe_policies(here, [policies[place] for place in at.tolist()])

    def observe_relatives(self, steps: Mapping[int, Steps]) -> None:
        """As there."""
        super().observe_relatives(steps)
        self._grow_usage()
        known = ((int(self._usage_row[row]), each) for row, each in steps.items())
        self._usage.observe_relatives({row: each for row, each in known if row != NOBODY})

    def observe_replicas(self, rows: IntArray, counts: IntArray) -> None:
        """As there."""
        super().observe_replicas(rows, counts)
        at, here = self._bounded(rows)
        if len(at):
            self._usage.observe_replicas(here, counts[at])

    def observe_start(self, rows: IntArray, started_seconds: float) -> Raises:
        """As there; a start's raise is not bounded."""
        _, here = self._bounded(rows)
        if len(here):
            self._usage.observe_start(here, started_seconds)
        return super().observe_start(rows, started_seconds)

    def observe_oom(
        self, rows: IntArray, now_seconds: float, limit_bytes: npt.ArrayLike | None = None
    ) -> Raises:
        """As there; a kill's raise is not bounded."""
        at, here = self._bounded(rows)
        if len(at):
            said = self._limit_bytes[rows] if limit_bytes is None else limit_bytes
            limit = np.broadcast_to(np.asarray(said, dtype=np.float64), rows.shape)
            self._usage.observe_oom(here, now_seconds, limit[at])
        return super().observe_oom(rows, now_seconds, limit_bytes)

    def forget(self, rows: IntArray) -> None:
        """As there."""
        super().forget(rows)
        self.renew(rows)
        for row in np.asarray(rows).tolist():
            self._said.pop(row, None)

    def restore(self, row: int, data: bytes, *, steered: bool = True) -> None:
        """As there."""
        self.renew(np.array([row], dtype=np.int32))
        super().restore(row, data, steered=steered)

    def renew(self, rows: IntArray) -> None:
        """The past of these rows is another one now: their rows of usage begin anew, from it."""
        _, here = self._bounded(rows)
        if len(here):
            self._usage.forget(here)
            self._usage_history.free_rows(here)
            self._usage_row[rows] = NOBODY

    # -- what is asked --------------------------------------------------------------------------------------

    def decide_seen(self, window: UsageWindow, now_seconds: float) -> Recommendations:
        """As there, and never above what usage alone would be given."""
        said = super().decide_seen(window, now_seconds)
        at, here = self._bounded(said.rows)
        if not len(at):
            return said
        self._usage_history.advance(now_seconds)
        parts = [self._usage.decide(here[part], now_seconds) for part in chunks(len(here))]
        return _smaller(said, at, joined(parts))

    def react(self, rows: IntArray, now_seconds: float) -> Raises:
        """As there; where it is known what is used, a row is raised only if that would be raised, too."""
        raises = super().react(rows, now_seconds)
        at, here = self._bounded(rows)
        if not len(at):
            return raises
        asked = self._usage.react(here, now_seconds)
        most = np.full(self._usage_history.capacity, np.nan)
        most[asked.rows] = asked.limit_bytes
        at, here = self._bounded(raises.rows)
        fresh = np.isfinite(self._usage_history.five_minute(here, 2)).any(axis=1)
        limit = raises.limit_bytes.copy()
        limit[at[fresh]] = np.minimum(limit[at[fresh]], most[here[fresh]])  # NaN: no raise
        kept = np.isfinite(limit)
        return Raises(raises.rows[kept], limit[kept], raises.reason[kept])

    # -- parts ----------------------------------------------------------------------------------------------

    def _bounded(self, rows: IntArray) -> tuple[npt.NDArray[np.intp], IntArray]:
        """Which of rows [n] have a row of usage, and which one [m]."""
        self._grow_usage()
        found = self._usage_row[rows]
        at = np.flatnonzero(found != NOBODY)
        return at, found[at]

    def _follow(self, rows: IntArray, now_seconds: float) -> None:
        """Rows that hold needed memory get a row of usage, others lose theirs."""
        self._grow()
        self._grow_usage()
        known: BoolArray = self.needed.known(rows)
        over = rows[~known]
        self.renew(over[self._usage_row[over] != NOBODY])
        for row in rows[known & (self._usage_row[rows] == NOBODY)].tolist():
            here = self._usage_history.add_rows(1)
            learned = {name: each for name, each in self._models.learned(row).items() if each}
            self._usage_history.advance(now_seconds)
            self._usage.restore(int(here[0]), self.history.checkpoint(row, learned), steered=False)
            self._usage_row[row] = here[0]
            self._usage.observe_policies(here, [self._said.get(row, RowPolicy())])
            self._usage.observe_limits(here, self._limit_bytes[[row]])

    def _grow_usage(self) -> None:
        self._usage_row = grown(self._usage_row, self.history.capacity, NOBODY)


def _smaller(said: Recommendations, at: npt.NDArray[np.intp], usage: Recommendations) -> Recommendations:
    """`said` with the rows `at` [m] no higher than `usage` [m]; what usage cannot tell bounds nothing."""
    columns = {
        name: getattr(said, name).copy()
        for name in ("target_bytes", "lower_bytes", "upper_bytes", "request_bytes", "buffer_bytes")
    }
    for name in ("target_bytes", "lower_bytes", "upper_bytes", "request_bytes"):
        mine = columns[name][at]
        columns[name][at] = np.where(np.isfinite(mine), np.fmin(mine, getattr(usage, name)), mine)
    columns["buffer_bytes"] -= said.target_bytes - columns["target_bytes"]
    return replace(said, **columns)
