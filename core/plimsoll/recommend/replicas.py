"""What happens to one pod's memory when there are fewer or more pods: an autoscaler moves the load.

In: how many pods each row has, tick by tick, and what the largest of them uses. Out: how much more the pods
that are left will use (in log) until it can be seen. How far a row follows its number of pods (1: half as
many use twice as much, 0: not at all) is learned from each change, by what was used before it and twenty
minutes after; a row without changes of its own is taken not to follow. A rise is expected and a fall is not:
a limit that waits costs little. This memory is not kept over a restart of the operator; two changes make it
anew.
"""

import numpy as np

from plimsoll.forecast.window import FloatArray, IntArray
from plimsoll.usage.grown import grown, rows_up_to
from plimsoll.usage.sample import BoolArray

SETTLED_BINS = 4  # after so many a change is seen in what is used
PRIOR = np.log(2.0) ** 2  # squares of log changes that weigh as much as the belief that nothing follows
MOST_LOG = np.log(4.0)  # larger changes teach and tell no more than this
LEAST_LOG = 0.05  # smaller ones nothing
NONE = -1


class Replicas:
    """The pods of every row of a history, and what their number does."""

    def __init__(self) -> None:
        self._count: FloatArray = np.empty(0)  # NaN: never told
        self._learned: FloatArray = np.empty((0, 2))  # sums of x y and x x
        self._open: FloatArray = np.empty((0, 2))  # log of pods before over now, bytes before
        self._changed = False
        self._since: IntArray = np.empty(0, dtype=np.int32)  # bin of the last change, NONE: it is settled

    def observe(self, rows: IntArray, counts: IntArray, used_bytes: FloatArray, bin_: int) -> None:
        """`rows` [n] have so many pods now, and the largest uses so much (NaN: not known)."""
        self._grow(rows)
        self._settle(rows, used_bytes, bin_)
        before, count = self._count[rows], counts.astype(np.float64)
        with np.errstate(invalid="ignore"):
            changed = np.isfinite(before) & (count > 0) & (before != count)
        at, now = rows[changed], count[changed]
        self._changed |= len(at) > 0
        first = self._since[at] == NONE
        self._open[at, 0] = np.where(first, 0.0, self._open[at, 0]) + np.log(before[changed] / now)
        self._open[at, 1] = np.where(first, used_bytes[changed], self._open[at, 1])
        self._since[at] = bin_
        self._count[rows] = np.where(count > 0, count, before)

    def forget(self, rows: IntArray) -> None:
        """Rows were freed or given to another container."""
        self._grow(rows)
        self._count[rows] = np.nan
        self._learned[rows] = 0.0
        self._since[rows] = NONE

    def follows(self, rows: IntArray) -> FloatArray:
        """How far rows follow their number of pods, [n] from 0 to 1."""
        self._grow(rows)
        both, alone = self._learned[rows].T
        return np.asarray(np.clip(both / (alone + PRIOR), 0.0, 1.0))

    def losing(self, rows: IntArray) -> BoolArray:
        """Rows [n] that have lost pods so lately that what this does is not seen yet."""
        if not self._changed:  # of any row, ever: most of the time, and in every replay
            return np.zeros(len(rows), dtype=np.bool_)
        self._grow(rows)
        return np.asarray((self._since[rows] != NONE) & (self._open[rows, 0] > LEAST_LOG))

    def expected_rise(self, rows: IntArray, known_bytes: FloatArray) -> FloatArray:
        """Log [n] by which use will exceed what is known of it; 0 where no fall in pods is unsettled."""
        unsettled = self.losing(rows)
        if not unsettled.any():
            return np.zeros(len(rows))
        change = np.minimum(self._open[rows, 0], MOST_LOG)
        with np.errstate(invalid="ignore", divide="ignore"):
            rise = np.log(self._open[rows, 1] / known_bytes) + self.follows(rows) * change
        return np.where(unsettled & np.isfinite(rise), np.maximum(rise, 0.0), 0.0)

    def _settle(self, rows: IntArray, used_bytes: FloatArray, bin_: int) -> None:
        """Learn from the changes of a while ago."""
        old = (self._since[rows] != NONE) & (bin_ - self._since[rows] >= SETTLED_BINS)
        at, used = rows[old], used_bytes[old]
        x = np.clip(self._open[at, 0], -MOST_LOG, MOST_LOG)
        with np.errstate(invalid="ignore", divide="ignore"):
            y = np.log(used / self._open[at, 1])
        told = np.isfinite(y) & (np.abs(x) > LEAST_LOG)
        self._learned[at[told]] += np.stack([x * y, x * x], axis=1)[told]
        self._since[at] = NONE

    def _grow(self, rows: IntArray) -> None:
        count = rows_up_to(rows)
        self._count = grown(self._count, count, np.nan)
        self._learned = grown(self._learned, count, 0.0)
        self._open = grown(self._open, count, 0.0)
        self._since = grown(self._since, count, NONE)
