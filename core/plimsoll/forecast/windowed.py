"""Windowed peak: the highest usage of the last 14 days, times what came above such peaks elsewhere.

In: a usage window. Out: the distribution of the next hour's peak. The point forecast is the trailing
maximum; the ratio above it comes from many recorded series (`prior.py`), and `recommend.buffer` corrects it
by the row's own past. The simplest model that never falls below what it has seen, and the one to read
first.
"""

from dataclasses import dataclass

import numpy as np

from plimsoll.forecast.prior import log_ratio_prior
from plimsoll.forecast.protocol import Hindcast, PeakDistribution
from plimsoll.forecast.window import HOURS_PER_DAY, FloatArray, UsageWindow, peak, trailing_peak

# A peak this old is forgotten. Shorter windows forget the peaks of weekly restarts and jobs.
DEFAULT_HOURS = 14 * HOURS_PER_DAY
# Hours of past that an error needs behind it: errors of a peak of two hours say little.
LEAST_PAST_HOURS = 3


@dataclass(frozen=True, slots=True)
class WindowedPeak:
    """Maximum of the last `hours` hours."""

    hours: int = DEFAULT_HOURS
    name: str = "windowed"

    def peak(self, window: UsageWindow, horizon_seconds: float, levels: FloatArray) -> PeakDistribution:
        """Distribution of the peak over the horizon."""
        ratio = np.exp(log_ratio_prior(self.name, levels, horizon_seconds))
        return PeakDistribution(levels, self._point(window)[:, None] * ratio[None, :])

    def hindcast(self, window: UsageWindow) -> Hindcast:
        """What the maximum of the hours before would have said of every past hour."""
        before = trailing_peak(window.hourly_bytes, self.hours)[:, :-1]
        seen = np.cumsum(np.isfinite(window.hourly_bytes), axis=1)[:, :-1]
        came, said = np.maximum(window.hourly_bytes[:, 1:], 1.0), np.maximum(before, 1.0)
        return Hindcast(
            self._point(window), np.where(seen >= LEAST_PAST_HOURS, np.log(came) - np.log(said), np.nan)
        )

    def _point(self, window: UsageWindow) -> FloatArray:
        return np.fmax(peak(window.hourly_bytes[:, -self.hours :]), peak(window.recent_bytes))
