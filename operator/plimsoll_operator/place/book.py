"""The newest loads of every row, columnar, beside what `Asks` keeps.

In: ticks. Out: `Loads` of rows by the hour of the day (UTC), NaN where none are recent.
"""

import numpy as np
import numpy.typing as npt

from plimsoll.placement.lanes import LANES, FloatArray, Loads
from plimsoll.usage.grown import grown
from plimsoll_operator.asks import LONGEST_AGE_SECONDS
from plimsoll_operator.engine.messages import RowLoads

FIRST_ROWS = 1024

RowArray = npt.NDArray[np.integer]


class LoadBook:
    """The last word of the engine on what every row will use."""

    def __init__(self) -> None:
        self._mean: npt.NDArray[np.float32] = np.full((FIRST_ROWS, LANES), np.nan, dtype=np.float32)
        self._spread: FloatArray = np.full((FIRST_ROWS, 2), np.nan)  # variance, third moment
        self._made: FloatArray = np.full(FIRST_ROWS, np.nan)

    def take(self, loads: RowLoads, now_seconds: float) -> None:
        """Take over what one tick made."""
        if not len(loads.rows):
            return
        rows = int(loads.rows.max()) + 1
        self._mean = grown(self._mean, rows, np.nan)
        self._spread = grown(self._spread, rows, np.nan)
        self._made = grown(self._made, rows, np.nan)
        self._mean[loads.rows] = loads.mean_bytes
        self._spread[loads.rows] = np.column_stack([loads.variance, loads.third])
        self._made[loads.rows] = now_seconds

    def forget(self, rows: tuple[int, ...]) -> None:
        """These rows stand for nothing any more, and soon for another container."""
        self._made[[row for row in rows if row < len(self._made)]] = np.nan

    def of(self, rows: RowArray, now_seconds: float) -> Loads:
        """Loads of rows [n]; -1 is no row and has none."""
        at = np.where((rows >= 0) & (rows < len(self._made)), rows, 0)
        with np.errstate(invalid="ignore"):
            recent = np.abs(now_seconds - self._made[at]) <= LONGEST_AGE_SECONDS
        known = (at == rows) & recent & np.isfinite(self._mean[at, 0])
        mean = np.where(known[:, None], self._mean[at], np.nan).astype(np.float64)
        variance, third = (np.where(known, self._spread[at, column], np.nan)[:, None] for column in range(2))
        return Loads(mean, np.repeat(variance, LANES, axis=1), np.repeat(third, LANES, axis=1))
