"""Windowed peak: the highest usage of the last 14 days, times what came above such peaks elsewhere.

In: a usage window. Out: the distribution of the next hour's peak. The point forecast is the trailing
maximum; the ratio above it comes from many recorded series (`prior.py`), and `recommend.buffer` corrects it
by the row's own past. The simplest model that never falls below what it has seen, and the one to read
first.
"""

from dataclasses import dataclass

import numpy as np

from plimsoll.forecast.prior import log_ratio_prior
from plimsoll.forecast.protocol import Hindcast, Memoryless, PeakDistribution
from plimsoll.forecast.window import HOURS_PER_DAY, FloatArray, UsageWindow, peak, trailing_peak

# A peak this old is forgotten. Shorter windows forget the peaks of weekly restarts and jobs.
DEFAULT_HOURS = 14 * HOURS_PER_DAY
# Hours of past that an error needs behind it: errors of a peak of two hours say little.
LEAST_PAST_HOURS = 3


@dataclass(frozen=True, slots=True)
class WindowedPeak(Memoryless):
    """Maximum of the last `hours` hours."""

    hours: int = DEFAULT_HOURS
    name: str = "windowed"

    def fit(self, window: UsageWindow) -> "FittedWindowedPeak":
        """Find the maximum."""
        point = np.fmax(peak(window.hourly_bytes[:, -self.hours :]), peak(window.recent_bytes))
        return FittedWindowedPeak(self, window, point)


@dataclass(frozen=True, slots=True)
class FittedWindowedPeak:
    """The maximum of each row, and the window it is of."""

    model: WindowedPeak
    window: UsageWindow
    point_bytes: FloatArray  # [n]

    def predict(self, horizon_seconds: float, levels: FloatArray) -> PeakDistribution:
        """Distribution of the peak over the horizon."""
        ratio = np.exp(log_ratio_prior(self.model.name, levels, horizon_seconds))
        return PeakDistribution(levels, self.point_bytes[:, None] * ratio[None, :])

    def hindcast(self) -> Hindcast:
        """What the maximum of the hours before would have said of every past hour."""
        hourly = self.window.hourly_bytes
        before = trailing_peak(hourly, self.model.hours)[:, :-1]
        seen = np.cumsum(np.isfinite(hourly), axis=1)[:, :-1]
        error = np.log(np.maximum(hourly[:, 1:], 1.0)) - np.log(np.maximum(before, 1.0))
        return Hindcast(self.point_bytes, np.where(seen >= LEAST_PAST_HOURS, error, np.nan))
