"""Growth: where usage rises steadily since its last restart, follow the line; elsewhere the windowed peak.

In: a usage window. Out: the distribution of the peak at the horizon. When a leak reaches its limit is told
from the leak detector's slope (`leak.death`), whose false alarms are counted. The trend is the median of
slopes between hours half a span apart (a Theil-Sen estimate over Cox and Stuart's pairs: Sen, JASA 63 (1968);
Cox and Stuart, Biometrika 42 (1955)), so a few jumps do not bend it; its uncertainty is the sign test's
interval. Several spans are looked at, as leaks are slow and fills are fast; the steepest that surely rises is
followed.
"""

from dataclasses import dataclass
from math import comb
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

from plimsoll.forecast.prior import log_ratio_prior
from plimsoll.forecast.protocol import Hindcast, Memoryless, PeakDistribution
from plimsoll.forecast.window import HOURS_PER_DAY, FloatArray, UsageWindow, chunks, last_hour_peak
from plimsoll.forecast.windowed import FittedWindowedPeak, WindowedPeak
from plimsoll.usage.sample import HOUR_SECONDS

# Half spans in hours: slopes are between hours so far apart, and as many of them are asked.
LAGS = (6, 12, 36)
RESTART_RATIO = 0.7  # an hour below this part of the hour before: another process
TAIL = 0.025  # on either side of the interval
Z_OF_TAIL = NormalDist().inv_cdf(1 - TAIL)
# A rise of less than this part of usage over half a span is not worth following.
LEAST_RISE = 0.01
HINDCAST_HOURS = 14 * HOURS_PER_DAY
HINDCAST_ROWS = 256  # so many rows x 336 hours x 36 slopes at once are 25 MB


@dataclass(frozen=True, slots=True)
class Trend:
    """Steepest sure rise of each row and hour; NaN where usage does not surely rise."""

    slope: FloatArray  # [..] bytes per hour
    deviation: FloatArray  # [..] of the slope


@dataclass(frozen=True, slots=True)
class GrowthPeak(Memoryless):
    """The line of rows that grow."""

    name: str = "growth"

    def fit(self, window: UsageWindow) -> "FittedGrowth":
        """Find the rows that grow now."""
        trend = trend_of(window.hourly_bytes[:, :-1])
        return FittedGrowth(self.name, window, last_hour_peak(window), trend, WindowedPeak().fit(window))


@dataclass(frozen=True, slots=True)
class FittedGrowth:
    """Trends of n rows, and the windowed peak for those without one."""

    name: str
    window: UsageWindow
    last_bytes: FloatArray  # [n] last hour's peak
    trend: Trend  # [n]
    fallback: FittedWindowedPeak

    def grows(self) -> npt.NDArray[np.bool_]:
        """[n] True where usage surely rises, and is still there."""
        return np.isfinite(self.trend.slope) & np.isfinite(self.last_bytes)

    def predict(self, horizon_seconds: float, levels: FloatArray) -> PeakDistribution:
        """Distribution of the peak over the horizon: the line, its doubt, and what came above such lines."""
        hours = max(horizon_seconds / HOUR_SECONDS, 1.0)
        doubt = np.array([max(NormalDist().inv_cdf(level), 0.0) for level in levels.tolist()])
        slope = self.trend.slope[:, None] + doubt * self.trend.deviation[:, None]
        # An hour's jumps beside the line: over more hours it is the line that is in doubt, not they.
        ratio = np.exp(log_ratio_prior(self.name, levels, HOUR_SECONDS))
        line = (self.last_bytes[:, None] + slope * hours) * ratio
        other = self.fallback.predict(horizon_seconds, levels).values_bytes
        return PeakDistribution(levels, np.where(self.grows()[:, None], line, other))

    def hindcast(self) -> Hindcast:
        """What the line would have said of past hours in which it rose; of other rows, their own rule."""
        grows = self.grows()
        other = self.fallback.hindcast()
        errors = other.log_error.copy()
        errors[grows] = np.nan
        errors[grows, -HINDCAST_HOURS - 1 : -1] = line_errors(self.window.hourly_bytes[grows])
        # The present hour is not over: no error of the line yet.
        point = np.where(grows, self.last_bytes + self.trend.slope, other.point_bytes)
        return Hindcast(point, errors)


def line_errors(hourly_bytes: FloatArray) -> FloatArray:
    """Log errors [n, 336] of the line in the last whole hours; NaN where there was none to follow.

    `hourly_bytes` [n, t] is oldest first, its last column the present hour.
    """
    out = np.full((len(hourly_bytes), HINDCAST_HOURS), np.nan)
    for part in chunks(len(hourly_bytes), HINDCAST_ROWS):
        # Trends of the hours before the last whole ones; a trend looks at twice the longest lag.
        past = hourly_bytes[part, -HINDCAST_HOURS - 1 - 2 * max(LAGS) : -2]
        slope = _trends(past, HINDCAST_HOURS).slope
        came = hourly_bytes[part, -HINDCAST_HOURS - 1 : -1]
        said = hourly_bytes[part, -HINDCAST_HOURS - 2 : -2] + slope
        out[part] = np.log(np.maximum(came, 1.0)) - np.log(np.maximum(said, 1.0))
    return out


def trend_of(hourly_bytes: FloatArray) -> Trend:
    """The trend now [n], from whole hours [n, t], oldest first."""
    trends = _trends(hourly_bytes[:, -2 * max(LAGS) :], 1)
    return Trend(trends.slope[:, 0], trends.deviation[:, 0])


def _trends(hourly: FloatArray, hours: int) -> Trend:
    """The trend [n, hours] after each of the last `hours` hours: the steepest of all spans."""
    slope, deviation = (np.full((len(hourly), hours), np.nan) for _ in range(2))
    for lag in LAGS:
        found = _span(hourly[:, -hours - 2 * lag + 1 :], lag)
        steeper = np.isfinite(found.slope) & ~(found.slope <= slope)
        slope = np.where(steeper, found.slope, slope)
        deviation = np.where(steeper, found.deviation, deviation)
    return Trend(slope, deviation)


def _span(hourly: FloatArray, lag: int) -> Trend:
    """The trend of the last `2 * lag` hours, after each hour that has as many behind it."""
    restarts = _restarts(hourly)
    windows = np.lib.stride_tricks.sliding_window_view
    slopes = windows((hourly[:, lag:] - hourly[:, :-lag]) / lag, lag, axis=1)
    # A pair counts if it began in the process that runs in the window's last hour.
    same = windows(restarts[:, :-lag], lag, axis=1) == restarts[:, 2 * lag - 1 :, None]
    pairs = np.where(same, slopes, np.nan)
    ordered = np.sort(pairs, axis=2)  # NaN last
    count = np.isfinite(ordered).sum(axis=2)
    lowest = _LOWEST[lag][count]

    def at(rank: npt.NDArray[np.intp]) -> FloatArray:
        return np.asarray(np.take_along_axis(ordered, np.maximum(rank, 0)[:, :, None], axis=2)[:, :, 0])

    low, high = at(lowest), at(count - 1 - lowest)
    middle = (at((count - 1) // 2) + at(count // 2)) / 2
    usage = hourly[:, 2 * lag - 1 :]
    grows = (lowest >= 0) & (2 * count >= lag) & (low > 0) & (middle * lag > LEAST_RISE * usage)
    return Trend(np.where(grows, middle, np.nan), np.where(grows, (high - low) / (2 * Z_OF_TAIL), np.nan))


def _restarts(hourly: FloatArray) -> npt.NDArray[np.intp]:
    """How often usage fell as only a new process does, until each hour [n, t]; gaps are looked across."""
    known = hourly.copy()
    for hour in range(1, hourly.shape[1]):
        known[:, hour] = np.where(np.isnan(known[:, hour]), known[:, hour - 1], known[:, hour])
    with np.errstate(invalid="ignore"):
        fell = known[:, 1:] < RESTART_RATIO * known[:, :-1]
    return np.pad(np.cumsum(fell, axis=1), ((0, 0), (1, 0)))


def _lowest_ranks(most: int) -> npt.NDArray[np.intp]:
    """For each number of slopes the rank of the sign test's lower bound; -1: too few to bound anything."""
    ranks = []
    for count in range(most + 1):
        below = np.cumsum([comb(count, k) for k in range(count + 1)]) / 2.0**count
        ranks.append(int(np.count_nonzero(below <= TAIL)) - 1)
    return np.array(ranks, dtype=np.intp)


_LOWEST = {lag: _lowest_ranks(lag) for lag in LAGS}
