"""Recorded samples → series of 5-minute maxima, all series of one source in one matrix.

In: columns of samples (series code, Unix second, bytes, optional recorded maximum). Out: a
`SeriesBatch`. The rules are those of the replay contract: a sample's usage is its recorded maximum where
it has one, else its value; bin k of a series covers [t0 + 300 k, t0 + 300 (k + 1)) with t0 = floor(first
timestamp / 300) * 300; the last bin is the last sample's; a bin without a usable value is missing (NaN). A
value that is not finite or is negative is no usage and leaves its bin as it is.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from plimsoll.usage.sample import BIN_SECONDS, DAY_SECONDS, HOUR_SECONDS

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]

BINS_PER_HOUR = HOUR_SECONDS // BIN_SECONDS
BINS_PER_DAY = DAY_SECONDS // BIN_SECONDS


@dataclass(frozen=True, slots=True)
class SampleColumns:
    """Samples as they were read, in any order.

    `series` indexes into `series_ids`; absent columns are None.
    """

    series_ids: Sequence[str]
    series: IntArray  # [m]
    seconds: IntArray  # [m] Unix seconds
    memory_bytes: FloatArray  # [m]
    memory_max_bytes: FloatArray | None = None  # [m] NaN where the source has none


@dataclass(frozen=True, slots=True)
class SeriesBatch:
    """`n` series of one source, each counted from its own bin 0.

    Missing bins and the bins after a series' end are NaN.
    """

    source: str
    series_ids: tuple[str, ...]  # [n]
    usage_bytes: FloatArray  # [n, bins]
    length_bins: IntArray  # [n] bins up to and with the last sample's
    start_seconds: IntArray  # [n] Unix second at which bin 0 begins

    def __len__(self) -> int:
        return len(self.series_ids)

    @property
    def bins(self) -> int:
        """Bins of the longest series."""
        return int(self.usage_bytes.shape[1])

    def take(self, indices: Sequence[int] | IntArray) -> "SeriesBatch":
        """The batch of only these series, in this order, no wider than it must be."""
        index = np.asarray(indices, dtype=np.int64)
        length = self.length_bins[index]
        width = int(length.max(initial=0))
        return SeriesBatch(
            source=self.source,
            series_ids=tuple(self.series_ids[i] for i in index),
            usage_bytes=self.usage_bytes[index, :width],
            length_bins=length,
            start_seconds=self.start_seconds[index],
        )


def bin_samples(source: str, samples: SampleColumns) -> SeriesBatch:
    """Bin samples by maximum to the contract's 300 s bins."""
    n = len(samples.series_ids)
    series = samples.series
    first = np.full(n, np.iinfo(np.int64).max)
    last = np.full(n, np.iinfo(np.int64).min)
    np.minimum.at(first, series, samples.seconds)
    np.maximum.at(last, series, samples.seconds)
    start = first // BIN_SECONDS * BIN_SECONDS
    length = (last - start) // BIN_SECONDS + 1
    usage = np.full((n, int(length.max(initial=0))), np.nan)
    value = _usage(samples)
    known = np.isfinite(value) & (value >= 0)
    position = (samples.seconds[known] - start[series[known]]) // BIN_SECONDS
    np.fmax.at(usage, (series[known], position), value[known])
    return SeriesBatch(source, tuple(samples.series_ids), usage, length, start)


def batch_of(source: str, usage_by_series: dict[str, FloatArray]) -> SeriesBatch:
    """A batch of series that are binned already; each starts at second 0."""
    length = np.array([len(usage) for usage in usage_by_series.values()], dtype=np.int64)
    matrix = np.full((len(length), int(length.max(initial=0))), np.nan)
    for row, usage in enumerate(usage_by_series.values()):
        matrix[row, : len(usage)] = usage
    n = len(length)
    return SeriesBatch(source, tuple(usage_by_series), matrix, length, np.zeros(n, dtype=np.int64))


def _usage(samples: SampleColumns) -> FloatArray:
    if samples.memory_max_bytes is None:
        return samples.memory_bytes
    return np.where(np.isnan(samples.memory_max_bytes), samples.memory_bytes, samples.memory_max_bytes)
