"""The exponential buckets of VPA's histograms, bit for bit.

In: a value. Out: its bucket, or a bucket's start. Bucket 0 holds all below `first_bucket`, each next one is
wider by `ratio`, the last has no end. Source: VPA 1.8.1 pkg/recommender/util/histogram_options.go.
"""

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from plimsoll.usage import gomath
from plimsoll.usage.sample import Float64Array, IntArray


@dataclass(frozen=True)
class ExponentialBuckets:
    """VPA's `NewExponentialHistogramOptions`; the defaults are those of its memory histogram."""

    max_value: float = 1e12
    first_bucket: float = 1e7
    ratio: float = 1.05
    epsilon: float = 1e-4  # a bucket that weighs less counts as empty

    @cached_property
    def count(self) -> int:
        """Number of buckets (176 for memory)."""
        return math.ceil(self._log(self.max_value * (self.ratio - 1) / self.first_bucket + 1)) + 1

    @cached_property
    def starts(self) -> Float64Array:
        """Start of each bucket, `[count]`; the first is 0."""
        step = self.ratio - 1
        values = [self.first_bucket * (gomath.power(self.ratio, b) - 1) / step for b in range(1, self.count)]
        return np.array([0.0, *values])

    @cached_property
    def ends(self) -> Float64Array:
        """What a percentile that falls into a bucket reads, `[count]`: its end, and the last one's start."""
        return np.append(self.starts[1:], self.starts[-1])

    def find(self, value: float) -> int:
        """The bucket of one finite value."""
        if not math.isfinite(value):
            raise ValueError(f"a histogram takes finite samples, not {value}")
        if value < self.first_bucket:
            return 0
        return min(int(self._log(value * (self.ratio - 1) / self.first_bucket + 1)), self.count - 1)

    def find_array(self, values: Float64Array) -> IntArray:
        """The buckets of n finite values."""
        if not np.isfinite(values).all():
            raise ValueError("a histogram takes finite samples")
        clipped = np.maximum(values, self.first_bucket)
        logs = gomath.log_array(clipped * (self.ratio - 1) / self.first_bucket + 1) / gomath.log(self.ratio)
        found = np.minimum(logs.astype(np.int64), self.count - 1)
        return np.where(values < self.first_bucket, 0, found)

    def _log(self, x: float) -> float:
        return gomath.log(x) / gomath.log(self.ratio)


MEMORY_BUCKETS = ExponentialBuckets()
