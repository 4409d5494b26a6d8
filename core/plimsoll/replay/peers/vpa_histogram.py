"""VPA's decaying exponential histograms of memory peaks, one per series, all in one matrix.

Each series gives one peak per 24 h window, with weight 1, stamped with the window's end; a higher peak in
the window takes the old one's place. A sample's weight doubles every 24 h (the half-life), which is the
same as all earlier ones halving. Buckets: the first is 10 MB wide, each next 5 % wider, 176 in all, as in
autoscaler's `vertical-pod-autoscaler/pkg/recommender/{model,util}`.
"""

import numpy as np

from plimsoll.replay.series import BINS_PER_DAY, BoolArray, FloatArray, IntArray

FIRST_BUCKET_BYTES = 1e7
RATIO = 1.05
BUCKETS = 176
EPSILON = 1e-4  # a bucket with less weight than this counts as empty
WINDOW_BINS = BINS_PER_DAY
MAX_DOUBLINGS = 100  # beyond it the weights are scaled down again, as VPA does

BUCKET_STARTS: FloatArray = np.asarray(
    FIRST_BUCKET_BYTES * (RATIO ** np.arange(BUCKETS) - 1) / (RATIO - 1), np.float64
)


def bucket_of(value_bytes: FloatArray) -> IntArray:
    """The bucket [n] that each value falls in."""
    scaled = np.maximum(value_bytes, 0) * (RATIO - 1) / FIRST_BUCKET_BYTES + 1
    bucket = (np.log(scaled) / np.log(RATIO)).astype(np.int64)
    return np.where(value_bytes < FIRST_BUCKET_BYTES, 0, np.minimum(bucket, BUCKETS - 1))


class PeakHistograms:
    """The histograms of `n` series and the peak of each one's present window."""

    def __init__(self, series: int) -> None:
        self._weight = np.zeros((series, BUCKETS))
        self._window_end = np.full(series, -1, dtype=np.int64)  # bin; -1: no sample yet
        self._first_end = np.zeros(series, dtype=np.int64)  # the reference that weights are counted from
        self._peak = np.zeros(series)

    def add(self, bin_index: int, sample_bytes: FloatArray) -> None:
        """Take in one sample a series (NaN: none), all of the same bin."""
        sampled = ~np.isnan(sample_bytes)
        fresh = sampled & (bin_index >= self._window_end)
        self._begin_windows(bin_index, fresh)
        higher = fresh | (sampled & (sample_bytes > self._peak))
        self._replace_peak(higher & ~fresh, -1.0)
        self._peak = np.where(higher, sample_bytes, self._peak)
        self._replace_peak(higher, 1.0)

    def percentile(self, fraction: float) -> FloatArray:
        """Upper end [n] of the bucket in which the percentile lies; 0 for an empty histogram."""
        weight = np.where(self._weight < EPSILON, 0.0, self._weight)
        cumulative = np.cumsum(weight, axis=1)
        bucket = (cumulative < fraction * cumulative[:, -1:]).sum(axis=1)
        value = BUCKET_STARTS[np.minimum(bucket + 1, BUCKETS - 1)]
        return np.where(cumulative[:, -1] > 0, value, 0.0)

    def _begin_windows(self, bin_index: int, fresh: BoolArray) -> None:
        first = fresh & (self._window_end < 0)
        self._first_end[first] = bin_index + WINDOW_BINS
        end = np.where(first, bin_index, self._window_end)
        end = end + ((bin_index - end) // WINDOW_BINS + 1) * WINDOW_BINS
        self._window_end = np.where(fresh, end, self._window_end)
        self._rescale(fresh & (self._doublings() > MAX_DOUBLINGS))

    def _replace_peak(self, rows: BoolArray, sign: float) -> None:
        index = np.flatnonzero(rows)
        bucket = bucket_of(self._peak[index])
        weight = np.maximum(self._weight[index, bucket] + sign * np.exp2(self._doublings()[index]), 0.0)
        self._weight[index, bucket] = weight

    def _doublings(self) -> FloatArray:
        return (self._window_end - self._first_end) / WINDOW_BINS

    def _rescale(self, rows: BoolArray) -> None:
        self._weight[rows] *= np.exp2(-self._doublings()[rows])[:, None]
        self._first_end[rows] = self._window_end[rows]
