"""After a rollout: the past of the old image, moved to the level of the new one as far as that is known.

In: windows, and since when each row runs its image. Out: windows in which what is older is scaled down. A
new image's hours are compared with the same hours of the days before it; it counts as more modest if nine in
ten are lower, by as much as these are at the least, and by little at first: a process that has just begun
uses little whatever its image is. So the old one's peaks no longer hold the limit up, and what it taught
about jumps, restarts and seasons stays. A hungrier image needs no help: every forecast begins with the last
hour's peak.
"""

import numpy as np

from plimsoll.forecast.window import (
    HOURS_PER_DAY,
    FloatArray,
    UsageWindow,
    quantile_of_seen,
)
from plimsoll.usage.sample import BIN_SECONDS, HOUR_SECONDS

COMPARED_HOURS = 3 * HOURS_PER_DAY  # of the new image: the newest
PROFILE_DAYS = 3  # of the old one
SURE_HOURS = 3.0  # so many lower hours are believed by half
MOST_DOWN = -np.log(4.0)


def moved_to_image(window: UsageWindow, since_seconds: FloatArray, now_seconds: float) -> UsageWindow:
    """The window of n rows as if they had always run their image; `since_seconds` [n], NaN: they have."""
    hours = window.hourly_bytes.shape[1]
    with np.errstate(invalid="ignore"):
        column = hours - 1 - (np.floor(now_seconds / HOUR_SECONDS) - np.floor(since_seconds / HOUR_SECONDS))
        changed = np.flatnonzero((column >= 1) & (column < hours - 1))
    if not len(changed):
        return window
    at = column[changed].astype(np.int64)
    shift = _shift(_log_ratios(window.hourly_bytes[changed], at))
    moved = np.flatnonzero(shift)
    if not len(moved):
        return window
    rows, scale = changed[moved], np.exp(shift[moved])[:, None]
    hourly, recent = window.hourly_bytes.copy(), window.recent_bytes.copy()
    hourly[rows] *= np.where(np.arange(hours) <= at[moved][:, None], scale, 1.0)
    bins = recent.shape[1]
    start = np.floor(since_seconds[rows] / BIN_SECONDS) - np.floor(now_seconds / BIN_SECONDS) + bins - 1
    recent[rows] *= np.where(np.arange(bins) <= start[:, None], scale, 1.0)
    return UsageWindow(recent, hourly, window.rows)


def _log_ratios(hourly: FloatArray, at: np.ndarray[tuple[int], np.dtype[np.int64]]) -> FloatArray:
    """Log of each newest whole hour of the new image over the same hour of old days [m, t]; NaN: unknown."""
    last = hourly.shape[1] - 1
    new = np.arange(max(last - COMPARED_HOURS, 0), last)
    # Old hours by hour of the day, of the days that end before the rollout's own hour.
    ago = (at[:, None] - 1 - new) % HOURS_PER_DAY
    days = np.arange(PROFILE_DAYS) * HOURS_PER_DAY
    place = at[:, None, None] - 1 - ago[:, :, None] - days
    old = np.take_along_axis(hourly[:, None, :], np.maximum(place, 0), axis=2)
    known = np.where(place >= 0, old, np.nan)
    usual = quantile_of_seen(known.reshape(-1, PROFILE_DAYS), 0.5).reshape(known.shape[:2])
    with np.errstate(invalid="ignore", divide="ignore"):
        ratio = np.log(np.maximum(hourly[:, new], 1.0) / np.maximum(usual, 1.0))
    return np.asarray(np.where(new > at[:, None], ratio, np.nan))


def _shift(ratios: FloatArray) -> FloatArray:
    """How far the old hours move, [m] in log, never up; 0: not at all."""
    count = np.count_nonzero(np.isfinite(ratios), axis=1)
    high = quantile_of_seen(ratios, 0.9)
    with np.errstate(invalid="ignore"):
        return np.where(high < 0, np.maximum(high * count / (count + SURE_HOURS), MOST_DOWN), 0.0)
