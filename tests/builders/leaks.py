"""Made series for the leak detector: usage in MiB in 5-minute bins that end now, and a look at them."""

import numpy as np

from plimsoll.forecast.window import BINS_PER_DAY, BINS_PER_HOUR, HISTORY_HOURS, UsageWindow
from plimsoll.leak.detect import Findings, find_leaks

MIB = 2.0**20
NOW_SECONDS = 3600.0 * 480_000


def window_of(usage_mib: np.ndarray) -> UsageWindow:
    """What is known at the end of a series of whole hours of 5-minute bins."""
    recent = np.full((1, BINS_PER_DAY), np.nan)
    hourly = np.full((1, HISTORY_HOURS), np.nan)
    hours = np.fmax.reduce(usage_mib.reshape(-1, BINS_PER_HOUR), axis=1)[-HISTORY_HOURS:]
    last = usage_mib[-BINS_PER_DAY:]
    recent[0, BINS_PER_DAY - len(last) :] = last * MIB
    hourly[0, HISTORY_HOURS - len(hours) :] = hours * MIB
    return UsageWindow(recent, hourly)


def look(
    usage_mib: np.ndarray, starts: np.ndarray | None = None, hours: int = 24, now_seconds: float = NOW_SECONDS
) -> Findings:
    """One row's finding; `starts`: Unix seconds, oldest first."""
    known = np.full((1, 8), np.nan)
    if starts is not None and len(starts):
        last = starts[-8:]
        known[0, 8 - len(last) :] = last
    return find_leaks(window_of(usage_mib), known, now_seconds, np.full(1, hours, dtype=np.int32))


def at(hours: int) -> np.ndarray:
    """The hour of each bin."""
    return np.arange(hours * BINS_PER_HOUR) / BINS_PER_HOUR


def noisy(values: np.ndarray, part: float = 0.01) -> np.ndarray:
    return values * np.random.default_rng(4).normal(1.0, part, len(values))
