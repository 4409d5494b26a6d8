"""VPA's estimate as a forecast: a decaying histogram of daily peaks, read at any percentile, plus 15 %.

In: a usage window. Out: the distribution that VPA's recommender would read off: one sample a day, its
weight halved every 24 hours, in its exponential buckets, whose ends are what a percentile says. The
histogram with VPA's own bits, order of sums and checkpoints is `usage.histogram`; this is the same
estimate, for all rows at once, from a history.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from plimsoll.forecast.protocol import Hindcast, PeakDistribution
from plimsoll.forecast.window import HOURS_PER_DAY, FloatArray, UsageWindow, peak, trailing_peak
from plimsoll.usage.buckets import MEMORY_BUCKETS

MARGIN = 1.15  # VPA's --recommendation-margin-fraction
TARGET_LEVEL = 0.9  # VPA's --target-memory-percentile
HALF_LIFE_DAYS = 1.0  # VPA's --memory-histogram-decay-half-life


@dataclass(frozen=True, slots=True)
class VpaHistogram:
    """Percentiles of the daily peaks of 28 days."""

    name: str = "vpa"

    def peak(self, window: UsageWindow, horizon_seconds: float, levels: FloatArray) -> PeakDistribution:  # noqa: ARG002
        """Percentiles of the daily peaks x 1.15. The horizon plays no part: VPA's estimate has none."""
        return PeakDistribution(levels, MARGIN * percentiles(daily_peaks(window), levels))

    def hindcast(self, window: UsageWindow) -> Hindcast:
        """What VPA's target would have said of every day but the first, [n, 27]."""
        days = daily_peaks(window)
        said = [percentiles(days[:, :day], np.array([TARGET_LEVEL])) for day in range(1, days.shape[1])]
        with np.errstate(invalid="ignore", divide="ignore"):
            error = np.log(np.maximum(days[:, 1:], 1.0)) - np.log(MARGIN * np.concatenate(said, axis=1))
        now = MARGIN * percentiles(days, np.array([TARGET_LEVEL]))[:, 0]
        return Hindcast(now, error)


def daily_peaks(window: UsageWindow) -> FloatArray:
    """Peaks of 28 days that end now, [n, 28], oldest first; NaN for a day without a sample."""
    days = trailing_peak(window.hourly_bytes, HOURS_PER_DAY)[:, HOURS_PER_DAY - 1 :: HOURS_PER_DAY].copy()
    days[:, -1] = np.fmax(days[:, -1], peak(window.recent_bytes))
    return days


def percentiles(daily_bytes: FloatArray, levels: FloatArray) -> FloatArray:
    """Ends of the buckets that hold these levels, [n, q]; a day weighs half as much as the one after it."""
    seen: npt.NDArray[np.bool_] = np.asarray(np.isfinite(daily_bytes))
    ages = np.arange(daily_bytes.shape[1] - 1, -1, -1)
    weight = np.where(seen, np.exp2(-ages / HALF_LIFE_DAYS), 0.0)
    order = np.argsort(daily_bytes, axis=1)
    filled = np.where(seen, daily_bytes, 0.0)
    value = MEMORY_BUCKETS.ends[MEMORY_BUCKETS.find_array(filled.ravel()).reshape(filled.shape)]
    summed = np.cumsum(np.take_along_axis(weight, order, axis=1), axis=1)
    ordered = np.take_along_axis(value, order, axis=1)
    out = np.empty((len(daily_bytes), len(levels)))
    for column, level in enumerate(levels.tolist()):
        # The day at which the sum reaches the level; rounding must not carry it past the last one.
        reached = np.count_nonzero(summed < level * summed[:, -1:] * (1 - 1e-12), axis=1)
        out[:, column] = np.take_along_axis(ordered, reached[:, None], axis=1)[:, 0]
    known: npt.NDArray[np.bool_] = np.count_nonzero(seen, axis=1) > 0
    return np.where(known[:, None], out, np.nan)
