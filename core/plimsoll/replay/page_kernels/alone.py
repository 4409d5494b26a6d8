"""Runs one heuristic over a whole trace: victims in order and the number of misses."""

import numpy as np
import numpy.typing as npt

from plimsoll.replay.page_kernels.arc import Arc, arc_access
from plimsoll.replay.page_kernels.compiled import compiled
from plimsoll.replay.page_kernels.links import HIT
from plimsoll.replay.page_kernels.lirs import Lirs, lirs_access
from plimsoll.replay.page_kernels.lru import Lru, clock_access, lru_access
from plimsoll.replay.page_kernels.s3fifo import S3Fifo, s3fifo_access

Victims = tuple[npt.NDArray[np.int32], int]


@compiled
def run_lru(state: Lru, rows: npt.NDArray[np.int32], capacity: int) -> Victims:
    """LRU over all references."""
    victims, gone, misses = np.empty(len(rows), np.int32), 0, 0
    for page in rows:
        victim = lru_access(state, page, capacity)
        misses += victim != HIT
        if victim >= 0:
            victims[gone] = victim
            gone += 1
    return victims[:gone].copy(), misses


@compiled
def run_clock(state: Lru, rows: npt.NDArray[np.int32], capacity: int) -> Victims:
    """CLOCK over all references."""
    victims, gone, misses = np.empty(len(rows), np.int32), 0, 0
    for page in rows:
        victim = clock_access(state, page, capacity)
        misses += victim != HIT
        if victim >= 0:
            victims[gone] = victim
            gone += 1
    return victims[:gone].copy(), misses


@compiled
def run_s3fifo(state: S3Fifo, rows: npt.NDArray[np.int32], capacity: int) -> Victims:
    """S3-FIFO over all references."""
    victims, gone, misses = np.empty(len(rows), np.int32), 0, 0
    for page in rows:
        victim = s3fifo_access(state, page, capacity)
        misses += victim != HIT
        if victim >= 0:
            victims[gone] = victim
            gone += 1
    return victims[:gone].copy(), misses


@compiled
def run_arc(state: Arc, rows: npt.NDArray[np.int32], capacity: int) -> Victims:
    """ARC over all references."""
    victims, gone, misses = np.empty(len(rows), np.int32), 0, 0
    for page in rows:
        victim = arc_access(state, page, capacity)
        misses += victim != HIT
        if victim >= 0:
            victims[gone] = victim
            gone += 1
    return victims[:gone].copy(), misses


@compiled
def run_lirs(state: Lirs, rows: npt.NDArray[np.int32], capacity: int) -> Victims:
    """LIRS over all references."""
    victims, gone, misses = np.empty(len(rows), np.int32), 0, 0
    for page in rows:
        victim = lirs_access(state, page, capacity)
        misses += victim != HIT
        if victim >= 0:
            victims[gone] = victim
            gone += 1
    return victims[:gone].copy(), misses
