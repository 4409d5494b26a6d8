"""Demand paging with victims that somebody else named: how many misses, and the first rule broken."""

import numpy as np
import numpy.typing as npt

from plimsoll.replay.page_kernels.compiled import compiled

KEPT, TOO_FEW, UNKNOWN, NOT_RESIDENT, TOO_MANY = 0, 1, 2, 3, 4


@compiled
def follow(
    rows: npt.NDArray[np.int32], pages: int, capacity: int, victims: npt.NDArray[np.int64]
) -> tuple[int, int, int]:
    """Misses, the rule broken (0: none), and at which victim it was. Victim -1: an unknown page."""
    held = np.zeros(pages, np.uint8)
    resident = misses = named = 0
    for page in rows:
        if held[page]:
            continue
        misses += 1
        held[page] = 1
        if resident < capacity:
            resident += 1
            continue
        if named == len(victims):
            return misses, TOO_FEW, named
        victim = victims[named]
        if victim < 0:
            return misses, UNKNOWN, named
        if not held[victim] or victim == page:
            return misses, NOT_RESIDENT, named
        held[victim] = 0
        named += 1
    return misses, TOO_MANY if named < len(victims) else KEPT, named
