"""What a forecast may look at: the last day in 5-minute maxima and four weeks in hourly maxima.

In: a `History` and rows (or plain arrays, when a training script walks over traces). Out: one
`UsageWindow`. Every model is a pure function of such a window, so a restart that restores the history loses
nothing, and the same code runs in the operator, in `plimsoll replay` and in the scripts that fit the
priors.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from plimsoll.forecast.ordered import Real, ordered
from plimsoll.usage.history import History
from plimsoll.usage.sample import BIN_SECONDS, DAY_SECONDS, HOUR_SECONDS

FloatArray = npt.NDArray[np.float64]
Float32Array = npt.NDArray[np.float32]
IntArray = npt.NDArray[np.int32]

BINS_PER_HOUR = HOUR_SECONDS // BIN_SECONDS
BINS_PER_DAY = DAY_SECONDS // BIN_SECONDS
HOURS_PER_DAY = 24
HOURS_PER_WEEK = 7 * HOURS_PER_DAY
HISTORY_HOURS = 4 * HOURS_PER_WEEK
# Rows looked at together: 4096 x 960 float64 are 31 MB, so all temporary arrays of a chunk stay under 200 MB.
CHUNK_ROWS = 4096


@dataclass(frozen=True, slots=True)
class UsageWindow:
    """Maxima of usage, oldest first; NaN where nothing was seen.

    The last column of both arrays holds the present moment and may be partly (or wholly) unfilled.
    """

    recent_bytes: FloatArray  # [n, 288] 5-minute maxima
    hourly_bytes: FloatArray  # [n, 672] maxima of absolute hours
    # [n] rows of the history that it was read from, for models whose answers are looked up; None: no history
    rows: IntArray | None = None

    def __len__(self) -> int:
        return int(self.recent_bytes.shape[0])


def read_window(history: History, rows: IntArray) -> UsageWindow:
    """Window of `rows` as the history knows them now."""
    return UsageWindow(
        history.five_minute(rows, BINS_PER_DAY).astype(np.float64),
        history.hourly(rows, HISTORY_HOURS).astype(np.float64),
        rows,
    )


def part_of(window: UsageWindow, index: npt.NDArray[np.intp]) -> UsageWindow:
    """The window of only these places [m], in this order."""
    rows = None if window.rows is None else window.rows[index]
    return UsageWindow(window.recent_bytes[index], window.hourly_bytes[index], rows)


def clipped(window: UsageWindow, history_hours: IntArray) -> UsageWindow:
    """The window without what is older than `history_hours` [n] before the present hour."""
    if (history_hours >= window.hourly_bytes.shape[1]).all():
        return window
    hours_ago = np.arange(window.hourly_bytes.shape[1])[::-1]
    bins_ago = np.arange(window.recent_bytes.shape[1])[::-1]
    reach = history_hours[:, None]
    return UsageWindow(
        np.where(bins_ago <= BINS_PER_HOUR * reach, window.recent_bytes, np.nan),
        np.where(hours_ago <= reach, window.hourly_bytes, np.nan),
        window.rows,
    )


def chunks(count: int, size: int = CHUNK_ROWS) -> Iterator[slice]:
    """Slices that cover `range(count)`."""
    return (slice(start, min(start + size, count)) for start in range(0, count, size))


def peak(values: npt.NDArray[Real]) -> npt.NDArray[Real]:
    """Maximum along the last axis, NaN where nothing was seen."""
    if values.shape[-1] == 0:
        return np.full(values.shape[:-1], np.nan, dtype=values.dtype)
    return np.asarray(np.fmax.reduce(values, axis=-1))


def held(values: npt.NDArray[Any], low: float, high: float) -> npt.NDArray[Any]:
    """The values, none below `low` or above `high`; NaN stays. np.clip costs one row four times as much."""
    return np.asarray(np.minimum(np.maximum(values, low), high))


def without_nan(values: npt.NDArray[Real]) -> npt.NDArray[Real]:
    """The values, 0 where there is none."""
    return np.where(np.isnan(values), values.dtype.type(0), values)


def count_true(flags: npt.NDArray[np.bool_]) -> npt.NDArray[np.intp]:
    """How many along the last axis are. np.count_nonzero by axis costs one row three times as much."""
    return np.asarray(np.add.reduce(flags, axis=-1, dtype=np.intp))


def trough(values: npt.NDArray[Real]) -> npt.NDArray[Real]:
    """Minimum along the last axis, NaN where nothing was seen."""
    if values.shape[-1] == 0:
        return np.full(values.shape[:-1], np.nan, dtype=values.dtype)
    return np.asarray(np.fmin.reduce(values, axis=-1))


def mean(values: FloatArray) -> FloatArray:
    """Mean along the last axis of what was seen, NaN where nothing was."""
    seen = np.isfinite(values)
    total = np.add.reduce(np.where(seen, values, 0.0), axis=-1)
    count = count_true(seen)
    return np.asarray(total / np.where(count > 0, count, np.nan))


def quantile_of_seen(values: FloatArray, level: float) -> FloatArray:
    """The value [n] that `level` of what was seen along the last axis does not exceed; NaN: nothing seen."""
    rows = ordered(values)
    return rows.nth(np.ceil(level * rows.count) - 1)


def seen_hours(hourly: FloatArray) -> range:
    """Columns of [n, t] from the first in which any row was seen: what a walk over the hours must visit."""
    hours = hourly.shape[1]
    seen = np.flatnonzero(np.isfinite(hourly).any(axis=0))
    return range(int(seen[0]) if len(seen) else hours, hours)


def present_bytes(window: UsageWindow) -> FloatArray:
    """Usage now: the larger of the bin that runs and the one before it, NaN [n] where neither was seen."""
    return peak(window.recent_bytes[:, -2:])


def last_hour_peak(window: UsageWindow) -> FloatArray:
    """Peak of the last twelve whole bins and the one that runs; NaN [n] where nothing was seen."""
    return peak(window.recent_bytes[:, -BINS_PER_HOUR - 1 :])


def peak_of_seen_hours(hourly: FloatArray, hours: int) -> FloatArray:
    """Peak [n] of the present hour and of the last `hours` hours before it in which anything was seen.

    `hourly` [n, t] is oldest first. Without gaps these are the last `hours + 1` columns.
    """
    past, present = hourly[:, :-1], hourly[:, -1]
    found = peak(past[:, -hours:])
    gaps = np.flatnonzero(np.isnan(past[:, -hours:]).any(axis=1))
    if not len(gaps):
        return np.fmax(found, present)
    seen = np.isfinite(past[gaps])
    newest_first = np.cumsum(seen[:, ::-1], axis=1)[:, ::-1]
    found[gaps] = peak(np.where(seen & (newest_first <= hours), past[gaps], np.nan))
    return np.fmax(found, present)


def trailing_peak(hourly: npt.NDArray[Real], hours: int) -> npt.NDArray[Real]:
    """Maximum of each hour and the `hours - 1` before it, [n, t] (doubling, so log2(hours) passes)."""
    out = hourly
    reach = 1
    while reach < hours:
        step = min(reach, hours - reach)
        wider = out.copy()
        np.fmax(out[:, step:], out[:, :-step], out=wider[:, step:])
        out = wider
        reach += step
    return out
