"""The shape of each row's usage, found from what is known by now: flat, drift, sawtooth, bursty, growth ...

In: a usage window and the last restarts. Out: one `WorkloadClass` a row, for people (status, explain,
metrics) and for whoever routes by it. Rules and thresholds are those of the classifier that scores replays
(`plimsoll.replay.classes`), which looks at whole series; this one may only look back, knows old days by
their hourly maxima alone, and adds what a score does not tell apart: weekly, start-up peak, batch.
`ClassMemory` keeps a class until another one has been seen for hours.
"""

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
import numpy.typing as npt

from plimsoll.forecast.ordered import Ordered, ordered
from plimsoll.forecast.startup import STARTUP_RATIO, at, hours_of, starts_of
from plimsoll.forecast.window import (
    BINS_PER_HOUR,
    HOURS_PER_DAY,
    FloatArray,
    IntArray,
    UsageWindow,
    peak,
)
from plimsoll.usage.events import Starts
from plimsoll.usage.grown import grown, rows_up_to
from plimsoll.usage.sample import MIN_MEDIAN_BYTES

BoolArray = npt.NDArray[np.bool_]
CodeArray = npt.NDArray[np.int8]

WEEK_HOURS = 7 * HOURS_PER_DAY
LEAST_HOURS = 3  # fewer say nothing


class WorkloadClass(IntEnum):
    """The shapes; the label is shown to people and is a metric label."""

    UNKNOWN = 0  # too little past
    IDLE = 1
    FLAT = 2
    DRIFT = 3
    SAWTOOTH = 4
    BURSTY = 5
    GROWTH = 6
    DIURNAL = 7
    WEEKLY = 8
    STARTUP_PEAK = 9
    BATCH = 10

    @property
    def label(self) -> str:
        """Its word: `flat`, `startup-peak`."""
        return self.name.lower().replace("_", "-")


@dataclass(frozen=True, slots=True)
class ClassRules:
    """Thresholds. Those of the scoring classifier, except where only hours are known of the past."""

    flat_spread: float = 0.10  # between the 1 % and the 99 % quantile, of the median
    flat_peak: float = 1.25  # maximum over median
    growth_explained: float = 0.6  # part of the variance that a straight line explains
    growth_rise: float = 0.15  # of the mean, over all that was seen
    season: float = 0.35  # autocorrelation of the detrended hours
    weekly_gain: float = 0.1  # a week must explain so much more than a day
    diurnal_hours: int = 60
    weekly_hours: int = 2 * WEEK_HOURS
    fall: float = 0.7  # a level below this part of the one before is a restart
    sawtooth_peak: float = 4.0
    sawtooth_falls_per_day: float = 6.0
    bursty_peak: float = 1.5
    startup_peak: float = STARTUP_RATIO  # after a start over what comes later
    batch_share: float = 0.8  # of its life in which a batch workload is seen, at most
    batch_runs: int = 3
    batch_run_hours: float = 12.0


RULES = ClassRules()


def workload_classes(
    window: UsageWindow, starts: Starts, now_seconds: float, rules: ClassRules = RULES
) -> CodeArray:
    """The class [n] of each row of a chunk; `starts` [n, k]: the last of its processes.

    Rules in the scoring classifier's order: the first that holds names the row.
    """
    hourly = window.hourly_bytes
    seen = np.isfinite(hourly)
    hours = np.count_nonzero(seen, axis=1)
    shape = _shape(window)
    detrended, grows = _trend(hourly, seen, hours, rules)
    day = _autocorrelation(detrended, HOURS_PER_DAY)
    week = _autocorrelation(detrended, WEEK_HOURS)
    falls = _falls(window, rules) + _restarts(starts.seconds, now_seconds, window)
    days = np.maximum(hours / HOURS_PER_DAY, 1.0)
    weekly = (hours >= rules.weekly_hours) & (week > rules.season) & (week > day + rules.weekly_gain)
    sawtooth = (falls >= 1) & (falls / days <= rules.sawtooth_falls_per_day)
    verdicts: list[tuple[BoolArray, WorkloadClass]] = [
        (hours < LEAST_HOURS, WorkloadClass.UNKNOWN),
        (shape.median_bytes < MIN_MEDIAN_BYTES, WorkloadClass.IDLE),
        (_batch(seen, hours, rules), WorkloadClass.BATCH),
        (_starts_high(window, starts, now_seconds, rules), WorkloadClass.STARTUP_PEAK),
        ((shape.spread < rules.flat_spread) & (shape.peak < rules.flat_peak), WorkloadClass.FLAT),
        (grows, WorkloadClass.GROWTH),
        (weekly, WorkloadClass.WEEKLY),
        ((hours >= rules.diurnal_hours) & (day > rules.season), WorkloadClass.DIURNAL),
        (sawtooth & (shape.peak < rules.sawtooth_peak), WorkloadClass.SAWTOOTH),
        (shape.peak > rules.bursty_peak, WorkloadClass.BURSTY),
    ]
    conditions = [condition for condition, _ in verdicts]
    names = [np.int8(name) for _, name in verdicts]
    return np.asarray(np.select(conditions, names, default=np.int8(WorkloadClass.DRIFT)), dtype=np.int8)


@dataclass(frozen=True, slots=True)
class _Shape:
    median_bytes: FloatArray  # [n]
    spread: FloatArray  # [n] of the median
    peak: FloatArray  # [n] over the median


def _shape(window: UsageWindow) -> _Shape:
    """Level, spread and peak: of the hours' maxima, and of the last day's bins where those tell more."""
    hours = ordered(window.hourly_bytes.astype(np.float32))
    bins = ordered(window.recent_bytes.astype(np.float32))
    day = _quantile(bins, 0.5)
    most_of_it = bins.count >= hours.count * BINS_PER_HOUR / 2
    median = np.maximum(np.fmin(_quantile(hours, 0.5), np.where(most_of_it, day, np.inf)), 1.0)
    with np.errstate(invalid="ignore", divide="ignore"):
        spread = np.fmax(
            (_quantile(hours, 0.99) - _quantile(hours, 0.01)) / median,
            (_quantile(bins, 0.99) - _quantile(bins, 0.01)) / np.maximum(day, 1.0),
        )
    return _Shape(median, spread, peak(window.hourly_bytes) / median)


def _quantile(rows: Ordered[np.float32], level: float) -> FloatArray:
    return rows.nearest(level).astype(np.float64)


def _trend(
    hourly: FloatArray, seen: BoolArray, hours: npt.NDArray[np.intp], rules: ClassRules
) -> tuple[npt.NDArray[np.float32], BoolArray]:
    """The hours without their straight line (0 where unseen), and whether that line is growth."""
    count = np.maximum(hours, 1)[:, None]
    time = np.where(seen, np.arange(hourly.shape[1]), 0.0)
    middle = time.sum(axis=1, keepdims=True) / count
    value = np.where(seen, hourly, 0.0)
    level = value.sum(axis=1, keepdims=True) / count
    value = np.where(seen, value - level, 0.0)
    time = np.where(seen, time - middle, 0.0)
    power = np.einsum("ij,ij->i", value, value)
    slope = np.einsum("ij,ij->i", time, value) / np.maximum(np.einsum("ij,ij->i", time, time), 1.0)
    rest = np.where(seen, value - slope[:, None] * time, 0.0)
    explained = 1.0 - np.einsum("ij,ij->i", rest, rest) / np.maximum(power, 1e-9)
    rise = slope * hours / np.maximum(level[:, 0], 1.0)
    grows = (hours >= 6) & (explained > rules.growth_explained) & (rise > rules.growth_rise)
    scale = np.sqrt(np.maximum(np.einsum("ij,ij->i", rest, rest), 1.0))
    return (rest / scale[:, None]).astype(np.float32), np.asarray(grows)


def _autocorrelation(unit: npt.NDArray[np.float32], lag: int) -> FloatArray:
    """Correlation [n] of rows of unit length with themselves `lag` hours before."""
    if unit.shape[1] <= lag:
        return np.zeros(len(unit))
    return np.asarray(np.einsum("ij,ij->i", unit[:, lag:], unit[:, :-lag]), dtype=np.float64)


def _falls(window: UsageWindow, rules: ClassRules) -> npt.NDArray[np.intp]:
    """Falls of the level, at least an hour apart: of half hours in the last day, of hours before it."""
    half = BINS_PER_HOUR // 2
    halves = np.lib.stride_tricks.sliding_window_view(window.recent_bytes.astype(np.float32), half, axis=1)
    level = np.sort(halves[:, :: half // 2], axis=2)[:, :, half // 2 - 1]  # lower median; NaN: few seen
    # A single hour above its neighbours is a spike, no level to fall from.
    older = window.hourly_bytes[:, :-HOURS_PER_DAY]
    older = np.concatenate([older[:, :1], np.minimum(older[:, 1:], older[:, :-1] / rules.fall)], axis=1)
    return _count_falls(level, rules.fall, 2, 4) + _count_falls(older, rules.fall, 1, 2)


def _count_falls(
    level: npt.NDArray[np.floating], ratio: float, back: int, apart: int
) -> npt.NDArray[np.intp]:
    """Times at which the level lies below `ratio` of that `back` columns before, for the first time in
    `apart` columns."""
    with np.errstate(invalid="ignore"):
        fell = level[:, back:] < ratio * level[:, :-back]
    recently = np.zeros_like(fell)
    for step in range(1, apart):
        recently[:, step:] |= fell[:, :-step]
    return np.asarray(np.count_nonzero(fell & ~recently, axis=1))


def _restarts(restart_seconds: FloatArray, now_seconds: float, window: UsageWindow) -> npt.NDArray[np.intp]:
    """Restarts within the window after which usage lay lower: those that the falls do not show."""
    hour, known = hours_of(restart_seconds, now_seconds, window.hourly_bytes.shape[1], 3)
    hourly = window.hourly_bytes
    with np.errstate(invalid="ignore"):
        lower = at(hourly, hour + 2) < RULES.flat_peak**-1 * at(hourly, hour - 1)
        seen_as_fall = at(hourly, hour + 2) < RULES.fall * at(hourly, hour - 1)
    return np.asarray(np.count_nonzero(known & lower & ~seen_as_fall, axis=1))


def _starts_high(window: UsageWindow, starts: Starts, now_seconds: float, rules: ClassRules) -> BoolArray:
    """Most restarts that can be judged began with a peak above what came one to four hours later."""
    if not np.isfinite(starts.seconds).any():
        return np.zeros(len(window), dtype=np.bool_)
    return starts_of(window, starts, now_seconds, rules.startup_peak).usual()


def _batch(seen: BoolArray, hours: npt.NDArray[np.intp], rules: ClassRules) -> BoolArray:
    """Rows that come and go: several short runs with nothing in between."""
    lived = seen.shape[1] - np.argmax(seen, axis=1)
    starts = np.count_nonzero(seen[:, 1:] & ~seen[:, :-1], axis=1) + seen[:, 0]
    short = hours < rules.batch_run_hours * np.maximum(starts, 1)
    return np.asarray((starts >= rules.batch_runs) & (hours < rules.batch_share * lived) & short)


class ClassMemory:
    """The class of every row as it is told: another one must have been seen `patience` times in a row."""

    def __init__(self, capacity: int, patience: int = 6) -> None:
        self._patience = patience
        self._told: CodeArray = np.zeros(capacity, dtype=np.int8)
        self._candidate: CodeArray = np.zeros(capacity, dtype=np.int8)
        self._streak: CodeArray = np.zeros(capacity, dtype=np.int8)

    def told(self, rows: IntArray) -> CodeArray:
        """The classes [n] as last told."""
        self._grow(rows)
        return self._told[rows]

    def look(self, rows: IntArray, found: CodeArray) -> CodeArray:
        """Take in what was found [n] for `rows`, each at most once; returns what is told now."""
        self._grow(rows)
        again = found == self._candidate[rows]
        streak = np.where(again, np.minimum(self._streak[rows] + 1, 100), 1)
        told = self._told[rows]
        # Who was unknown takes any class at once; who has one does not lose it for want of past.
        accept = (told == WorkloadClass.UNKNOWN) | (streak >= self._patience)
        told = np.where(accept & (found != WorkloadClass.UNKNOWN), found, told).astype(np.int8)
        self._candidate[rows], self._streak[rows], self._told[rows] = found, streak, told
        return told

    def forget(self, rows: IntArray) -> None:
        """Rows were freed or given to another container."""
        self._grow(rows)
        for column in (self._told, self._candidate, self._streak):
            column[rows] = 0

    def _grow(self, rows: IntArray) -> None:
        columns = (self._told, self._candidate, self._streak)
        self._told, self._candidate, self._streak = (grown(each, rows_up_to(rows), 0) for each in columns)
