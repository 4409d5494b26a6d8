"""VPA's estimate as a forecast: its own decaying histogram of daily peaks, read at any percentile, plus 15 %.

In: a usage window. Out: the distribution that VPA's recommender would read off: one sample a day, its
weight halved every 24 hours, in its exponential buckets, whose ends are what a percentile says. The
histogram is `usage.histogram_bank`, bit for bit VPA's (golden vectors in tests/golden/vpa).
"""

from dataclasses import dataclass

import numpy as np

from plimsoll.forecast.protocol import Hindcast, Memoryless, PeakDistribution
from plimsoll.forecast.window import HOURS_PER_DAY, FloatArray, UsageWindow, peak, trailing_peak
from plimsoll.usage.histogram_bank import DecayingHistograms
from plimsoll.usage.sample import DAY_SECONDS

MARGIN = 1.15  # VPA's --recommendation-margin-fraction
TARGET_LEVEL = 0.9  # VPA's --target-memory-percentile
# A window knows ages, not dates. Percentiles depend on ages alone: any multiple of the half-life will do.
FIRST_DAY = 20_000


@dataclass(frozen=True, slots=True)
class VpaHistogram(Memoryless):
    """Percentiles of the daily peaks of 28 days."""

    name: str = "vpa"

    def fit(self, window: UsageWindow) -> "FittedVpa":
        """Feed day after day into the histograms, and note what VPA's target said before each."""
        days = daily_peaks(window)
        histograms = DecayingHistograms(len(days))
        said = np.full(days.shape, np.nan)
        for day, came in enumerate(days.T):
            said[:, day] = MARGIN * _known(histograms, np.array([TARGET_LEVEL]))[:, 0]
            seen = np.flatnonzero(np.isfinite(came))
            histograms.add(seen, came[seen], 1.0, DAY_SECONDS * (FIRST_DAY + day))
        return FittedVpa(histograms, days, said)


@dataclass(frozen=True, slots=True)
class FittedVpa:
    """The histograms of n rows, their daily peaks, and what was said of each day before it came."""

    histograms: DecayingHistograms
    daily_bytes: FloatArray  # [n, 28]
    said_bytes: FloatArray  # [n, 28]

    def predict(self, horizon_seconds: float, levels: FloatArray) -> PeakDistribution:  # noqa: ARG002
        """Percentiles of the daily peaks x 1.15. The horizon plays no part: VPA's estimate has none."""
        return PeakDistribution(levels, MARGIN * _known(self.histograms, levels))

    def hindcast(self) -> Hindcast:
        """What VPA's target would have said of every day, [n, 28]."""
        error = np.log(np.maximum(self.daily_bytes, 1.0)) - np.log(self.said_bytes)
        return Hindcast(MARGIN * _known(self.histograms, np.array([TARGET_LEVEL]))[:, 0], error)


def daily_peaks(window: UsageWindow) -> FloatArray:
    """Peaks of 28 days that end now, [n, 28], oldest first; NaN for a day without a sample."""
    days = trailing_peak(window.hourly_bytes, HOURS_PER_DAY)[:, HOURS_PER_DAY - 1 :: HOURS_PER_DAY].copy()
    days[:, -1] = np.fmax(days[:, -1], peak(window.recent_bytes))
    return days


def _known(histograms: DecayingHistograms, levels: FloatArray) -> FloatArray:
    """Percentiles [n, levels]; NaN for a histogram that never saw a sample."""
    rows = np.arange(len(histograms.total_weight))
    values = histograms.percentiles(rows, levels)
    return np.where(histograms.is_empty(rows)[:, None], np.nan, values)
