"""File cache that the kernel takes back before it kills: usage without what only fills the room there is.

In: samples, and how much of each is cache on the kernel's lists of files (`active_file` of a working set:
tmpfs and shared memory are not on them). Out: what of the sample is needed. Cache grows into any room, so a
limit that follows it never comes to rest. What a row kept for a day while it had room to grow counts as
needed; what lies above that, or grew while the container was at its limit, does not. Not knowing is caution:
without a figure of the source, and after an OOM kill, all counts. A day is remembered here only, not over a
restart of the operator: then what is there at first counts.
"""

import numpy as np
import numpy.typing as npt

from plimsoll.usage.grown import grown
from plimsoll.usage.sample import HOUR_SECONDS, Float32Array, Float64Array, IntArray

Rows = npt.NDArray[np.integer]

KEPT_HOURS = 24
FULL = 0.8  # of the limit: a container above this has no room, and its cache says nothing of its wishes


class CacheFloor:
    """The cache that each row of a history kept, as minima of the last hours."""

    def __init__(self) -> None:
        self._least: Float32Array = np.empty((0, KEPT_HOURS), dtype=np.float32)  # NaN: nothing told
        self._hour: IntArray = np.empty(0, dtype=np.int64)

    def needed(
        self,
        rows: Rows,
        bytes_: Float64Array,
        cache_bytes: Float64Array,
        limit_bytes: Float64Array,
        now_seconds: float,
    ) -> Float64Array:
        """What of n samples is needed; `cache_bytes` NaN: not told, all is. Rows may occur several times."""
        with np.errstate(invalid="ignore"):
            told = (cache_bytes >= 0) & (cache_bytes <= bytes_) & (rows >= 0)
        if not told.any():
            return bytes_
        at, cache = rows[told].astype(np.int64), cache_bytes[told]
        self._advance(at, int(now_seconds // HOUR_SECONDS))
        kept = self.kept(at)
        with np.errstate(invalid="ignore"):
            full = bytes_[told] > FULL * limit_bytes[told]
        slot = int(now_seconds // HOUR_SECONDS) % KEPT_HOURS
        wished = np.where(full, np.fmin(cache, kept), cache).astype(np.float32)
        np.fmin.at(self._least, (at, np.full(len(at), slot)), wished)
        needed = bytes_.astype(np.float64, copy=True)
        needed[told] -= np.maximum(cache - self.kept(at), 0.0)
        return needed

    def kept(self, rows: Rows) -> Float64Array:
        """The cache [n] that counts as needed; NaN: nothing is known."""
        return np.asarray(np.fmin.reduce(self._least[rows], axis=1), dtype=np.float64)

    def doubt(self, rows: Rows) -> None:
        """The kernel killed although there was cache to take, or the rows are other containers' now."""
        self._grow(rows)
        self._least[rows] = np.nan

    def _advance(self, rows: IntArray, hour: int) -> None:
        """Forget the hours that are a day old."""
        self._grow(rows)
        passed = np.clip(hour - self._hour[rows], 0, KEPT_HOURS)
        age = (hour - np.arange(KEPT_HOURS)) % KEPT_HOURS
        self._least[rows] = np.where(age < passed[:, None], np.float32(np.nan), self._least[rows])
        self._hour[rows] = np.maximum(hour, self._hour[rows])

    def _grow(self, rows: Rows) -> None:
        count = int(rows.max(initial=-1)) + 1
        self._least = grown(self._least, count, np.nan)
        self._hour = grown(self._hour, count, 0)
