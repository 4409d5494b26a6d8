"""Which rows know their last hour without a gap, so that nothing that was missed can look like calm.

In: restored checkpoints, the histories after each tick. Out: rows. A row is covered when each of the twelve
five-minute bins before the present one has a value, and no sample was missed between its checkpoint and the
first sample after it: a bin may have a value from before the gap. What fills the bins (live samples, a
checkpoint, Prometheus) is all the same.
"""

import math
from collections.abc import Mapping

import numpy as np

from plimsoll.usage.sample import BINS_PER_HOUR, HOUR_SECONDS, Float32Array
from plimsoll_operator.engine.rows import RowArray

MISSED_INTERVALS = 1.5  # between two samples: the next one was not missed
# By then every row has lived through its hour here, and the main process no longer asks.
LOOKED_SECONDS = 2.0 * HOUR_SECONDS


class Coverage:
    """What restarts have left in doubt."""

    def __init__(self, interval_seconds: float) -> None:
        self._longest_seconds = MISSED_INTERVALS * interval_seconds
        self._last_seen: dict[int, float] = {}  # row -> newest sample of its checkpoint
        self._doubted_until: dict[int, float] = {}
        self._first_tick_seconds = math.nan

    def restored(self, row: int, last_seen_seconds: float) -> None:
        """A checkpoint was joined to `row`; its newest sample was taken then (NaN: it had none)."""
        self._last_seen[row] = last_seen_seconds if math.isfinite(last_seen_seconds) else -math.inf

    def sampled(self, last_seen_seconds: Mapping[int, float], now_seconds: float) -> None:
        """The newest samples of restored rows after a tick: the first new one tells how long the gap was."""
        for row, seen in last_seen_seconds.items():
            before = self._last_seen[row]
            if math.isfinite(seen) and seen > before:
                del self._last_seen[row]
                if seen - before > self._longest_seconds:
                    self._doubted_until[row] = now_seconds + HOUR_SECONDS

    @property
    def waiting(self) -> tuple[int, ...]:
        """Restored rows that have had no sample since."""
        return tuple(self._last_seen)

    def asked(self, now_seconds: float) -> bool:
        """True while it matters: some hours after the start every row has settled by time."""
        if math.isnan(self._first_tick_seconds):
            self._first_tick_seconds = now_seconds
        return 0.0 <= now_seconds - self._first_tick_seconds <= LOOKED_SECONDS

    def covered(self, rows: RowArray, recent: Float32Array, now_seconds: float) -> RowArray:
        """Return those of `rows` whose last hour is known; `recent` [n, 13] are their five-minute maxima."""
        whole = np.isfinite(recent[:, :BINS_PER_HOUR]).all(axis=1)
        over = [row for row, until in self._doubted_until.items() if now_seconds >= until]
        for row in over:
            del self._doubted_until[row]
        doubted = np.array([*self._doubted_until, *self._last_seen], dtype=np.int32)
        known: RowArray = rows[whole & ~np.isin(rows, doubted)]
        return known

    def forget(self, rows: tuple[int, ...]) -> None:
        """Rows that stand for something else now."""
        for row in rows:
            self._last_seen.pop(row, None)
            self._doubted_until.pop(row, None)
