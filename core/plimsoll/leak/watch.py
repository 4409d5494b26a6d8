"""Which rows are told to leak: what was found twice in a row, until it has been gone for six hours.

In: findings, at most one a row and hour. Out: what is told, since when. Only this is kept beside the
history; after a restart the first finding stands as it is.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from plimsoll.forecast.window import FloatArray, IntArray
from plimsoll.leak.detect import Findings
from plimsoll.leak.trend import BoolArray
from plimsoll.usage.grown import grown, rows_up_to

UNSEEN = -1


@dataclass(frozen=True, slots=True)
class Told:
    """What is told of n rows now."""

    leaks: BoolArray  # [n]
    since_seconds: FloatArray  # [n] NaN: no leak


class LeakWatch:
    """The state of every row."""

    def __init__(self, capacity: int, patience: int = 2, calm: int = 6) -> None:
        self._patience, self._calm = patience, calm
        self._streak: npt.NDArray[np.int16] = np.full(capacity, UNSEEN, dtype=np.int16)
        self._absent: npt.NDArray[np.int16] = np.zeros(capacity, dtype=np.int16)
        self._since: FloatArray = np.full(capacity, np.nan)

    def look(self, rows: IntArray, found: Findings, now_seconds: float) -> Told:
        """Take in what was found of `rows`, each at most once."""
        self._grow(rows)
        before = self._streak[rows]
        streak = np.where(found.leaks, np.minimum(np.maximum(before, 0) + 1, 1000), 0)
        told = np.isfinite(self._since[rows])
        absent = np.where(found.leaks | found.growing, 0, self._absent[rows] + 1)
        begins = found.leaks & ((streak >= self._patience) | (before == UNSEEN))
        stays = told & (absent < self._calm)
        since = np.where(stays, self._since[rows], np.where(begins, now_seconds, np.nan))
        self._streak[rows], self._absent[rows], self._since[rows] = streak, np.minimum(absent, 1000), since
        return Told(np.isfinite(since), since)

    def since_seconds(self, rows: IntArray) -> FloatArray:
        """Since when each of `rows` [n] is told; NaN: it is not."""
        self._grow(rows)
        return self._since[rows]

    def forget(self, rows: IntArray) -> None:
        """Rows were freed or given to another container."""
        self._grow(rows)
        self._streak[rows], self._absent[rows], self._since[rows] = UNSEEN, 0, np.nan

    def _grow(self, rows: IntArray) -> None:
        count = rows_up_to(rows)
        self._streak = grown(self._streak, count, UNSEEN)
        self._absent = grown(self._absent, count, 0)
        self._since = grown(self._since, count, np.nan)
