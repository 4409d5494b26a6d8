"""Seasonal peak: what the coming hour used yesterday and a week ago, never less than the hour that ends.

In: a usage window. Out: the distribution of the next hour's peak. For workloads that follow the day or the
week. The hours next to the same one count too, because a day's load does not keep to the minute.
"""

from dataclasses import dataclass

import numpy as np

from plimsoll.forecast.prior import log_ratio_prior
from plimsoll.forecast.protocol import Hindcast, Memoryless, PeakDistribution
from plimsoll.forecast.window import HOURS_PER_DAY, HOURS_PER_WEEK, FloatArray, UsageWindow, last_hour_peak

# Hours beside the same hour that count as it: the load's clock may drift or be set for summer time.
NEIGHBOUR_HOURS = 1


@dataclass(frozen=True, slots=True)
class SeasonalPeak(Memoryless):
    """Maximum of the last hour, the coming hour yesterday and the coming hour a week ago."""

    name: str = "seasonal"

    def fit(self, window: UsageWindow) -> "FittedSeasonalPeak":
        """Look the coming hour up."""
        # The hour that holds now; its later neighbour is there for a horizon that ends in the next one.
        same_hour = seasonal_peaks(window.hourly_bytes[:, -HOURS_PER_WEEK - 3 :])[:, -1]
        return FittedSeasonalPeak(self.name, window, np.fmax(last_hour_peak(window), same_hour))


@dataclass(frozen=True, slots=True)
class FittedSeasonalPeak:
    """What the rule says of each row, and the window it is of."""

    name: str
    window: UsageWindow
    point_bytes: FloatArray  # [n]

    def predict(self, horizon_seconds: float, levels: FloatArray) -> PeakDistribution:
        """Distribution of the peak over the horizon."""
        ratio = np.exp(log_ratio_prior(self.name, levels, horizon_seconds))
        return PeakDistribution(levels, self.point_bytes[:, None] * ratio[None, :])

    def hindcast(self) -> Hindcast:
        """What the same rule would have said of every past hour."""
        hourly = self.window.hourly_bytes
        seasonal = seasonal_peaks(hourly)
        said = np.fmax(_shifted(hourly, 1), seasonal)
        error = np.log(np.maximum(hourly, 1.0)) - np.log(np.maximum(said, 1.0))
        # Without a yesterday the rule is the last hour alone: not the forecast that is judged here.
        return Hindcast(self.point_bytes, np.where(np.isfinite(seasonal), error, np.nan))


def seasonal_peaks(hourly: FloatArray) -> FloatArray:
    """For each hour the peak around the same hour a day and a week before, [n, t]; NaN: neither seen."""
    out = np.full_like(hourly, np.nan)
    for period in (HOURS_PER_DAY, HOURS_PER_WEEK):
        for neighbour in range(-NEIGHBOUR_HOURS, NEIGHBOUR_HOURS + 1):
            out = np.fmax(out, _shifted(hourly, period + neighbour))
    return out


def _shifted(hourly: FloatArray, hours: int) -> FloatArray:
    out = np.full_like(hourly, np.nan)
    out[:, hours:] = hourly[:, :-hours]
    return out
