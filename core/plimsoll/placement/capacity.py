"""How much the pods of today will need in the weeks to come, and how many kube nodes that takes.

In: hourly maxima of n pods. Out: the daily peak of their sum, its trend with an interval, and from it the
nodes of each week; nothing, with the reason, where less than seven days are known. Growth of the pods that
run is all that is in it: nobody kept how many pods there used to be.

Source: the slope is the median of all pairs' slopes (Theil 1950, Sen 1968), which a quarter of the days may
spoil; its interval is that of Kendall's S (Sen 1968), with the variance of days that are alike (lag one) as
Hamed and Rao (1998) correct it. What days were above and below the line is added as it was.
"""

import math
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from plimsoll.placement.lanes import FloatArray

HOURS_PER_DAY, DAYS_PER_WEEK = 24, 7
LEAST_DAYS = 7  # below it a weekly swing is taken for growth
CONFIDENCE = 0.9  # that the slope, and a day, lies within the interval
# A day counts as long as the pods that were seen by then use this share of what all use now.
LEAST_SHARE = 0.5
MOST_ALIKE = 0.8  # correlation of neighbouring days; above it there is no trend to tell from a walk


@dataclass(frozen=True, slots=True)
class Range:
    """A figure with its interval."""

    low: float
    middle: float
    high: float


@dataclass(frozen=True, slots=True)
class Trend:
    """A straight line through the daily peaks, as of today."""

    days: int
    level_bytes: float  # of the line, today
    slope_bytes: Range  # per day
    below_bytes: float  # how far days lay below the line (<= 0) and above it, at the interval's ends
    above_bytes: float

    def after(self, days: float) -> Range:
        """The daily peak so many days from now."""
        middle = self.level_bytes + self.slope_bytes.middle * days
        # A slope that is wrong turns the line about the middle of what was seen.
        arm = days + (self.days - 1) / 2
        low = middle + (self.slope_bytes.low - self.slope_bytes.middle) * arm + self.below_bytes
        high = middle + (self.slope_bytes.high - self.slope_bytes.middle) * arm + self.above_bytes
        return Range(max(low, 0.0), max(middle, 0.0), max(high, 0.0))


@dataclass(frozen=True, slots=True)
class Week:
    """The end of a week ahead."""

    number: int
    peak_bytes: Range  # of the sum of what all pods use
    nodes: Range  # whole numbers


@dataclass(frozen=True, slots=True)
class Outlook:
    """The weeks ahead, or why nothing is said of them."""

    weeks: tuple[Week, ...] = ()
    trend: Trend | None = None
    why: str = ""  # "": they are known


def outlook(hourly_bytes: FloatArray, weeks: int, filled_nodes: float) -> Outlook:
    """The weeks ahead of pods [n, hours] that now fill so many nodes (the last one in part).

    Nodes grow with the peak: as if there were more pods like these, packed as they are packed now.
    """
    peaks = daily_peaks(hourly_bytes)
    if len(peaks) < LEAST_DAYS:
        known = f"at least half of what the pods use is known for {len(peaks)} whole days"
        return Outlook(why=f"{known}, {LEAST_DAYS} are needed")
    trend = trend_of(peaks)
    if not trend.level_bytes > 0:
        return Outlook(why="nothing is used")
    ahead = []
    for number in range(1, weeks + 1):
        peak = trend.after(number * DAYS_PER_WEEK)
        low, middle, high = (
            float(max(math.ceil(filled_nodes * each / trend.level_bytes - 1e-9), 1))
            for each in (peak.low, peak.middle, peak.high)
        )
        ahead.append(Week(number, peak, Range(low, middle, high)))
    return Outlook(tuple(ahead), trend)


def daily_peaks(hourly_bytes: FloatArray) -> FloatArray:
    """[days] peak of the sum of pods [n, hours] on each of the last whole days, oldest first.

    NaN: not seen. A pod that was not seen yet counts as it was on its first day, and one that was not seen
    for a while as it was last: so neither looks like growth.
    """
    n, hours = hourly_bytes.shape
    days = hours // HOURS_PER_DAY
    known = [row for row in range(n) if np.isfinite(hourly_bytes[row]).any()]
    total, seen_from, level = np.zeros(hours), np.zeros(len(known)), np.zeros(len(known))
    for place, row in enumerate(known):
        first, whole = _filled(hourly_bytes[row])
        total += whole
        seen_from[place], level[place] = first, whole[-HOURS_PER_DAY:].mean()
    starts = hours - HOURS_PER_DAY * np.arange(1, days + 1)  # newest day first
    use = level.sum()
    share = [float(level[seen_from <= start].sum()) / use if use > 0 else 0.0 for start in starts.tolist()]
    enough = int(np.argmin([*(each >= LEAST_SHARE for each in share), False]))
    cut = total[hours - enough * HOURS_PER_DAY :]
    return np.asarray(cut.reshape(enough, HOURS_PER_DAY).max(axis=1, initial=0.0))


def trend_of(daily_bytes: FloatArray) -> Trend:
    """The line through daily peaks [days], oldest first, at least two."""
    days = len(daily_bytes)
    at = np.arange(days) - (days - 1.0)
    first, second = np.triu_indices(days, 1)
    slopes = np.sort((daily_bytes[second] - daily_bytes[first]) / (at[second] - at[first]))
    slope = float(np.median(slopes))
    level = float(np.median(daily_bytes - slope * at))
    beside = daily_bytes - level - slope * at
    steps = _deviate() * math.sqrt(days * (days - 1) * (2 * days + 5) / 18 * _alike(beside))
    low = max(math.floor((len(slopes) - steps) / 2), 0)
    high = min(math.ceil((len(slopes) + steps) / 2), len(slopes) - 1)
    below, above = np.quantile(beside, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2]).tolist()
    steep = Range(float(slopes[low]), slope, float(slopes[high]))
    return Trend(days, level, steep, min(below, 0.0), max(above, 0.0))


def _deviate() -> float:
    return NormalDist().inv_cdf((1 + CONFIDENCE) / 2)


def _alike(beside: FloatArray) -> float:
    """By how much days that resemble the day before widen the variance of S; at least 1."""
    square = float((beside**2).sum())
    alike = float((beside[1:] * beside[:-1]).sum()) / square if square > 0 else 0.0
    alike = min(max(alike, 0.0), MOST_ALIKE)
    return (1 + alike) / (1 - alike)


def _filled(row: FloatArray) -> tuple[int, FloatArray]:
    """The first hour that was seen, and the row without gaps."""
    seen = np.isfinite(row)
    first = int(np.argmax(seen))
    last_seen = np.maximum.accumulate(np.where(seen, np.arange(len(row)), first))
    whole = row[last_seen]
    day = whole[first : first + HOURS_PER_DAY]
    before = np.arange(first - 1, -1, -1)
    # Hours of the day stay where they are; a first day that is not whole is gone round in.
    whole[before] = day[(before - first) % HOURS_PER_DAY % len(day)]
    return first, whole
