"""Runs one heuristic over a whole trace: victims in order and the number of misses."""

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from plimsoll.replay.page_kernels.arc import arc_access
from plimsoll.replay.page_kernels.compiled import compiled
from plimsoll.replay.page_kernels.links import HIT
from plimsoll.replay.page_kernels.lirs import lirs_access
from plimsoll.replay.page_kernels.lru import clock_access, lru_access
from plimsoll.replay.page_kernels.s3fifo import s3fifo_access

Victims = tuple[npt.NDArray[np.int32], int]


def _over_all_references(access: Callable[[Any, int, int], int]) -> Callable[..., Victims]:
    """Make the loop over a trace for one heuristic; numba compiles and caches each by what it encloses."""

    @compiled
    def run(state, rows, capacity):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
        victims, gone, misses = np.empty(len(rows), np.int32), 0, 0
        for page in rows:
            victim = access(state, page, capacity)
            misses += victim != HIT
            if victim >= 0:
                victims[gone] = victim
                gone += 1
        return victims[:gone].copy(), misses

    return run


run_lru = _over_all_references(lru_access)
run_clock = _over_all_references(clock_access)
run_s3fifo = _over_all_references(s3fifo_access)
run_arc = _over_all_references(arc_access)
run_lirs = _over_all_references(lirs_access)
