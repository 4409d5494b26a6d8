"""A usage window as scale-free numbers: what the hazard model sees.

In: a `UsageWindow`. Out: features of the row [n, FEATURES] and of each candidate level [n, levels,
LEVEL_FEATURES]. All are ratios to the last hour's peak (in log), frequencies or ages, so a container of 20
MiB and one of 20 GiB that behave alike look alike. Missing parts of the past fall back on what was seen,
never on NaN.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from plimsoll.forecast.window import (
    BINS_PER_HOUR,
    HOURS_PER_DAY,
    Float32Array,
    FloatArray,
    UsageWindow,
    count_true,
    held,
    last_hour_peak,
    mean,
    peak,
    present_bytes,
    trailing_peak,
    trough,
    without_nan,
)

Column = FloatArray | Float32Array  # [n]
CountArray = npt.NDArray[np.intp]

# Two weeks of hours: weekly peaks are seen twice, and the arrays of a chunk stay small.
PAST_HOURS = 14 * HOURS_PER_DAY
# log(candidate limit / last hour's peak): from just that peak to 25 times it, dense where most needs lie.
LOG_LEVELS = np.array(
    [0.0, 0.01, 0.02, 0.035, 0.05, 0.075, 0.1, 0.14, 0.19, 0.26, 0.36, 0.5, 0.7, 1.0, 1.5, 2.2, 3.2]
)
# Log rises that are counted: from hour to hour, the same in the last day, and above the last day's peak.
RISES = np.array([0.02, 0.05, 0.1, 0.2, 0.5], dtype=np.float32)
DAY_RISES, RECORD_RISES = RISES[1:4:2], np.array([0.02, 0.1, 0.2], dtype=np.float32)
# Rises from hour to hour are counted above these and above the levels in one go; where each of them is:
STEPS = np.union1d(LOG_LEVELS.astype(np.float32), RISES)
RISE_STEPS, LEVEL_STEPS = (np.searchsorted(STEPS, each) for each in (RISES, LOG_LEVELS.astype(np.float32)))
PEAKS = ("before", "three", "six", "half", "day", "days", "week", "weeks", "ever")
CLIP = 4.0  # log ratios beyond +-4 (55 times) say nothing more
LOG_RESTART = np.log(0.7)  # a bin below this part of the one before counts as a restart


@dataclass(frozen=True, slots=True)
class Features:
    """What the model sees; all finite."""

    reference_bytes: FloatArray  # [n] last hour's peak; NaN: nothing seen, and the features mean nothing
    row: Float32Array  # [n, FEATURES]
    level: Float32Array  # [n, levels, LEVEL_FEATURES]


def features(window: UsageWindow) -> Features:
    """All features of a window."""
    reference = last_hour_peak(window)
    scale = np.maximum(np.where(np.isnan(reference), 1.0, reference), 1.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        recent = _log_ratio(window.recent_bytes, scale)
        hourly = _log_ratio(window.hourly_bytes[:, -PAST_HOURS - 1 :], scale)
        older = _log_ratio(peak(window.hourly_bytes)[:, None], scale)[:, 0]
    peaks = _peaks(recent, hourly, older)
    rises = _rises(hourly)
    above = _counts_above(rises, STEPS)
    row: list[Column] = [
        *_shape(window, recent, scale),
        *peaks.values(),
        *_movement(recent),
        *_frequencies(hourly, rises, above),
        *_seasons(recent, hourly, peaks["day"]),
        *_ages(window, recent, hourly, peaks),
    ]
    stacked = np.empty((len(reference), len(row)), dtype=np.float32)
    for place, column in enumerate(row):
        stacked[:, place] = column
    level = _level_features(hourly, recent, rises, above[:, LEVEL_STEPS], peaks)
    return Features(reference, without_nan(stacked), level)


def _log_ratio(values: FloatArray, scale: FloatArray) -> Float32Array:
    ratio = np.log((np.maximum(values, 1.0) / scale[:, None]).astype(np.float32))
    return held(ratio, -CLIP, CLIP)


def _peaks(recent: Float32Array, hourly: Float32Array, older: Float32Array) -> dict[str, Float32Array]:
    """Log of peaks over longer and longer pasts, against the last hour's."""
    stretches = _stretches(recent, [BINS_PER_HOUR * hours + 1 for hours in (1, 2, 3, 6, 12)])
    _, _, three, six, half, day = np.fmax.accumulate(stretches)
    days, week, weeks = np.fmax.accumulate(_stretches(hourly, [HOURS_PER_DAY * n + 1 for n in (3, 7)]))
    longer = (np.fmax(each, day) for each in (days, week, weeks, older))
    columns = without_nan(np.array([stretches[1], three, six, half, day, *longer]))
    return dict(zip(PEAKS, columns, strict=True))


def _stretches(values: Float32Array, reach: Sequence[int]) -> Float32Array:
    """Peaks [len(reach) + 1, n] of the newest `reach[0]` columns, of those before up to `reach[1]`, ..."""
    edges = [0, *(values.shape[1] - each for each in reversed(reach))]
    return np.asarray(np.fmax.reduceat(values, edges, axis=1).T[::-1])


def _shape(window: UsageWindow, recent: Float32Array, scale: FloatArray) -> list[Column]:
    """Where usage is now between the last hour's and the last day's extremes."""
    last_hour = window.recent_bytes[:, -BINS_PER_HOUR - 1 :]
    levels = np.array([present_bytes(window), mean(last_hour), trough(last_hour), mean(window.recent_bytes)])
    return [*held(np.log(np.fmax(levels, 1.0) / scale), -CLIP, CLIP), np.asarray(trough(recent))]


def _movement(recent: Float32Array) -> list[Column]:
    """Jumps between bins, up and down, over the last day and the last hour."""
    jump = recent[:, 1:] - recent[:, :-1]
    hour = jump[:, -BINS_PER_HOUR:]
    count = np.maximum(_seen(jump), 1)
    known = without_nan(jump)
    return [
        np.fmax(peak(jump), 0),
        np.fmax(peak(hour), 0),
        np.fmin(trough(jump), 0),
        np.fmin(trough(hour), 0),
        np.sqrt(np.add.reduce(np.square(known), axis=1) / count),
        10 * np.add.reduce(np.abs(known), axis=1) / count,
        np.log1p(count_true(jump < LOG_RESTART)),
    ]


def _rises(hourly: Float32Array) -> Float32Array:
    """Log rise from each whole hour to the next, [n, PAST_HOURS - 1]."""
    return np.asarray(hourly[:, 1:-1] - hourly[:, :-2])


def _frequencies(hourly: Float32Array, rises: Float32Array, above: CountArray) -> list[Column]:
    """How often the past hours rose, against the hour before and against their last day's peak."""
    count = _seen(rises)[:, None]
    day = count_true(rises[:, None, -HOURS_PER_DAY:] > DAY_RISES[:, None])
    whole = hourly[:, :-1]
    record = whole[:, 1:] - trailing_peak(whole, HOURS_PER_DAY)[:, :-1]
    records = _counts_above(record, RECORD_RISES)
    return [
        *_rarity(above[:, RISE_STEPS], count).T,
        *_rarity(day, np.minimum(count, HOURS_PER_DAY)).T,
        *_rarity(records, count).T,
        np.fmax(peak(rises), 0),
        np.fmax(peak(record), 0),
    ]


def _seen(values: Float32Array) -> CountArray:
    """How many of each row's values [n, t] are none."""
    return count_true(~np.isnan(values))


def _rarity(events: CountArray, tries: CountArray) -> FloatArray:
    """log10 of a frequency that is never 0: a tenth of an event in four tries more."""
    return np.asarray(np.log10((events + 0.1) / (tries + 4.0)), dtype=np.float64)


def _seasons(recent: Float32Array, hourly: Float32Array, day: Float32Array) -> list[Column]:
    """The coming hour yesterday and a week ago, and how much it rose yesterday."""
    yesterday = peak(recent[:, :BINS_PER_HOUR])
    hour_before = peak(hourly[:, -HOURS_PER_DAY - 2 : -HOURS_PER_DAY - 1])
    last_week = peak(hourly[:, -7 * HOURS_PER_DAY - 1 : -7 * HOURS_PER_DAY + 1])
    rise = held(yesterday - hour_before, -1, 1)
    return [
        np.where(np.isnan(yesterday), day, yesterday),
        without_nan(rise),
        np.where(np.isnan(last_week), day, last_week),
        np.isnan(last_week).astype(np.float64),
    ]


def _ages(
    window: UsageWindow, recent: Float32Array, hourly: Float32Array, peaks: dict[str, Float32Array]
) -> list[Column]:
    """How long the past is, how much is missing, and how long ago the peaks and the last restart were."""
    seen = np.isfinite(window.hourly_bytes)
    length = np.where(seen.any(axis=1), seen.shape[1] - np.argmax(seen, axis=1), 0)
    restarted = recent[:, 1:] - recent[:, :-1] < LOG_RESTART
    return [
        np.log1p(length) / np.log(seen.shape[1]),
        count_true(np.isnan(recent[:, -2 * BINS_PER_HOUR :])) / (2 * BINS_PER_HOUR),
        _log_age(recent >= peaks["day"][:, None] - 0.005),
        _log_age(hourly >= peaks["weeks"][:, None] - 0.005),
        _log_age(restarted),
    ]


def _log_age(happened: npt.NDArray[np.bool_]) -> FloatArray:
    """log(1 + columns since it last happened), the whole width if it never did; about 0..1."""
    width = happened.shape[1]
    since = np.where(happened.any(axis=1), np.argmax(happened[:, ::-1], axis=1), width)
    return np.asarray(np.log1p(since) / np.log(width), dtype=np.float64)


def _level_features(
    hourly: Float32Array,
    recent: Float32Array,
    rises: Float32Array,
    jumped: CountArray,
    peaks: dict[str, Float32Array],
) -> Float32Array:
    """What is known of each candidate: its place among past peaks, how often it was exceeded."""
    levels = LOG_LEVELS.astype(np.float32)
    out = np.empty((len(hourly), len(levels), 10), dtype=np.float32)
    out[:, :, 0] = levels
    past = np.array([peaks[name] for name in ("day", "weeks", "days", "ever")]).T[:, None, :]
    out[:, :, [1, 3, 2, 4]] = held(levels[:, None] - past, -1, 1)
    out[:, :, 5:7] = levels[:, None] > past[:, :, :2]
    counts = np.array([_counts_above(hourly, levels), jumped, _counts_above(recent, levels)])
    seen = np.array([_seen(hourly), _seen(rises), _seen(recent)])
    out[:, :, 7:] = _rarity(counts, seen[:, :, None]).transpose(1, 2, 0)
    return out


def _counts_above(values: Float32Array, thresholds: Float32Array) -> CountArray:
    """How many of each row's values [n, t] lie above each threshold, [n, thresholds]; these rise.

    Only what lies above the second is sorted in: most of the past lies below the last hour's peak, and most
    hours hardly rise.
    """
    n, width = values.shape
    bins = len(thresholds)
    some = np.flatnonzero(values > thresholds[1])
    place = np.searchsorted(thresholds, values.ravel()[some], side="left")
    counts = np.bincount(some // max(width, 1) * bins + place - 1, minlength=n * bins).reshape(n, bins)
    out = np.add.accumulate(counts[:, ::-1], axis=1)[:, ::-1]
    out[:, 0] = count_true(values > thresholds[0])
    return np.asarray(out)
