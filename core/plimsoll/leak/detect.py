"""Which rows leak: growth that lasts, that yesterday does not explain, and that does not level off.

In: a usage window, when processes were started, how long growth must have lasted. Out: a `Finding` a row.
Four tests must agree. The troughs rise (Mann-Kendall) by a worthwhile part (Theil-Sen); the same hours of
the day before lay lower by as much, so that a daily pattern is none; the level is a record of this process,
so that a Monday is none; the last third still rises, so that a warm-up is none. Steep growth is told after
a quarter of the time. Slow growth under a daily pattern shows between days instead: two days in a row, at
nearly every hour, above the day before (a seasonal Kendall test, Hirsch, Slack and Smith 1982). A process
that dies young shows its leak in several lives. None of this tells a row that is below what its earlier
processes settled at: see `lives`.
"""

from dataclasses import dataclass, fields, replace

import numpy as np
import numpy.typing as npt

from plimsoll.forecast.ordered import ordered
from plimsoll.forecast.window import (
    BINS_PER_DAY,
    BINS_PER_HOUR,
    HOURS_PER_DAY,
    FloatArray,
    IntArray,
    UsageWindow,
    last_hour_peak,
    part_of,
    quantile_of_seen,
)
from plimsoll.leak.lives import warms_up
from plimsoll.leak.trend import TIE_FRACTION, BoolArray, LifeArray, kendall, sen_slope
from plimsoll.usage.sample import BIN_SECONDS, HOUR_SECONDS, MIN_MEDIAN_BYTES

BLOCKS = 24
DEFAULT_WINDOW_HOURS = 24


@dataclass(frozen=True, slots=True)
class LeakSettings:
    """Thresholds; those of `tau` and `rise` were calibrated, see bench/leak.py."""

    tau: float = 0.8  # of the troughs over the window
    rise: float = 0.10  # over the window, of the level
    steep_tau: float = 0.9  # the same for a quarter of the window
    steep_rise: float = 0.30
    day_share: float = 0.9  # of the hours of two days that lie above the same hour a day before
    day_rise: float = 0.08  # from day to day, of the level
    day_still: float = 0.4  # the rise of one of the two days, of the other's
    day_window_hours: int = 48  # rows whose growth must have lasted longer are not told by their days
    young_tau: float = 0.85  # over three quarters of the window, where there is no yesterday yet
    young_rise: float = 0.08
    young_still: float = 0.5
    lives_tau: float = 0.8  # pooled over several lives
    lives_rise: float = 0.30
    least_lives: int = 2  # of at least `life_blocks` blocks
    life_blocks: int = 4
    life_still: float = 0.6  # slope at the end of a life, of that at its beginning: below this it settled
    life_margin: float = 1.10  # of the level at which earlier lives settled
    seen: float = 0.75  # part of the blocks that must be known
    yesterday: float = 0.6  # part of the rise that must stand against the same hours a day before
    still: float = 0.4  # slope of the last third, of the whole
    record_level: float = 0.9  # quantile of this process's earlier hours that must be exceeded
    growing_tau: float = 0.3  # a row that leaks goes on leaking above this
    least_bytes: float = MIN_MEDIAN_BYTES  # idle containers do not leak


SETTINGS = LeakSettings()


@dataclass(frozen=True, slots=True)
class Findings:
    """What one look at n rows says."""

    leaks: BoolArray  # [n]
    growing: BoolArray  # [n] not enough to be told, but enough to go on being told
    slope: FloatArray  # [n] bytes/s, NaN where it was not worth finding out
    slope_low: FloatArray  # [n] 95 % interval
    slope_high: FloatArray  # [n]
    present_bytes: FloatArray  # [n] peak of the last hour


def find_leaks(
    window: UsageWindow,
    start_seconds: FloatArray,
    now_seconds: float,
    window_hours: IntArray,
    settings: LeakSettings = SETTINGS,
) -> Findings:
    """Look at a chunk of rows. `start_seconds` [n, k]: when processes were started, NaN where they are fewer;
    `window_hours` [n]: how long growth must have lasted.
    """
    asked = np.unique(window_hours).tolist()
    if len(asked) == 1:  # nearly always: policies say the same
        return _look(window, start_seconds, now_seconds, int(asked[0]), settings)
    out = _nothing(len(window))
    for hours in asked:
        rows = np.flatnonzero(window_hours == hours)
        found = _look(part_of(window, rows), start_seconds[rows], now_seconds, int(hours), settings)
        for each in fields(Findings):
            getattr(out, each.name)[rows] = getattr(found, each.name)
    return out


@dataclass(frozen=True, slots=True)
class _Troughs:
    """Minima of the last blocks of time, and the life that each belongs to."""

    values: FloatArray  # [n, k]
    life: LifeArray  # [n, k]
    seconds: float  # of a block

    @property
    def reach_seconds(self) -> float:
        return float(self.seconds * self.values.shape[1])

    def of(self, rows: npt.NDArray[np.intp]) -> "_Troughs":
        return _Troughs(self.values[rows], self.life[rows], self.seconds)

    def last(self, blocks: int) -> "_Troughs":
        return _Troughs(self.values[:, -blocks:], self.life[:, -blocks:], self.seconds)


@dataclass(frozen=True, slots=True)
class _Test:
    """One stretch of time, and what growth must be over it."""

    hours: int
    tau: float
    rise: float
    still: float
    young: bool = False  # for rows without a yesterday only


def _tests(hours: int, settings: LeakSettings) -> list[_Test]:
    tests = [_Test(hours, settings.tau, settings.rise, settings.still)]
    if hours >= 4:
        tests += [
            _Test(hours // 4, settings.steep_tau, settings.steep_rise, settings.still),
            _Test(3 * hours // 4, settings.young_tau, settings.young_rise, settings.young_still, young=True),
        ]
    return tests


def _look(
    window: UsageWindow, starts: FloatArray, now_seconds: float, hours: int, settings: LeakSettings
) -> Findings:
    """Rows that must have grown for the same time."""
    found = _nothing(len(window))
    for test in _tests(hours, settings):
        troughs = _troughs(window, starts, now_seconds, test.hours)
        found = _either(found, _judge(window, troughs, starts, now_seconds, settings, test))
    if hours <= settings.day_window_hours:
        found = _either(found, _day_by_day(window, starts, now_seconds, settings))
    present = last_hour_peak(window)
    with np.errstate(invalid="ignore"):
        large = np.asarray(present > settings.least_bytes)
    rows = np.flatnonzero(large & (found.leaks | found.growing))
    still, margin = settings.life_still, settings.life_margin
    large[rows] &= ~warms_up(
        part_of(window, rows), starts[rows], now_seconds, found.slope[rows], still, margin
    )
    return replace(found, leaks=found.leaks & large, growing=found.growing & large, present_bytes=present)


def _nothing(rows: int) -> Findings:
    return Findings(
        np.zeros(rows, dtype=np.bool_),
        np.zeros(rows, dtype=np.bool_),
        *(np.full(rows, np.nan) for _ in range(4)),
    )


def _troughs(window: UsageWindow, starts: FloatArray, now_seconds: float, hours: int) -> _Troughs:
    """Minima of about 24 blocks; up to a day of 5-minute bins, beyond it of hourly maxima.

    The last column is still filling up and is left out.
    """
    if hours <= HOURS_PER_DAY:
        values, unit = window.recent_bytes, BIN_SECONDS
        per, reach = max(1, hours * BINS_PER_HOUR // BLOCKS), min(hours * BINS_PER_HOUR, BINS_PER_DAY - 1)
    else:
        values, unit = window.hourly_bytes, HOUR_SECONDS
        per, reach = -(-hours // BLOCKS), min(hours, window.hourly_bytes.shape[1] - 1)
    count = reach // per
    blocks = values[:, -1 - count * per : -1].reshape(len(values), count, per)
    seconds = per * unit
    end = np.floor(now_seconds / unit) * unit
    return _Troughs(np.asarray(np.fmin.reduce(blocks, axis=2)), _lives(starts, end, seconds, count), seconds)


def _lives(starts: FloatArray, end_seconds: float, block_seconds: float, count: int) -> LifeArray:
    """Number of starts [n, count] since the first block, up to and in each block."""
    edges = end_seconds - block_seconds * np.arange(count, 0, -1)
    with np.errstate(invalid="ignore"):
        begun = starts[:, None, :] < (edges + block_seconds)[None, :, None]
        within = starts[:, None, :] >= edges[0]
    return np.asarray(np.count_nonzero(begun & within, axis=2), dtype=np.int64)


def _judge(
    window: UsageWindow,
    troughs: _Troughs,
    starts: FloatArray,
    now_seconds: float,
    settings: LeakSettings,
    test: _Test,
) -> Findings:
    n = len(window)
    count = kendall(troughs.values, troughs.life)
    seen = np.isfinite(troughs.values).mean(axis=1) >= settings.seen
    out = _nothing(n)
    with np.errstate(invalid="ignore"):
        rows = np.flatnonzero(seen & (count.tau > settings.growing_tau))
    if not len(rows):
        return out
    sub, starts = UsageWindow(window.recent_bytes[rows], window.hourly_bytes[rows]), starts[rows]
    mine, found_tau = troughs.of(rows), count.tau[rows]
    slope = sen_slope(mine.values, mine.life, mine.seconds)
    relative = slope.middle * mine.reach_seconds / np.maximum(quantile_of_seen(mine.values, 0.5), 1.0)
    one = (mine.life[:, -1] == 0) & (found_tau >= test.tau) & (relative >= test.rise)
    one &= _record(sub, mine, starts, now_seconds, settings)
    one &= _still(mine, test.still * slope.middle)
    least = settings.yesterday * slope.middle * min(mine.reach_seconds, HOURS_PER_DAY * HOUR_SECONDS)
    one &= _without_yesterday(sub) if test.young else _above_yesterday(sub, least)
    several = (found_tau >= settings.lives_tau) & (relative >= settings.lives_rise)
    several &= _lived(mine.life, settings) >= settings.least_lives
    out.leaks[rows] = one | several
    out.growing[rows] = slope.low > 0
    out.slope[rows], out.slope_low[rows], out.slope_high[rows] = slope.middle, slope.low, slope.high
    return out


def _day_by_day(
    window: UsageWindow, starts: FloatArray, now_seconds: float, settings: LeakSettings
) -> Findings:
    """Growth from day to day, hour by hour of the day, over two days and the one before them."""
    n, day, hourly = len(window), HOURS_PER_DAY, window.hourly_bytes
    rise = hourly[:, -2 * day - 1 : -1] - hourly[:, -3 * day - 1 : -day - 1]
    rises = ordered(rise)
    older, newer = (quantile_of_seen(part, 0.5) for part in (rise[:, :day], rise[:, day:]))
    level = np.maximum(quantile_of_seen(hourly[:, -day - 1 : -1], 0.5), 1.0)
    newest = np.fmax.reduce(np.where(starts <= now_seconds, starts, -np.inf), axis=1)
    undisturbed = now_seconds - newest > 3 * day * HOUR_SECONDS
    with np.errstate(invalid="ignore"):
        share = np.count_nonzero(rise > TIE_FRACTION * level[:, None], axis=1) / np.maximum(rises.count, 1)
        leaks = undisturbed & (rises.count >= settings.seen * 2 * day) & (share >= settings.day_share)
        leaks &= newer >= settings.day_rise * level
        leaks &= (older >= settings.day_still * newer) & (newer >= settings.day_still * older)
    low, high = (rises.nearest(part) / (day * HOUR_SECONDS) for part in (0.1, 0.9))
    slope = newer / (day * HOUR_SECONDS)
    return Findings(leaks, leaks & (newer > 0), slope, low, high, np.full(n, np.nan))


def _above_yesterday(window: UsageWindow, least_bytes: FloatArray) -> BoolArray:
    """The last hours lie above the same hours of the day before by at least so much."""
    hourly = window.hourly_bytes
    before = hourly[:, -HOURS_PER_DAY - 5 : -HOURS_PER_DAY - 1]
    difference = np.fmin.reduce(hourly[:, -5:-1] - before, axis=1)
    known = np.isfinite(before).sum(axis=1) >= 2
    with np.errstate(invalid="ignore"):
        return np.asarray(known & (difference >= least_bytes))


def _record(
    window: UsageWindow, troughs: _Troughs, starts: FloatArray, now_seconds: float, settings: LeakSettings
) -> BoolArray:
    """The last troughs lie above nearly all hours of this process before the window."""
    hourly = window.hourly_bytes
    width = hourly.shape[1]
    hours_ago = np.arange(width)[::-1] * HOUR_SECONDS
    newest = np.fmax.reduce(np.where(starts <= now_seconds, starts, -np.inf), axis=1)
    mine = hours_ago[None, :] < (now_seconds - newest)[:, None]
    earlier = np.where(mine & (hours_ago > troughs.reach_seconds)[None, :], hourly, np.nan)
    known = quantile_of_seen(earlier, settings.record_level)
    present = np.fmin.reduce(troughs.values[:, -3:], axis=1)
    with np.errstate(invalid="ignore"):
        return np.asarray(np.isnan(known) | (present > known))


def _still(troughs: _Troughs, least_slope: FloatArray) -> BoolArray:
    """The last third of the blocks goes on rising."""
    third = troughs.last(max(3, troughs.values.shape[1] // 3))
    last = sen_slope(third.values, third.life, third.seconds).middle
    with np.errstate(invalid="ignore"):
        return np.asarray(last >= least_slope)


def _without_yesterday(window: UsageWindow) -> BoolArray:
    """Nothing is known of the same hours of the day before."""
    return np.asarray(np.isnan(window.hourly_bytes[:, -HOURS_PER_DAY - 5 : -HOURS_PER_DAY - 1]).all(axis=1))


def _lived(life: LifeArray, settings: LeakSettings) -> npt.NDArray[np.intp]:
    """Lives [n] that last for some blocks."""
    lived = np.zeros(len(life), dtype=np.intp)
    for number in np.unique(life).tolist():
        lived += np.count_nonzero(life == number, axis=1) >= settings.life_blocks
    return lived


def _either(first: Findings, second: Findings) -> Findings:
    """Both verdicts. The slope is that of the first that tells (or, where none does, that knows one); the
    interval holds those of all that tell: over different stretches a pattern pulls it up or down.
    """
    later = (second.leaks & ~first.leaks) | (np.isnan(first.slope) & ~first.leaks)
    both = first.leaks & second.leaks
    low = np.where(both, np.fmin(first.slope_low, second.slope_low), first.slope_low)
    high = np.where(both, np.fmax(first.slope_high, second.slope_high), first.slope_high)
    return Findings(
        first.leaks | second.leaks,
        first.growing | second.growing,
        np.where(later, second.slope, first.slope),
        np.where(later, second.slope_low, low),
        np.where(later, second.slope_high, high),
        first.present_bytes,
    )
