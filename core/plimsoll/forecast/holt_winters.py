"""Additive Holt-Winters over hourly peaks: a level, a trend and a season of 24 hours, for all rows at once.

In: a usage window. Out: the distribution of the next hour's peak, which is the one-step forecast and what
came above such forecasts. After Winters, "Forecasting sales by exponentially weighted moving averages",
Management Science 6 (1960), in the component form of Hyndman and Athanasopoulos, "Forecasting: principles
and practice" (3rd ed., section 8.3). Each row's smoothing parameters are those of a small grid that erred
least in its own past. An hour without a sample leaves the state as it is.
"""

from dataclasses import dataclass
from itertools import product

import numpy as np

from plimsoll.forecast.prior import log_ratio_prior
from plimsoll.forecast.protocol import Hindcast, Memoryless, PeakDistribution
from plimsoll.forecast.window import HOURS_PER_DAY, FloatArray, UsageWindow, peak, seen_hours

# Level, trend and season. Trends of hourly maxima are slow or they are noise; seasons are learned in days.
ALPHAS, BETAS, GAMMAS = (0.15, 0.4, 0.8), (0.0, 0.03), (0.1, 0.4)
GRID: FloatArray = np.array(list(product(ALPHAS, BETAS, GAMMAS)))
# An error of the past counts half after three days: the parameters may change with the workload.
ERROR_KEPT = 0.5 ** (1 / (3 * HOURS_PER_DAY))
PAST_HOURS = 14 * HOURS_PER_DAY
# Before a day has passed there is no season, and the rule is another one.
LEAST_PAST_HOURS = HOURS_PER_DAY
# A trend or a season may point below nothing: no forecast is under this part of the hour before.
LEAST_PART = 0.1


@dataclass(frozen=True, slots=True)
class HoltWinters(Memoryless):
    """One-step forecasts of all hours, by the parameters that were best until then."""

    name: str = "holt-winters"

    def fit(self, window: UsageWindow) -> "FittedHoltWinters":
        """Walk the hours."""
        recent = window.hourly_bytes[:, -PAST_HOURS:]
        anchor = np.maximum(peak(recent), 1.0)
        hourly = recent / anchor[:, None]
        state = _Smoothing(len(hourly))
        said = np.full_like(hourly, np.nan)
        whole = hourly.shape[1] - 1
        for hour in seen_hours(hourly[:, :whole]):
            said[:, hour] = state.forecast(hour)
            state.update(hour, hourly[:, hour])
        said[:, whole] = _coming(state, whole, hourly[:, whole])
        return FittedHoltWinters(self.name, window, said * anchor[:, None])


@dataclass(frozen=True, slots=True)
class FittedHoltWinters:
    """The forecasts of n rows."""

    name: str
    window: UsageWindow
    said_bytes: FloatArray  # [n, t] for each hour, made before it; the last column is the word now

    def predict(self, horizon_seconds: float, levels: FloatArray) -> PeakDistribution:
        """Distribution of the peak over the horizon."""
        ratio = np.exp(log_ratio_prior(self.name, levels, horizon_seconds))
        return PeakDistribution(levels, self.said_bytes[:, -1:] * ratio[None, :])

    def hindcast(self) -> Hindcast:
        """Errors of the one-step forecasts of the last whole hours, once a day had been seen."""
        whole = self.window.hourly_bytes[:, -PAST_HOURS:-1]
        before = np.cumsum(np.isfinite(whole), axis=1) - np.isfinite(whole)
        error = np.log(np.maximum(whole, 1.0)) - np.log(np.maximum(self.said_bytes[:, :-1], 1.0))
        known = np.where(before >= LEAST_PAST_HOURS, error, np.nan)
        return Hindcast(self.said_bytes[:, -1], known)


class _Smoothing:
    """State of n rows under every choice of parameters, [n, grid]; usage over the row's maximum."""

    def __init__(self, rows: int) -> None:
        self._alpha, self._beta, self._gamma = GRID.T
        self._level = np.full((rows, len(GRID)), np.nan)
        self._trend = np.zeros((rows, len(GRID)))
        self._season = np.zeros((HOURS_PER_DAY, rows, len(GRID)))
        self._error = np.zeros((rows, len(GRID)))
        self._last = np.full(rows, np.nan)

    def forecast(self, hour: int) -> FloatArray:
        """The next hour [n] by each row's best parameters so far; NaN where nothing was seen."""
        best = np.argmin(self._error, axis=1)[:, None]
        said = np.take_along_axis(self._all(hour), best, axis=1)[:, 0]
        return np.asarray(np.maximum(said, LEAST_PART * self._last))

    def update(self, hour: int, usage: FloatArray) -> None:
        """An hour is over; NaN [n]: the row's state stays as it is."""
        seen = np.isfinite(usage)[:, None]
        came = usage[:, None]
        fresh = seen & np.isnan(self._level)
        season = self._season[hour % HOURS_PER_DAY]
        expected = self._level + self._trend
        error = np.abs(came - expected - season)
        level = self._alpha * (came - season) + (1 - self._alpha) * expected
        trend = self._beta * (level - self._level) + (1 - self._beta) * self._trend
        later = self._gamma * (came - expected) + (1 - self._gamma) * season
        known = seen & ~fresh
        self._level = np.where(fresh, came, np.where(known, level, self._level))
        self._trend = np.where(known, trend, self._trend)
        self._season[hour % HOURS_PER_DAY] = np.where(known, later, season)
        self._error = np.where(known, ERROR_KEPT * self._error + error, self._error)
        self._last = np.where(seen[:, 0], usage, self._last)

    def _all(self, hour: int) -> FloatArray:
        return np.asarray(self._level + self._trend + self._season[hour % HOURS_PER_DAY])


def _coming(state: _Smoothing, hour: int, present: FloatArray) -> FloatArray:
    """The forecast [n] of the hour that runs; where it has begun, of the rest of it and the hour after.

    A running hour that is above its forecast already is learned from: it can only rise.
    """
    running = state.forecast(hour)
    state.update(hour, np.where(present > running, present, np.nan))
    after = np.fmax(np.fmax(running, present), state.forecast(hour + 1))
    return np.where(np.isfinite(present), after, running)
