"""Start-up peaks: what a process needs while it begins, which is not what it needs afterwards.

In: windows, the last starts and the last kills of each row. Out: which rows begin high (a JVM that warms
up, a cache that is read in, for as long as the CPU quota makes it last), how high, how likely another start
comes within the hour and finds its limit too low; the window without those peaks, and a forecast that holds
them with that chance. A start that its CPU quota throttles takes as much longer as that is seen to last. A
limit is then priced for steady use and for the start that may come, instead of holding yesterday's start
for a day and forgetting it after that. A start that is seen calls for its peak at once
(`LimitPipeline.observe_start`); how often that is too late is learned from the starts that were killed.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from plimsoll.forecast.protocol import PeakDistribution
from plimsoll.forecast.window import FloatArray, UsageWindow
from plimsoll.usage.events import Starts
from plimsoll.usage.history import THROTTLED_GAP_SECONDS, THROTTLED_START_SECONDS
from plimsoll.usage.sample import BIN_SECONDS, HOUR_SECONDS

BoolArray = npt.NDArray[np.bool_]
ColumnArray = npt.NDArray[np.int64]

STARTUP_RATIO = 1.3  # a start counts as high from so many times what comes after it
LATER_HOURS = (2, 3, 4)  # after the hour of the start and the one it may reach into
HELD_SECONDS = float(HOUR_SECONDS)  # after a start its peak may still come
CHANCE_PRIOR_HOURS = 24.0  # hours without a start that are taken for granted
# Starts taken for granted that were killed, and in all: one of the first three raises may come too late.
PRIOR_LATE, PRIOR_STARTS = 1.0, 2.0


@dataclass(frozen=True, slots=True)
class JudgedStarts:
    """The last starts of n rows, as far as the hours around them can be judged."""

    column: ColumnArray  # [n, k] of the hour of each start
    more_hours: ColumnArray  # [n, k] for which it was throttled after that hour
    peak_bytes: FloatArray  # [n, k] in these hours and the next
    later_bytes: FloatArray  # [n, k] peak of the hours after these
    high: BoolArray  # [n, k] began high
    judged: BoolArray  # [n, k] both are known

    def usual(self) -> BoolArray:
        """Rows [n] of which most starts were high."""
        found, judged = (np.count_nonzero(each, axis=1) for each in (self.high, self.judged))
        return np.asarray((found >= 1) & (2 * found > judged))


def starts_of(
    window: UsageWindow, starts: Starts, now_seconds: float, ratio: float = STARTUP_RATIO
) -> JudgedStarts:
    """Judge the starts [n, k] (NaN: none) of each row.

    The hour of a start also holds the end of the process before, so that one must have been low, too.
    """
    hourly = window.hourly_bytes
    more = _more_hours(starts)
    column, known = hours_of(starts.seconds, now_seconds, hourly.shape[1], LATER_HOURS[-1] + more)
    start = np.fmax(at(hourly, column), at(hourly, column + 1))
    for step in range(1, int(more.max(initial=0)) + 1):
        start = np.fmax(start, np.where(step <= more, at(hourly, column + 1 + step), np.nan))
    later = np.fmax.reduce([at(hourly, column + more + step) for step in LATER_HOURS])
    before = at(hourly, column - 1)
    with np.errstate(invalid="ignore"):
        low_before = np.isnan(before) | (before * ratio < start)
        high = known & (start > ratio * later) & low_before
    judged = known & np.isfinite(start) & np.isfinite(later)
    return JudgedStarts(column, more, start, later, high, judged)


def _more_hours(starts: Starts) -> ColumnArray:
    """Whole hours [n, k] after that of each start for which its process was throttled.

    None where that went on as long as it is followed: then it is not the start that wants more than its CPU.
    """
    until, since = starts.throttled_until_seconds, starts.seconds
    with np.errstate(invalid="ignore"):
        hours = np.floor(until / HOUR_SECONDS) - np.floor(since / HOUR_SECONDS)
        ended = until - since < THROTTLED_START_SECONDS - THROTTLED_GAP_SECONDS
    return np.where(ended & (hours > 0), hours, 0).astype(np.int64)


def hours_of(
    start_seconds: FloatArray, now_seconds: float, width: int, after: int | ColumnArray
) -> tuple[ColumnArray, BoolArray]:
    """Column [n, k] of the hour of each start, and whether the hours around it are in the window."""
    present = np.floor(now_seconds / HOUR_SECONDS)
    with np.errstate(invalid="ignore"):
        column = width - 1 - (present - np.floor(start_seconds / HOUR_SECONDS))
        known = np.isfinite(column) & (column >= 1) & (column < width - after)
    return np.where(known, column, 1).astype(np.int64), np.asarray(known)


def at(values: FloatArray, column: ColumnArray) -> FloatArray:
    """Values [n, k] at these columns, held within the window."""
    return np.take_along_axis(values, np.clip(column, 0, values.shape[1] - 1), axis=1)


@dataclass(frozen=True, slots=True)
class StartUps:
    """Rows of a window that begin high. All arrays are about these rows only."""

    places: npt.NDArray[np.intp]  # [m] in the window
    peak_bytes: FloatArray  # [m] the highest of their start-ups
    chance: FloatArray  # [m] of a start within the next hour that its raise comes too late for
    starting: BoolArray  # [m] a start is so recent that its peak may still come
    steady: UsageWindow  # the whole window, without the peaks of start-ups

    def mixed(self, forecast: PeakDistribution) -> PeakDistribution:
        """The forecast [n, q] of steady use, with a start-up in a share `chance` of the hours."""
        values = forecast.values_bytes.copy()
        for place, peak, chance in zip(self.places, self.peak_bytes, self.chance, strict=True):
            values[place] = _mixed(forecast.levels, values[place], peak, chance)
        return PeakDistribution(forecast.levels, values)

    def held_bytes(self, rows: int) -> FloatArray:
        """What no limit goes below while a process begins, [rows]; 0 elsewhere."""
        held = np.zeros(rows)
        held[self.places] = np.where(self.starting, self.peak_bytes, 0.0)
        return held


def startups_of(
    window: UsageWindow, known: Starts, kill_seconds: FloatArray, now_seconds: float
) -> StartUps | None:
    """What the starts [n, k] and kills [n, l] of a window's rows tell; None where no row begins high."""
    if not np.isfinite(known.seconds).any():
        return None
    starts = starts_of(window, known, now_seconds)
    places = np.flatnonzero(starts.usual())
    if not len(places):
        return None
    high, seconds = starts.high[places], known.seconds[places]
    lasted = np.fmax(seconds, known.throttled_until_seconds[places])
    seen = np.count_nonzero(np.isfinite(window.hourly_bytes[places]), axis=1)
    count = np.count_nonzero(np.isfinite(seconds) & (seconds <= now_seconds), axis=1)
    with np.errstate(invalid="ignore"):
        starting = np.asarray((np.abs(now_seconds - lasted) < HELD_SECONDS).any(axis=1))
    return StartUps(
        places,
        np.where(high, starts.peak_bytes[places], 0.0).max(axis=1),
        -np.expm1(-count / (seen + CHANCE_PRIOR_HOURS)) * _late(seconds, kill_seconds[places], high),
        starting,
        _without_peaks(window, starts, places, seconds, now_seconds),
    )


def _late(seconds: FloatArray, kill_seconds: FloatArray, high: BoolArray) -> FloatArray:
    """The share [m] of high starts that were killed within their first hour."""
    with np.errstate(invalid="ignore"):
        after = kill_seconds[:, None, :] - seconds[:, :, None]
        killed = high & ((after >= 0) & (after < HELD_SECONDS)).any(axis=2)
    late, starts = (np.count_nonzero(each, axis=1) for each in (killed, high))
    return np.asarray((late + PRIOR_LATE) / (starts + PRIOR_STARTS))


def _without_peaks(
    window: UsageWindow,
    starts: JudgedStarts,
    places: npt.NDArray[np.intp],
    seconds: FloatArray,
    now_seconds: float,
) -> UsageWindow:
    """No more in the hours of high starts than came after them."""
    hourly, recent = window.hourly_bytes.copy(), window.recent_bytes.copy()
    bins = recent.shape[1]
    first = bins - 1 - (np.floor(now_seconds / BIN_SECONDS) - np.floor(seconds / BIN_SECONDS))
    bins_an_hour = HOUR_SECONDS // BIN_SECONDS
    for index, start in zip(*np.nonzero(starts.high[places]), strict=True):
        place = places[index]
        later, column = starts.later_bytes[place, start], starts.column[place, start]
        hours = 2 + int(starts.more_hours[place, start])
        hourly[place, column : column + hours] = np.minimum(hourly[place, column : column + hours], later)
        begin, reach = int(first[index, start]), hours * bins_an_hour
        if begin + reach > 0:
            part = recent[place, max(begin, 0) : begin + reach]
            part[:] = np.minimum(part, later)  # NaN stays
    return UsageWindow(recent, hourly, window.rows)


def _mixed(levels: FloatArray, values: FloatArray, peak: float, chance: float) -> FloatArray:
    """Quantiles at `levels` of the larger of steady use and, with that chance, a start-up's peak."""
    steady_level = levels / (1 - chance)
    steady = np.interp(steady_level, levels, values)
    below = (steady_level < 1) & (steady < peak)
    return np.maximum.accumulate(np.where(below, np.maximum(steady, values), np.maximum(values, peak)))
