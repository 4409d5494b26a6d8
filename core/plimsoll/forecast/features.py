"""A usage window as scale-free numbers: what the hazard model sees.

In: a `UsageWindow`. Out: features of the row [n, FEATURES] and of each candidate level [n, levels,
LEVEL_FEATURES]. All are ratios to the last hour's peak (in log), frequencies or ages, so a container of 20
MiB and one of 20 GiB that behave alike look alike. Missing parts of the past fall back on what was seen,
never on NaN.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from plimsoll.forecast.window import (
    BINS_PER_HOUR,
    HOURS_PER_DAY,
    Float32Array,
    FloatArray,
    UsageWindow,
    last_hour_peak,
    mean,
    peak,
    present_bytes,
    trailing_peak,
    trough,
)

Column = FloatArray | Float32Array  # [n]

# Two weeks of hours: weekly peaks are seen twice, and the arrays of a chunk stay small.
PAST_HOURS = 14 * HOURS_PER_DAY
# log(candidate limit / last hour's peak): from just that peak to 25 times it, dense where most needs lie.
LOG_LEVELS = np.array(
    [0.0, 0.01, 0.02, 0.035, 0.05, 0.075, 0.1, 0.14, 0.19, 0.26, 0.36, 0.5, 0.7, 1.0, 1.5, 2.2, 3.2]
)
RISES = (0.02, 0.05, 0.1, 0.2, 0.5)  # log rises from hour to hour that are counted
CLIP = 4.0  # log ratios beyond +-4 (55 times) say nothing more
RESTART_RATIO = 0.7  # a bin below this part of the one before counts as a restart


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
    row: list[Column] = [
        *_shape(window, recent, scale),
        *peaks.values(),
        *_movement(recent),
        *_frequencies(hourly, rises),
        *_seasons(recent, hourly, peaks["day"]),
        *_ages(window, recent, hourly, peaks),
    ]
    stacked = np.stack([np.nan_to_num(column, nan=0.0) for column in row], axis=1).astype(np.float32)
    return Features(reference, stacked, _level_features(hourly, recent, rises, peaks))


def _log_ratio(values: FloatArray, scale: FloatArray) -> Float32Array:
    ratio = np.log(np.maximum(values, 1.0)) - np.log(scale)[:, None]
    return np.asarray(np.clip(ratio, -CLIP, CLIP), dtype=np.float32)


def _peaks(recent: Float32Array, hourly: Float32Array, older: Float32Array) -> dict[str, Float32Array]:
    """Log of peaks over longer and longer pasts, against the last hour's."""
    hour = BINS_PER_HOUR
    out = {
        "before": peak(recent[:, -2 * hour - 1 : -hour - 1]),
        "three": peak(recent[:, -3 * hour - 1 :]),
        "six": peak(recent[:, -6 * hour - 1 :]),
        "half": peak(recent[:, -12 * hour - 1 :]),
        "day": peak(recent),
        "days": peak(hourly[:, -3 * HOURS_PER_DAY - 1 :]),
        "week": peak(hourly[:, -7 * HOURS_PER_DAY - 1 :]),
        "weeks": peak(hourly),
        "ever": older,
    }
    for longer in ("days", "week", "weeks", "ever"):
        out[longer] = np.fmax(out[longer], out["day"])
    return {name: np.nan_to_num(values, nan=0.0).astype(np.float32) for name, values in out.items()}


def _shape(window: UsageWindow, recent: Float32Array, scale: FloatArray) -> list[Column]:
    """Where usage is now between the last hour's and the last day's extremes."""
    last_hour = window.recent_bytes[:, -BINS_PER_HOUR - 1 :]
    levels = (present_bytes(window), mean(last_hour), trough(last_hour), mean(window.recent_bytes))
    out = [np.clip(np.log(np.maximum(np.fmax(level, 1.0), 1.0) / scale), -CLIP, CLIP) for level in levels]
    return [*out, np.asarray(trough(recent))]


def _movement(recent: Float32Array) -> list[Column]:
    """Jumps between bins, up and down, over the last day and the last hour."""
    jump = np.diff(recent, axis=1)
    up, down = np.fmax(jump, 0), np.fmin(jump, 0)
    return [
        peak(up),
        peak(up[:, -BINS_PER_HOUR:]),
        np.asarray(trough(down)),
        np.asarray(trough(down[:, -BINS_PER_HOUR:])),
        np.sqrt(mean(np.asarray(np.square(jump), dtype=np.float64))),
        10 * mean(np.abs(jump).astype(np.float64)),
        np.log1p(np.count_nonzero(jump < np.log(RESTART_RATIO), axis=1)),
    ]


def _rises(hourly: Float32Array) -> Float32Array:
    """Log rise from each whole hour to the next, [n, PAST_HOURS - 1]."""
    return np.asarray(np.diff(hourly[:, :-1], axis=1))


def _frequencies(hourly: Float32Array, rises: Float32Array) -> list[Column]:
    """How often the past hours rose, against the hour before and against their last day's peak."""
    count = np.count_nonzero(np.isfinite(rises), axis=1)
    day = rises[:, -HOURS_PER_DAY:]
    out: list[Column] = [_rarity(np.count_nonzero(rises > rise, axis=1), count) for rise in RISES]
    out += [
        _rarity(np.count_nonzero(day > rise, axis=1), np.minimum(count, HOURS_PER_DAY))
        for rise in RISES[1:4:2]
    ]
    whole = hourly[:, :-1]
    record = whole[:, 1:] - trailing_peak(whole, HOURS_PER_DAY)[:, :-1]
    out += [_rarity(np.count_nonzero(record > rise, axis=1), count) for rise in (0.02, 0.1, 0.2)]
    out += [np.fmax(peak(rises), 0), np.fmax(peak(record), 0)]
    return out


def _rarity(events: npt.NDArray[np.intp], tries: npt.NDArray[np.intp]) -> FloatArray:
    """log10 of a frequency that is never 0: a tenth of an event in four tries more."""
    return np.asarray(np.log10((events + 0.1) / (tries + 4.0)), dtype=np.float64)


def _seasons(recent: Float32Array, hourly: Float32Array, day: Float32Array) -> list[Column]:
    """The coming hour yesterday and a week ago, and how much it rose yesterday."""
    yesterday = peak(recent[:, :BINS_PER_HOUR])
    hour_before = peak(hourly[:, -HOURS_PER_DAY - 2 : -HOURS_PER_DAY - 1])
    last_week = peak(hourly[:, -7 * HOURS_PER_DAY - 1 : -7 * HOURS_PER_DAY + 1])
    rise = np.clip(yesterday - hour_before, -1, 1)
    return [
        np.where(np.isnan(yesterday), day, yesterday),
        np.nan_to_num(rise, nan=0.0),
        np.where(np.isnan(last_week), day, last_week),
        np.isnan(last_week).astype(np.float64),
    ]


def _ages(
    window: UsageWindow, recent: Float32Array, hourly: Float32Array, peaks: dict[str, Float32Array]
) -> list[Column]:
    """How long the past is, how much is missing, and how long ago the peaks and the last restart were."""
    seen = np.isfinite(window.hourly_bytes)
    length = np.where(seen.any(axis=1), seen.shape[1] - np.argmax(seen, axis=1), 0)
    restarted = np.diff(recent, axis=1) < np.log(RESTART_RATIO)
    return [
        np.log1p(length) / np.log(seen.shape[1]),
        np.isnan(recent[:, -2 * BINS_PER_HOUR :]).mean(axis=1),
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
    hourly: Float32Array, recent: Float32Array, rises: Float32Array, peaks: dict[str, Float32Array]
) -> Float32Array:
    """What is known of each candidate: its place among past peaks, how often it was exceeded."""
    levels = LOG_LEVELS.astype(np.float32)
    hours = np.count_nonzero(np.isfinite(rises), axis=1)
    above = _share_above(hourly, levels)
    jumped = _share_above(rises, levels)
    bins = _share_above(recent, levels)
    columns: list[Column] = [np.broadcast_to(levels, above.shape)]
    columns += [
        np.clip(levels[None, :] - peaks[name][:, None], -1, 1) for name in ("day", "days", "weeks", "ever")
    ]
    columns += [(levels[None, :] > peaks[name][:, None]).astype(np.float32) for name in ("day", "weeks")]
    columns += [
        _rarity(above, np.count_nonzero(np.isfinite(hourly), axis=1)[:, None]),
        _rarity(jumped, hours[:, None]),
        _rarity(bins, np.count_nonzero(np.isfinite(recent), axis=1)[:, None]),
    ]
    return np.stack(columns, axis=2).astype(np.float32)


def _share_above(values: Float32Array, levels: Float32Array) -> npt.NDArray[np.intp]:
    """How many of each row's values lie above each level, [n, levels]."""
    with np.errstate(invalid="ignore"):
        return np.stack([np.count_nonzero(values > level, axis=1) for level in levels], axis=1)
