"""Autopilot's moving windows: fixed statistics of decaying samples, chosen by how much an OOM kill matters.

After Rzadca et al., "Autopilot: workload autoscaling at Google", EuroSys 2020, section 3.2.2. The paper's:
the statistics (peak, decayed mean, load-adjusted percentile), the half-life of 48 h, which statistic goes
with which OOM tolerance, a margin of 10-15 %. Ours: hourly instead of 5-minute peaks (they are what is kept
for 28 days), a peak over 24 h (the paper keeps its N to itself), 15 % for limits of every size, and the
distribution around the recommendation, which is how wrong it was before. Peak, the mean's weights 2^-(age /
half-life) and a histogram weighed by size are the same in a public re-implementation that is not ours (see
`autopilot_ml`); half-life for memory and tolerances are confirmed by nothing but the paper. The replay peer
`autopilot` reads its limit off `window_peak` and `MARGIN` here.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from plimsoll.forecast.prior import log_ratio_prior
from plimsoll.forecast.protocol import Hindcast, Memoryless, PeakDistribution
from plimsoll.forecast.usage_grid import BUCKETS, MISSING, bucket_ends, buckets_of
from plimsoll.forecast.window import HOURS_PER_DAY, FloatArray, UsageWindow, peak, seen_hours, trailing_peak

HALF_LIFE_HOURS = 48.0
PEAK_HOURS = HOURS_PER_DAY
MARGIN = 1.15
# Past hours that the rule is tried on: two weeks, as in the other models.
HINDCAST_HOURS = 14 * HOURS_PER_DAY
LEAST_PAST_HOURS = 3


class OomTolerance(StrEnum):
    """Autopilot's classes of jobs, from the paper; `MEAN` is its statistic for batch jobs (there for CPU)."""

    MINIMAL = "minimal"
    LOW = "low"
    INTERMEDIATE = "intermediate"
    MEAN = "mean"


@dataclass(frozen=True, slots=True)
class MovingWindows(Memoryless):
    """The recommendation of one class of jobs. The default is what the paper gives most large jobs."""

    tolerance: OomTolerance = OomTolerance.LOW
    name: str = "moving-windows"

    def fit(self, window: UsageWindow) -> "FittedMovingWindows":
        """What the rule said before each of the last hours, and what it says now."""
        said = MARGIN * _STATISTICS[self.tolerance](window.hourly_bytes)[:, -HINDCAST_HOURS - 1 :]
        return FittedMovingWindows(self.name, window, said)


@dataclass(frozen=True, slots=True)
class FittedMovingWindows:
    """Recommendations of every hour."""

    name: str
    window: UsageWindow
    said_bytes: FloatArray  # [n, t] by all hours up to and with this one; the last column is the word now

    def predict(self, horizon_seconds: float, levels: FloatArray) -> PeakDistribution:
        """Distribution of the peak over the horizon: the recommendation and what came above such ones."""
        ratio = np.exp(log_ratio_prior(self.name, levels, horizon_seconds))
        return PeakDistribution(levels, self.said_bytes[:, -1:] * ratio[None, :])

    def hindcast(self) -> Hindcast:
        """What the recommendation of the hour before would have been to every whole past hour."""
        return said_and_came(self.window.hourly_bytes, self.said_bytes, LEAST_PAST_HOURS)


def said_and_came(hourly_bytes: FloatArray, said_bytes: FloatArray, least_hours: int) -> Hindcast:
    """Errors of a rule whose word after each hour was `said_bytes` [n, t], the last one now.

    The present hour is not over, so it is no error yet; nor are hours with a past of less than
    `least_hours` hours that were seen.
    """
    width = said_bytes.shape[1]
    came = hourly_bytes[:, -width:][:, 1:-1]
    before = said_bytes[:, :-2]
    seen = np.cumsum(np.isfinite(hourly_bytes), axis=1)[:, -width:][:, :-2]
    error = np.log(np.maximum(came, 1.0)) - np.log(np.maximum(before, 1.0))
    return Hindcast(said_bytes[:, -1], np.where(seen >= least_hours, error, np.nan))


def window_peak(hourly_bytes: FloatArray) -> FloatArray:
    """S_max [n]: the highest of these hours [n, t]; NaN where nothing was seen."""
    return peak(hourly_bytes)


def decayed_mean(hourly_bytes: FloatArray) -> FloatArray:
    """S_avg [n, t] after each hour: the mean of all hours so far, each weighing half of one 48 h younger."""
    kept = 0.5 ** (1 / HALF_LIFE_HOURS)
    total, weight = (np.zeros(len(hourly_bytes)) for _ in range(2))
    out = np.empty_like(hourly_bytes)
    for hour, usage in enumerate(hourly_bytes.T):
        seen = np.isfinite(usage)
        total = kept * total + np.where(seen, usage, 0.0)
        weight = kept * weight + seen
        out[:, hour] = np.where(weight > 0, total / np.maximum(weight, 1e-12), np.nan)
    return out


def load_percentile(hourly_bytes: FloatArray, level: float) -> FloatArray:
    """S_pj [n, t] after each of the last hours: the load-adjusted percentile, NaN in older columns.

    A sample's weight is its age's times its own size: the limit is to cover `level` of the load, not of the
    time.
    """
    anchor = np.maximum(peak(hourly_bytes), 1.0)
    buckets, ends = buckets_of(hourly_bytes, anchor), bucket_ends()
    hours = hourly_bytes.shape[1]
    histogram = np.zeros((len(hourly_bytes), BUCKETS))
    out = np.full_like(hourly_bytes, np.nan)
    for hour in seen_hours(hourly_bytes):
        rows = np.flatnonzero(buckets[:, hour] != MISSING)
        bucket = buckets[rows, hour]
        # Weights that grow with time instead of sums that decay: a percentile knows no scale.
        histogram[rows, bucket] += ends[bucket] * 2.0 ** ((hour - hours) / HALF_LIFE_HOURS)
        if hour >= hours - HINDCAST_HOURS - 1:
            below = np.cumsum(histogram, axis=1)
            out[:, hour] = anchor * ends[np.argmax(below >= level * below[:, -1:], axis=1)]
    return np.where(np.cumsum(buckets != MISSING, axis=1) > 0, out, np.nan)


def _minimal(hourly_bytes: FloatArray) -> FloatArray:
    return np.asarray(trailing_peak(hourly_bytes, PEAK_HOURS))


def _low(hourly_bytes: FloatArray) -> FloatArray:
    return load_percentile(hourly_bytes, 0.98)


def _intermediate(hourly_bytes: FloatArray) -> FloatArray:
    return np.asarray(np.fmax(load_percentile(hourly_bytes, 0.60), 0.5 * _minimal(hourly_bytes)))


_STATISTICS: dict[OomTolerance, Callable[[FloatArray], FloatArray]] = {
    OomTolerance.MINIMAL: _minimal,
    OomTolerance.LOW: _low,
    OomTolerance.INTERMEDIATE: _intermediate,
    OomTolerance.MEAN: decayed_mean,
}
