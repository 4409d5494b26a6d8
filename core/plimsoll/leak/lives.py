"""Which growth is a warm-up: an earlier process of the same row rose as well, and settled.

In: a usage window, when processes were started, how fast rows grow now. Out: the rows whose growth is still
below what earlier processes settled at. A life that ended is cut into thirds: one that settled rose more
slowly from the second to the last than from the first to the second, or than the row rises now. One that
leaks goes on rising until it dies or is replaced. Lives count by their length, up to a day, so that
those which were cut short (by a leak's restart, for one) do not outvote one that shows how it ends.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from plimsoll.forecast.window import BINS_PER_HOUR, FloatArray, UsageWindow, part_of, quantile_of_seen
from plimsoll.leak.trend import BoolArray
from plimsoll.usage.sample import BIN_SECONDS, DAY_SECONDS, HOUR_SECONDS

PARTS = 3
# Known maxima that each third must have: six hours of a life by hours, one hour by five minutes.
LEAST_HOURS, LEAST_BINS = 2, 4
MOST_WEIGHT_SECONDS = float(DAY_SECONDS)
MAJORITY = 0.5
# So many lives that each settled no lower than the one before, the last so much higher than the first: what
# outlives a process (a file in memory) grows.
CLIMBING_LIVES, CLIMB = 4, 1.3


@dataclass(frozen=True, slots=True)
class _Life:
    """One finished life of each row; NaN where it has none, or too little of it was seen."""

    early_slope: FloatArray  # [n] bytes/s from the first to the second third
    late_slope: FloatArray  # [n] bytes/s from the second to the last
    level_bytes: FloatArray  # [n] of the last third
    seconds: FloatArray  # [n] that it lasted, as far as it was seen


def warms_up(
    window: UsageWindow,
    starts: FloatArray,
    now_seconds: float,
    slope: FloatArray,
    still: float,
    margin: float,
) -> BoolArray:
    """Rows [n] that are no higher than `margin` times the level at which most of their earlier lives settled.

    `starts` [n, k]: the last k, NaN where there were fewer; `slope` [n]: bytes/s now. A life has settled if
    its last slope was less than the part `still` of its first one, or of `slope`.
    """
    out = np.zeros(len(window), dtype=np.bool_)
    rows = np.flatnonzero(np.isfinite(starts).any(axis=1))
    if len(rows):
        mine = part_of(window, rows)
        level = _settled_level(mine, starts[rows], now_seconds, slope[rows], still)
        present = quantile_of_seen(mine.recent_bytes[:, -BINS_PER_HOUR:], 0.5)
        with np.errstate(invalid="ignore"):
            out[rows] = present <= margin * level
    return out


def _settled_level(
    window: UsageWindow, starts: FloatArray, now_seconds: float, slope: FloatArray, still: float
) -> FloatArray:
    """Highest level [n] at which an earlier life settled; NaN where most did not, or each settled higher."""
    settled, judged = np.zeros(len(window)), np.zeros(len(window))
    levels = []
    for life in _finished(window, starts, now_seconds):
        weight = np.minimum(life.seconds, MOST_WEIGHT_SECONDS)
        with np.errstate(invalid="ignore"):
            flat = life.late_slope < still * np.fmax(life.early_slope, slope)
        judged += np.where(np.isfinite(life.seconds), weight, 0.0)
        settled += np.where(flat, weight, 0.0)
        levels.append(np.where(flat, life.level_bytes, np.nan))
    if not levels:
        return np.full(len(window), np.nan)
    most = (settled > MAJORITY * judged) & ~_climbs(np.array(levels))
    return np.where(most, np.fmax.reduce(levels, axis=0), np.nan)


def _climbs(levels: FloatArray) -> BoolArray:
    """Columns of levels [lives, n] of which none fell back, and the last is far above the first."""
    seen = np.isfinite(levels)
    top = np.fmax.accumulate(levels, axis=0)
    low, high = np.fmin.reduce(levels, axis=0), top[-1]
    with np.errstate(invalid="ignore"):
        fell = (seen & (levels < top)).any(axis=0)
        return np.asarray((np.count_nonzero(seen, axis=0) >= CLIMBING_LIVES) & ~fell & (high >= CLIMB * low))


def _finished(window: UsageWindow, starts: FloatArray, now_seconds: float) -> Iterator[_Life]:
    """Lives between two starts; where fewer than k starts are known, also the one before the first."""
    edges = np.sort(np.where(np.isnan(starts), -np.inf, starts), axis=1)
    for begun, until in zip(edges.T[:-1], edges.T[1:], strict=True):
        over = np.isfinite(until) & (until <= now_seconds) & (begun < until)
        if not over.any():
            continue
        ended = np.where(over, until, -np.inf)
        by_hour = _life(window.hourly_bytes, HOUR_SECONDS, LEAST_HOURS, begun, ended, now_seconds)
        by_bin = _life(window.recent_bytes, BIN_SECONDS, LEAST_BINS, begun, ended, now_seconds)
        # A life too short, or begun too lately, for hours; of one that the last day cuts, its end will do.
        recent = (begun >= now_seconds - DAY_SECONDS + HOUR_SECONDS) | np.isnan(by_hour.seconds)
        yield _Life(
            *(
                np.where(recent, getattr(by_bin, name), getattr(by_hour, name))
                for name in ("early_slope", "late_slope", "level_bytes", "seconds")
            )
        )


def _life(
    values: FloatArray, unit: int, least: int, begun: FloatArray, ended: FloatArray, now_seconds: float
) -> _Life:
    """What maxima of `unit` seconds, the last of them unfinished, say of a life of each row."""
    left = np.floor(now_seconds / unit) * unit - unit * np.arange(values.shape[1])[::-1]
    within = (left >= begun[:, None]) & (left + unit <= ended[:, None]) & np.isfinite(values)
    first = np.where(within.any(axis=1), left[np.argmax(within, axis=1)], np.nan)
    seconds = np.maximum(ended - first, 0.0)
    with np.errstate(invalid="ignore", divide="ignore"):
        part = np.floor(PARTS * (left - first[:, None]) / seconds[:, None])
    middles, times = np.full((2, PARTS, len(values)), np.nan)
    for number in range(PARTS):
        mine = within & (part == number)
        seen = np.count_nonzero(mine, axis=1)
        middle = quantile_of_seen(np.where(mine, values, np.nan), 0.5)
        middles[number] = np.where(seen >= least, middle, np.nan)
        times[number] = np.where(mine, left, 0.0).sum(axis=1) / np.maximum(seen, 1)
    with np.errstate(invalid="ignore", divide="ignore"):
        early, late = np.diff(middles, axis=0) / np.diff(times, axis=0)
    known = np.where(np.isfinite(early) & np.isfinite(late), seconds, np.nan)
    return _Life(early, late, middles[2], known)
