"""VPA's decaying histogram of one container, bit for bit: what `usage.histogram_bank` is held against.

In: samples with a weight and a time. Out: percentiles in which a sample counts half as much each half-life.
New samples get larger weights, old ones keep theirs; when a weight would pass 2^100 everything is scaled down
and the reference time moves. It mirrors VPA 1.8.1 pkg/recommender/util/{histogram,decaying_histogram}.go;
golden vectors made by that very package are in tests/golden/vpa.
"""

import math

from plimsoll.usage.buckets import MEMORY_BUCKETS, ExponentialBuckets
from plimsoll.usage.gomath import _exp_reduced
from plimsoll.usage.histogram_bank import HALF_LIFE_SECONDS, MAX_DECAY_EXPONENT, NS, ZERO_TIME_SECONDS

_MAX_DURATION_NS = 2**63 - 1  # Go's time differences saturate at 292 years


class DecayingHistogram:
    """One container's histogram. Times are Unix seconds, exact to the nanosecond."""

    def __init__(
        self, buckets: ExponentialBuckets = MEMORY_BUCKETS, half_life_seconds: int = HALF_LIFE_SECONDS
    ) -> None:
        self.buckets = buckets
        self.half_life_seconds = half_life_seconds
        self.weights = [0.0] * buckets.count
        self.total_weight = 0.0
        self.min_bucket = buckets.count - 1
        self.max_bucket = 0
        self.half_life_ns = half_life_seconds * NS
        self.reference_ns = 0  # since Go's zero time; always a multiple of the half-life

    @property
    def reference_seconds(self) -> int:
        """The time at which a sample of weight 1 weighs 1; a multiple of the half-life since year 1."""
        return self.reference_ns // NS + ZERO_TIME_SECONDS

    @property
    def is_empty(self) -> bool:
        """True where no bucket weighs anything worth counting."""
        return self.weights[self.min_bucket] < self.buckets.epsilon

    def add(self, value: float, weight: float, seconds: float) -> None:
        """Add a sample."""
        bucket = self.buckets.find(value)
        decayed = _checked(weight) * self._decay_factor(_since_zero(seconds))
        self.weights[bucket] += decayed
        self.total_weight += decayed
        if self.weights[bucket] >= self.buckets.epsilon:
            self.min_bucket = min(self.min_bucket, bucket)
            self.max_bucket = max(self.max_bucket, bucket)

    def subtract(self, value: float, weight: float, seconds: float) -> None:
        """Take a sample back, as when a higher peak replaces it in its window."""
        bucket = self.buckets.find(value)
        decayed = _checked(weight) * self._decay_factor(_since_zero(seconds))
        self.total_weight = self._safe_subtract(self.total_weight, decayed)
        self.weights[bucket] = self._safe_subtract(self.weights[bucket], decayed)
        self._update_min_and_max()

    def percentile(self, level: float) -> float:
        """The end of the bucket that holds this level (0 to 1); 0 for an empty histogram."""
        if self.is_empty:
            return 0.0
        threshold = level * self.total_weight
        partial = 0.0
        bucket = self.min_bucket
        while bucket < self.max_bucket:
            partial += self.weights[bucket]
            if partial >= threshold:
                break
            bucket += 1
        return float(self.buckets.ends[bucket])

    def merge(self, other: "DecayingHistogram") -> None:
        """Add all samples of another histogram; the one with the older reference is shifted."""
        if (self.buckets, self.half_life_ns) != (other.buckets, other.half_life_ns):
            raise ValueError("histograms with other buckets or another half-life cannot be merged")
        if self.reference_ns < other.reference_ns:
            self.shift_reference(other.reference_ns)
        elif other.reference_ns < self.reference_ns:
            other.shift_reference(self.reference_ns)
        for bucket in range(other.min_bucket, other.max_bucket + 1):
            self.weights[bucket] += other.weights[bucket]
        self.total_weight += other.total_weight
        self.min_bucket = min(self.min_bucket, other.min_bucket)
        self.max_bucket = max(self.max_bucket, other.max_bucket)

    def _decay_factor(self, time_ns: int) -> float:
        if time_ns > self.reference_ns + self.half_life_ns * MAX_DECAY_EXPONENT:
            self.shift_reference(time_ns)
        return exp2(float(_duration(time_ns, self.reference_ns)) / float(self.half_life_ns))

    def shift_reference(self, time_ns: int) -> None:
        """Scale the weights so that the multiple of the half-life next to this time becomes the reference."""
        past = time_ns % self.half_life_ns
        rounded = time_ns - past + (self.half_life_ns if past + past >= self.half_life_ns else 0)
        exponent = float(_duration(self.reference_ns, rounded)) / float(self.half_life_ns)
        factor = math.ldexp(1.0, math.floor(exponent + 0.5))
        for bucket in range(self.min_bucket, self.max_bucket + 1):
            self.weights[bucket] *= factor
        self.total_weight *= factor
        self._update_min_and_max()
        self.reference_ns = rounded

    def _safe_subtract(self, value: float, part: float) -> float:
        left = value - part
        return 0.0 if left < self.buckets.epsilon else left

    def _update_min_and_max(self) -> None:
        epsilon, last = self.buckets.epsilon, self.buckets.count - 1
        while self.weights[self.min_bucket] < epsilon and self.min_bucket < last:
            self.min_bucket += 1
        while self.weights[self.max_bucket] < epsilon and self.max_bucket > 0:
            self.max_bucket -= 1


def exp2(x: float) -> float:
    """2**x for x <= 1024."""
    if x < -1074:
        return 0.0
    k = math.trunc(x + math.copysign(0.5, x))
    return math.ldexp(_exp_reduced(x - k), k)


def _checked(weight: float) -> float:
    if not weight >= 0:
        raise ValueError(f"a sample's weight must not be negative: {weight}")
    return weight


def _since_zero(seconds: float) -> int:
    whole = math.floor(seconds)
    return (whole - ZERO_TIME_SECONDS) * NS + round((seconds - whole) * NS)


def _duration(later_ns: int, earlier_ns: int) -> int:
    return max(-_MAX_DURATION_NS - 1, min(_MAX_DURATION_NS, later_ns - earlier_ns))
