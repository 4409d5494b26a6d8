"""VPA's decaying histograms of all containers at once, bit for bit: `weights[n, 176]`.

In: one sample for each of some rows, per call. Out: percentiles, `[n, levels]`, in which a sample counts half
as much each half-life: new samples get larger weights, old ones keep theirs; when a weight would pass 2^100
everything is scaled down and the reference time moves. The arithmetic of VPA 1.8.1
pkg/recommender/util/{histogram,decaying_histogram}.go in the same order, so that every float is the same;
golden vectors made by that very package are in tests/golden/vpa. What the `vpa` recommender and baseline use.
"""

from collections.abc import Iterator
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from plimsoll.usage import gomath
from plimsoll.usage.buckets import MEMORY_BUCKETS, ExponentialBuckets
from plimsoll.usage.sample import BoolArray, Float64Array, IntArray

HALF_LIFE_SECONDS = 86_400  # VPA's default for memory
MAX_DECAY_EXPONENT = 100
# Go's zero time, 0001-01-01: the reference of a histogram that never saw a sample.
ZERO_TIME_SECONDS = -62_135_596_800

NS = 1_000_000_000
# Rows worked on at a time where `[n, 176]` arrays are needed in between: 11 MB each.
_BLOCK_ROWS = 8192

Column = TypeVar("Column", IntArray, Float64Array)


class DecayingHistograms:
    """Histograms of n containers: `weights[n, buckets]`; each call takes rows that differ from each other."""

    def __init__(
        self,
        count: int,
        buckets: ExponentialBuckets = MEMORY_BUCKETS,
        half_life_seconds: int = HALF_LIFE_SECONDS,
    ) -> None:
        self.buckets = buckets
        self.half_life_seconds = half_life_seconds
        self.weights: Float64Array = np.zeros((count, buckets.count))
        self.total_weight: Float64Array = np.zeros(count)
        self.min_bucket: IntArray = np.full(count, buckets.count - 1, dtype=np.int64)
        self.max_bucket: IntArray = np.zeros(count, dtype=np.int64)
        self.reference_seconds: Float64Array = np.full(count, float(ZERO_TIME_SECONDS))

    def add(
        self, rows: npt.ArrayLike, values: npt.ArrayLike, weights: npt.ArrayLike, seconds: npt.ArrayLike
    ) -> None:
        """Add one sample to each of n different rows (bytes, weight, Unix seconds; scalars broadcast)."""
        index, found, decayed = self._prepare(rows, values, weights, seconds)
        self.weights[index, found] += decayed
        self.total_weight[index] += decayed
        counts = self.weights[index, found] >= self.buckets.epsilon
        at, found = index[counts], found[counts]
        self.min_bucket[at] = np.minimum(self.min_bucket[at], found)
        self.max_bucket[at] = np.maximum(self.max_bucket[at], found)

    def subtract(
        self, rows: npt.ArrayLike, values: npt.ArrayLike, weights: npt.ArrayLike, seconds: npt.ArrayLike
    ) -> None:
        """Take one sample back from each of n different rows."""
        index, found, decayed = self._prepare(rows, values, weights, seconds)
        self.total_weight[index] = self._safe_subtract(self.total_weight[index], decayed)
        self.weights[index, found] = self._safe_subtract(self.weights[index, found], decayed)
        self._update_min_and_max(index)

    def percentiles(self, rows: npt.ArrayLike, levels: npt.ArrayLike) -> Float64Array:
        """`[n, levels]`: ends of the buckets that hold the levels; 0 where a histogram is empty."""
        index = np.atleast_1d(np.asarray(rows, dtype=np.int64))
        wanted = np.atleast_1d(np.asarray(levels, dtype=np.float64))
        parts = [self._percentiles(block, wanted) for block in _blocks(index)]
        return np.concatenate(parts) if parts else np.empty((0, len(wanted)))

    def _percentiles(self, index: IntArray, wanted: Float64Array) -> Float64Array:
        column = np.arange(self.buckets.count)
        low, high = self.min_bucket[index, None], self.max_bucket[index, None]
        inside = (column >= low) & (column < high)
        sums = np.cumsum(np.where(inside, self.weights[index], 0.0), axis=1)
        out = np.empty((len(index), len(wanted)))
        for place, level in enumerate(wanted):
            reached = inside & (sums >= level * self.total_weight[index, None])
            first = np.argmax(reached, axis=1)
            # None reached: the walk ends at the last bucket, or at once where there is but one.
            end = np.where(reached.any(axis=1), first, np.maximum(low, high)[:, 0])
            out[:, place] = self.buckets.ends[end]
        out[self.is_empty(index)] = 0.0
        return out

    def is_empty(self, rows: npt.ArrayLike) -> BoolArray:
        """True where no bucket weighs anything worth counting."""
        index = np.asarray(rows, dtype=np.int64)
        return self.weights[index, self.min_bucket[index]] < self.buckets.epsilon

    def _prepare(
        self, rows: npt.ArrayLike, values: npt.ArrayLike, weights: npt.ArrayLike, seconds: npt.ArrayLike
    ) -> tuple[IntArray, IntArray, Float64Array]:
        index = np.atleast_1d(np.asarray(rows, dtype=np.int64))
        if len(np.unique(index)) < len(index):
            raise ValueError("one call takes one sample a row")
        value, weight, time = (
            np.broadcast_to(np.asarray(column, dtype=np.float64), index.shape)
            for column in (values, weights, seconds)
        )
        if not (weight >= 0).all():
            raise ValueError("a sample's weight must not be negative")
        found = self.buckets.find_array(value)
        return index, found, weight * self._decay_factor(index, time)

    def _decay_factor(self, index: IntArray, seconds: Float64Array) -> Float64Array:
        limit = float(self.half_life_seconds * MAX_DECAY_EXPONENT)
        late = seconds > self.reference_seconds[index] + limit
        if late.any():
            self._shift(index[late], seconds[late])
        age_ns = np.rint((seconds - self.reference_seconds[index]) * NS)
        return gomath.exp2_array(age_ns / float(self.half_life_seconds * NS))

    def _shift(self, index: IntArray, seconds: Float64Array) -> None:
        half_life = float(self.half_life_seconds)
        past = np.mod(seconds + float(-ZERO_TIME_SECONDS % self.half_life_seconds), half_life)
        rounded = seconds - past + np.where(past + past >= half_life, half_life, 0.0)
        gone_ns = np.clip((self.reference_seconds[index] - rounded) * NS, -float(2**63), float(2**63))
        exponent = np.floor(gone_ns / (half_life * NS) + 0.5)
        factor: Float64Array = np.ldexp(1.0, np.clip(exponent, -5000, 5000).astype(np.int32))
        for block, scale in zip(_blocks(index), _blocks(factor), strict=True):
            self._scale(block, scale)
        self.total_weight[index] *= factor
        self._update_min_and_max(index)
        self.reference_seconds[index] = rounded

    def _scale(self, index: IntArray, factor: Float64Array) -> None:
        # As in VPA, what lies outside the first and last bucket that count is left as it is.
        column = np.arange(self.buckets.count)
        inside = (column >= self.min_bucket[index, None]) & (column <= self.max_bucket[index, None])
        weights = self.weights[index]
        self.weights[index] = np.where(inside, weights * factor[:, None], weights)

    def _safe_subtract(self, value: Float64Array, part: Float64Array) -> Float64Array:
        left = value - part
        return np.where(left < self.buckets.epsilon, 0.0, left)

    def _update_min_and_max(self, index: IntArray) -> None:
        column, last = np.arange(self.buckets.count), self.buckets.count - 1
        heavy = self.weights[index] >= self.buckets.epsilon
        above = heavy & (column >= self.min_bucket[index, None])
        below = heavy & (column <= self.max_bucket[index, None])
        self.min_bucket[index] = np.where(above.any(axis=1), np.argmax(above, axis=1), last)
        self.max_bucket[index] = np.where(below.any(axis=1), last - np.argmax(below[:, ::-1], axis=1), 0)


def _blocks(column: Column) -> Iterator[Column]:
    for start in range(0, len(column), _BLOCK_ROWS):
        yield column[start : start + _BLOCK_ROWS]
