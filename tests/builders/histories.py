"""A real `History` fed with given 5-minute maxima; the present is the start of the bin after the last one."""

import numpy as np
import numpy.typing as npt

from plimsoll.forecast.window import UsageWindow, read_window
from plimsoll.usage.history import History
from plimsoll.usage.sample import BIN_SECONDS, Quantity

MIB = 2.0**20
# Bin 0: the first of an absolute hour.
START_BIN = 6_000_000


def at(bin_index: int) -> float:
    """Unix second at which this bin begins."""
    return float((START_BIN + bin_index) * BIN_SECONDS)


def history_of(usage_bytes: npt.ArrayLike) -> tuple[History, npt.NDArray[np.int32], float]:
    """History, its rows and the present, from usage [n, bins]; NaN: no sample in that bin."""
    usage = np.atleast_2d(np.asarray(usage_bytes, dtype=np.float64))
    history = History(Quantity.USAGE, max(len(usage), 1))
    rows = history.add_rows(len(usage))
    for bin_index, column in enumerate(usage.T):
        append_bin(history, rows, bin_index, column)
    now = at(usage.shape[1])
    history.advance(now)
    return history, rows, now


def append_bin(
    history: History, rows: npt.NDArray[np.int32], bin_index: int, usage_bytes: npt.NDArray[np.float64]
) -> None:
    """One sample a row in the middle of a bin; NaN: none."""
    middle = at(bin_index) + BIN_SECONDS / 2
    history.append(rows, np.full(len(rows), middle), usage_bytes, middle)


def window_of(usage_bytes: npt.ArrayLike) -> UsageWindow:
    """The window a model sees after usage [n, bins]."""
    history, rows, _ = history_of(usage_bytes)
    return read_window(history, rows)


def steady(days: float, mib: float = 100.0, noise: float = 0.02, seed: int = 0) -> npt.NDArray[np.float64]:
    """Usage [bins] that keeps its level."""
    bins = round(days * 288)
    return mib * MIB * (1 + noise * np.random.default_rng(seed).uniform(-1, 1, bins))
