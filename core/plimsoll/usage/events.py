"""The last eight events of every row (OOM kills, restarts), columnar.

Reports are level-based: the same kill is seen again after each relist, so an event that is already there
changes nothing. Events may come out of order. The count goes on beyond eight.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from plimsoll.usage.sample import Float64Array, IntArray

KEPT_EVENTS = 8  # per row: the OOM response looks back 24 h, and eight kills in a day are one long outage


@dataclass(frozen=True, slots=True)
class Events:
    """Events of n rows, oldest first and the newest in the last column; NaN where there are fewer."""

    seconds: Float64Array  # [n, 8]
    limit_bytes: Float64Array  # [n, 8] limit in force, NaN where unknown
    usage_bytes: Float64Array  # [n, 8] usage seen, NaN where unknown
    count: IntArray  # [n] all there ever were


@dataclass(frozen=True, slots=True)
class Starts:
    """The last starts of n rows, oldest first; NaN where there are fewer."""

    seconds: Float64Array  # [n, 8]
    throttled_until_seconds: Float64Array  # [n, 8] by the CPU quota, since the start; NaN: it was not


def starts_at(seconds: Float64Array) -> Starts:
    """Starts [n, k] of which only the time is known; NaN: none."""
    return Starts(seconds, np.full(seconds.shape, np.nan))


class EventLog:
    """`[capacity, 3, 8]`: seconds, limit, usage of each row's last events.

    A start has neither; its last number says until when its process was throttled.
    """

    def __init__(self, capacity: int) -> None:
        self._data: Float64Array = np.empty((capacity, 3, KEPT_EVENTS), dtype=np.float64)
        self._count: IntArray = np.zeros(capacity, dtype=np.int64)

    def grow(self, capacity: int, used: int) -> None:
        """Room for `capacity` rows; only the `used` first are copied."""
        data: Float64Array = np.empty((capacity, 3, KEPT_EVENTS), dtype=np.float64)
        count: IntArray = np.zeros(capacity, dtype=np.int64)
        data[:used], count[:used] = self._data[:used], self._count[:used]
        self._data, self._count = data, count

    def reset(self, rows: IntArray) -> None:
        """Forget these rows' events."""
        self._data[rows] = np.nan
        self._count[rows] = 0

    def record(
        self, rows: IntArray, seconds: Float64Array, limit_bytes: Float64Array, usage_bytes: Float64Array
    ) -> int:
        """Take events in; returns how many were new. A row may occur several times."""
        new = 0
        for row, *event in zip(rows.tolist(), seconds, limit_bytes, usage_bytes, strict=True):
            known = self._data[row, 0] == event[0]
            if known.any():
                self._data[row, 1:, known] = np.fmax(self._data[row, 1:, known], event[1:])
            elif self._insert(self._data[row], np.array(event)):
                new += 1
                self._count[row] += 1
        return new

    @staticmethod
    def _insert(kept: Float64Array, event: Float64Array) -> bool:
        """Put an event in its place. One older than all eight may be an old report again: it is dropped."""
        place = KEPT_EVENTS - 1 - int(np.count_nonzero(kept[0] > event[0]))
        if place < 0:
            return False
        kept[:, :place] = kept[:, 1 : place + 1].copy()
        kept[:, place] = event
        return True

    def lasts(self, rows: IntArray, seconds: float, gap_seconds: float, most_seconds: float) -> None:
        """What the newest events of `rows` [n] began still goes on: their last number says until when.

        Not where it was last said longer than the gap ago, nor later than `most_seconds` after the event.
        """
        newest = self._data[rows, :, -1]
        until = np.fmax(newest[:, 0], newest[:, 2])
        with np.errstate(invalid="ignore"):
            goes_on = (seconds - until <= gap_seconds) & (seconds > until)
            goes_on &= seconds - newest[:, 0] <= most_seconds
        self._data[rows[goes_on], 2, -1] = seconds

    def of(self, rows: IntArray) -> Events:
        """A copy of these rows' events."""
        data = self._data[rows]
        return Events(data[:, 0], data[:, 1], data[:, 2], self._count[rows])

    def merge(self, row: int, events: Float64Array, count: int) -> None:
        """Join remembered events (`[3, 8]`, oldest first) and their count to what came since."""
        present = events[:, ~np.isnan(events[0])]
        own = int(self._count[row])
        own_new = int(
            np.count_nonzero(~np.isnan(self._data[row, 0]) & ~np.isin(self._data[row, 0], present[0]))
        )
        self.record(np.full(present.shape[1], row), present[0], present[1], present[2])
        self._count[row] = max(own, count + own_new)


def as_column(value: npt.ArrayLike | None, length: int) -> Float64Array:
    """A scalar, an array or nothing as a float64 column; nothing is NaN."""
    filled = np.asarray(np.nan if value is None else value, dtype=np.float64)
    return filled if filled.shape == (length,) else np.broadcast_to(filled, (length,))
