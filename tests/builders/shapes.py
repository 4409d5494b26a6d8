"""Usage that forecast models must not trip over, as [bins] of 5 minutes."""

import numpy as np

from builders.histories import MIB, steady
from plimsoll.forecast.window import UsageWindow


def ramp(days: float, mib_per_hour: float, start_mib: float = 100.0) -> np.ndarray:
    """Usage that climbs by the same amount every bin."""
    return (start_mib + mib_per_hour / 12 * np.arange(round(days * 288))) * MIB


def daily(days: float, low_mib: float = 100.0, high_mib: float = 300.0) -> np.ndarray:
    """A night, and a day of twelve hours."""
    hour = np.arange(round(days * 288)) // 12 % 24
    return np.where(hour < 12, low_mib, high_mib) * MIB


def hourly(values_mib) -> np.ndarray:
    """Each value for an hour."""
    return np.repeat(np.asarray(values_mib, dtype=np.float64) * MIB, 12)


BAD_INPUT = {
    "zero": np.zeros(600),
    "one sample": np.array([100 * MIB]),
    "nothing": np.full(300, np.nan),
    "gaps": np.where(np.arange(900) % 7 < 3, np.nan, 80 * MIB),
    "hours missing": np.where(np.arange(900) // 12 % 5 == 2, np.nan, 80 * MIB),
    "spike of a thousand times": np.concatenate([steady(2), [1e5 * MIB], steady(0.3)]),
    "KiB for bytes": np.concatenate([steady(1), steady(0.5) / 1024]),
    "huge": np.full(300, 2.0**45),
    "growth": ramp(3, 10),
    "daily": daily(4),
}


def rows_of(window: UsageWindow, rows: np.ndarray) -> UsageWindow:
    """The window of these rows alone."""
    return UsageWindow(window.recent_bytes[rows], window.hourly_bytes[rows])


def alike(rows: int, seed: int = 5, days: float = 2.0) -> np.ndarray:
    """Random walks with gaps and restarts [rows, bins]: what batching must not mix up."""
    random = np.random.default_rng(seed)
    bins = round(days * 288)
    usage = np.exp(18 + np.cumsum(random.normal(0.002, 0.02, (rows, bins)), axis=1))
    usage[random.random(usage.shape) < 0.05] = np.nan
    restart = random.integers(50, bins, rows)
    return np.where(np.arange(bins) >= restart[:, None], usage / 3, usage)
