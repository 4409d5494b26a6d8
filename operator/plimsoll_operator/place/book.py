"""The newest loads of every row, columnar, beside what `Asks` keeps.

In: ticks. Out: `Loads` of rows by the hour of the day (UTC), NaN where none are recent; rows that are known
to begin by the clock, and for how long rows stay. What was said of a row whose pods are gone stands as long
as the row.
"""

import math

import numpy as np
import numpy.typing as npt

from plimsoll.placement.lanes import LANES, FloatArray, Loads, Shared
from plimsoll.placement.starts import until_its_end
from plimsoll.placement.together import NO_KIN
from plimsoll.usage.grown import grown
from plimsoll_operator.asks import LONGEST_AGE_SECONDS
from plimsoll_operator.engine.messages import RowLoads

FIRST_ROWS = 1024

RowArray = npt.NDArray[np.integer]


class LoadBook:
    """The last word of the engine on what every row will use."""

    def __init__(self) -> None:
        self._mean: npt.NDArray[np.float32] = np.full((FIRST_ROWS, LANES), np.nan, dtype=np.float32)
        self._spread: FloatArray = np.full((FIRST_ROWS, 3), np.nan)  # variance, third moment, common variance
        self._made: FloatArray = np.full(FIRST_ROWS, np.nan)
        self._begins: npt.NDArray[np.int32] = np.zeros(FIRST_ROWS, dtype=np.int32)
        self._stays: npt.NDArray[np.int8] = np.zeros(FIRST_ROWS, dtype=np.int8)
        self._ends: npt.NDArray[np.bool_] = np.zeros(FIRST_ROWS, dtype=np.bool_)

    def take(self, loads: RowLoads, now_seconds: float) -> None:
        """Take over what one tick made."""
        if not len(loads.rows):
            return
        rows = int(loads.rows.max()) + 1
        self._mean = grown(self._mean, rows, np.nan)
        self._spread = grown(self._spread, rows, np.nan)
        self._made = grown(self._made, rows, np.nan)
        self._begins = grown(self._begins, rows, 0)
        self._stays = grown(self._stays, rows, 0)
        self._ends = grown(self._ends, rows, False)
        self._mean[loads.rows] = loads.mean_bytes
        self._spread[loads.rows] = np.column_stack([loads.variance, loads.third, loads.common])
        self._made[loads.rows] = now_seconds
        self._begins[loads.rows] = loads.begins
        self._stays[loads.rows] = loads.stays_hours
        self._ends[loads.rows] = loads.ends

    def forget(self, rows: tuple[int, ...]) -> None:
        """These rows stand for nothing any more, and soon for another container."""
        gone = [row for row in rows if row < len(self._made)]
        self._made[gone], self._begins[gone] = np.nan, 0

    def of(self, rows: RowArray, now_seconds: float, oldest_seconds: float = LONGEST_AGE_SECONDS) -> Loads:
        """Loads of rows [n] that are not older; -1 is no row and has none. The row is their kin."""
        at = self._at(rows)
        with np.errstate(invalid="ignore"):
            recent = np.abs(now_seconds - self._made[at]) <= oldest_seconds
        known = (at == rows) & recent & np.isfinite(self._mean[at, 0])
        mean = np.where(known[:, None], self._mean[at], np.nan).astype(np.float64)
        variance, third, common = (
            np.repeat(np.where(known, each, np.nan)[:, None], LANES, axis=1) for each in self._spread[at].T
        )
        return Loads(mean, variance, third, Shared(np.where(known, rows, NO_KIN).astype(np.int64), common))

    def faded(self, rows: RowArray, now_seconds: float) -> npt.NDArray[np.bool_]:
        """[n] rows that have had loads and have none that are recent: somebody has fallen silent."""
        at = self._at(rows)
        with np.errstate(invalid="ignore"):
            recent = np.abs(now_seconds - self._made[at]) <= LONGEST_AGE_SECONDS
        had = (at == rows) & np.isfinite(self._made[at]) & np.isfinite(self._mean[at, 0])
        return np.asarray(had & ~recent)

    def of_running(self, rows: RowArray, started_seconds: FloatArray, now_seconds: float) -> Loads:
        """Loads of containers [n] that feed these rows: nothing in hours by which they have always ended."""
        runs = until_its_end(started_seconds, self._ends_after_hours(rows), now_seconds)
        return self.of(rows, now_seconds).masked(runs)

    def last(self, rows: RowArray) -> Loads:
        """What was said of rows [n] last, however long ago."""
        return self.of(rows, 0.0, math.inf)

    def beginning(self) -> RowArray:
        """Rows that are known to begin by the clock."""
        return np.flatnonzero(self._begins)

    def begins(self, row: int) -> int:
        """The hours at which it does, as bits."""
        return int(self._begins[row])

    def stays_hours(self, rows: RowArray) -> npt.NDArray[np.int64]:
        """[n] the longest that rows ran and ended; 0: not known."""
        at = self._at(rows)
        known = (at == rows) & np.isfinite(self._made[at])
        return np.where(known, self._stays[at], 0).astype(np.int64)

    def _ends_after_hours(self, rows: RowArray) -> npt.NDArray[np.int64]:
        return np.where(self._ends[self._at(rows)], self.stays_hours(rows), 0)

    def _at(self, rows: RowArray) -> RowArray:
        return np.asarray(np.where((rows >= 0) & (rows < len(self._made)), rows, 0))
