"""The shape of a memory series: idle, flat, growth, diurnal, sawtooth, bursty or drift.

In: one series of 5-minute maxima, NaN where missing. Out: its class by name. Results are told by class,
because a recommender may win on the many flat series what it loses on the few that grow. The classifier
looks at the whole series, so it is for scoring only and never for deciding. It is the study's, rule by
rule, so that figures compare.
"""

from enum import StrEnum

import numpy as np
import numpy.typing as npt

from plimsoll.replay.series import BINS_PER_DAY, BINS_PER_HOUR, FloatArray
from plimsoll.usage.sample import MIN_MEDIAN_BYTES

MIN_BINS = 36
DAY_HOURS = 24


class SeriesClass(StrEnum):
    """The shapes, in the order of the tables."""

    FLAT = "flat"
    DRIFT = "drift"
    SAWTOOTH = "sawtooth"
    BURSTY = "bursty"
    GROWTH = "growth"
    DIURNAL = "diurnal"
    IDLE = "idle"


def classify(usage_bytes: FloatArray) -> SeriesClass:
    """The class of one series [bins]."""
    present = usage_bytes[~np.isnan(usage_bytes)]
    if len(present) < MIN_BINS or np.median(present) < MIN_MEDIAN_BYTES:
        return SeriesClass.IDLE
    median = float(np.median(present))
    low, high = np.percentile(present, [1, 99])
    peak = float(present.max()) / median
    days = len(usage_bytes) / BINS_PER_DAY
    if (high - low) / median < 0.10 and peak < 1.25:
        return SeriesClass.FLAT
    hourly = hourly_maxima(usage_bytes)
    if _grows(hourly[~np.isnan(hourly)]):
        return SeriesClass.GROWTH
    if days >= 2.5 and _daily_autocorrelation(hourly) > 0.35:
        return SeriesClass.DIURNAL
    restarts = _restarts(present)
    if restarts >= 1 and restarts / max(days, 1) <= 6 and peak < 4:
        return SeriesClass.SAWTOOTH
    return SeriesClass.BURSTY if peak > 1.5 else SeriesClass.DRIFT


def hourly_maxima(usage_bytes: FloatArray) -> FloatArray:
    """Maxima [hours] of the whole hours of a series [bins]; NaN where an hour has no bin."""
    hours = len(usage_bytes) // BINS_PER_HOUR
    whole = usage_bytes[: hours * BINS_PER_HOUR].reshape(hours, BINS_PER_HOUR)
    maxima: FloatArray = np.fmax.reduce(whole, axis=1)
    return maxima


def _grows(hourly: FloatArray) -> bool:
    """A straight line explains most of it, and climbs by more than 15 % of the mean."""
    if len(hourly) < 6:
        return False
    hours = np.arange(len(hourly))
    line = np.polyfit(hours, hourly, 1)
    total = float(((hourly - hourly.mean()) ** 2).sum())
    explained = 1 - float(((hourly - np.polyval(line, hours)) ** 2).sum()) / total if total > 0 else 0.0
    return bool(explained > 0.6 and line[0] * len(hourly) / max(hourly.mean(), 1) > 0.15)


def _daily_autocorrelation(hourly: FloatArray) -> float:
    """Correlation of the detrended hours with those a day before; 0 where there are too few."""
    if len(hourly) < 60:
        return 0.0
    centred = hourly - np.nanmean(hourly)
    centred = np.where(np.isnan(centred), 0, centred)
    hours = np.arange(len(centred))
    centred = centred - np.polyval(np.polyfit(hours, centred, 1), hours)
    power = float((centred * centred).sum())
    return float((centred[DAY_HOURS:] * centred[:-DAY_HOURS]).sum()) / power if power > 0 else 0.0


def _restarts(present: FloatArray, window: int = 6) -> int:
    """Falls of the half-hour median below 70 % of the one before, at least an hour apart."""
    if len(present) <= 2 * window:
        return 0
    level: npt.NDArray[np.float64] = np.median(
        np.lib.stride_tricks.sliding_window_view(present, window), axis=1
    )
    falls = np.flatnonzero(level[window:] / np.maximum(level[:-window], 1) < 0.7)
    return int((np.diff(falls, prepend=-99) > BINS_PER_HOUR).sum())
