"""LRU and CLOCK (second chance), step by step.

A step takes the page referenced and returns HIT, LOADED or the page that goes.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from plimsoll.replay.page_kernels.compiled import compiled
from plimsoll.replay.page_kernels.links import (
    AHEAD,
    HIT,
    LOADED,
    Links,
    empty_links,
    pop_back,
    push_front,
    to_front,
)


class Lru(NamedTuple):
    """One list, the longest unused last. `referenced` serves CLOCK only."""

    held: npt.NDArray[np.uint8]
    links: Links
    resident: npt.NDArray[np.int64]  # [1]
    referenced: npt.NDArray[np.uint8]


def lru(pages: int) -> Lru:
    """Empty memory."""
    return Lru(
        np.zeros(pages, np.uint8), empty_links(pages, 1), np.zeros(1, np.int64), np.zeros(pages, np.uint8)
    )


@compiled
def lru_access(state: Lru, page: int, capacity: int) -> int:
    """Evict the page unused for longest."""
    ring = len(state.held)
    if state.held[page]:
        to_front(state.links, ring, page)
        return HIT
    victim = LOADED
    if state.resident[0] >= capacity:
        victim = pop_back(state.links, ring)
        state.held[victim] = 0
    else:
        state.resident[0] += 1
    state.held[page] = 1
    push_front(state.links, ring, page)
    return victim


@compiled
def clock_access(state: Lru, page: int, capacity: int) -> int:
    """Evict the oldest page that was not referenced since the hand passed it."""
    ring = len(state.held)
    if state.held[page]:
        state.referenced[page] = 1
        return HIT
    victim = LOADED
    if state.resident[0] >= capacity:
        while state.referenced[state.links[AHEAD, ring]]:
            state.referenced[state.links[AHEAD, ring]] = 0
            to_front(state.links, ring, state.links[AHEAD, ring])
        victim = pop_back(state.links, ring)
        state.held[victim] = 0
    else:
        state.resident[0] += 1
    state.held[page] = 1
    state.referenced[page] = 0
    push_front(state.links, ring, page)
    return victim
