"""Hourly peaks with a known season, for tests of what looks for one."""

import numpy as np

MIB = 2**20


def daily(hours: int, swing: float = 0.3, noise: float = 0.02, weekend: float = 1.0) -> np.ndarray:
    """Peaks [hours] around 500 MiB that follow the day; `weekend` scales the last two days of each week."""
    hour = np.arange(hours)
    shape = 1 + swing * np.sin(2 * np.pi * hour / 24)
    week = np.where(hour // 24 % 7 >= 5, weekend, 1.0)
    return 500 * MIB * shape * week * np.exp(noise * np.random.default_rng(5).standard_normal(hours))
