"""S3-FIFO (Yang et al., SOSP 2023): a small queue for newcomers, a main one, a ghost of those let go.

As in libcachesim: the small queue is a tenth, a page moves to the main one after two hits, the ghost
remembers nine tenths of the capacity.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from plimsoll.replay.page_kernels.compiled import compiled
from plimsoll.replay.page_kernels.links import (
    HIT,
    LOADED,
    Links,
    empty_links,
    pop_back,
    push_front,
)

SMALL, MAIN, LET_GO = 0, 1, 2  # columns of `counts`
SMALL_SHARE, GHOST_SHARE = 0.1, 0.9
MOST_HITS, HITS_TO_STAY = 3, 2


class S3Fifo(NamedTuple):
    """Lists 0 small, 1 main. `let_go_at` is the place in the order of those let go; 0 never."""

    held: npt.NDArray[np.uint8]
    links: Links
    counts: npt.NDArray[np.int64]
    hits: npt.NDArray[np.uint8]
    let_go_at: npt.NDArray[np.int64]


def s3fifo(pages: int) -> S3Fifo:
    """Empty memory."""
    return S3Fifo(
        np.zeros(pages, np.uint8),
        empty_links(pages, 2),
        np.zeros(3, np.int64),
        np.zeros(pages, np.uint8),
        np.zeros(pages, np.int64),
    )


@compiled
def s3fifo_access(state: S3Fifo, page: int, capacity: int) -> int:
    """Newcomers are let go first, unless hit twice or let go not long ago."""
    if state.held[page]:
        state.hits[page] = min(MOST_HITS, state.hits[page] + 1)
        return HIT
    since = state.counts[LET_GO] - state.let_go_at[page]
    known = state.let_go_at[page] > 0 and since <= max(1, int(capacity * GHOST_SHARE))
    victim = LOADED
    if state.counts[SMALL] + state.counts[MAIN] >= capacity:
        victim = _evict(state, capacity)
        state.held[victim] = 0
    state.held[page], state.hits[page] = 1, 0
    queue = SMALL
    if known:
        state.let_go_at[page] = 0
        queue = MAIN
    state.counts[queue] += 1
    push_front(state.links, len(state.held) + queue, page)
    return victim


@compiled
def _evict(state: S3Fifo, capacity: int) -> int:
    small, main = len(state.held), len(state.held) + 1
    small_pages = max(1, int(capacity * SMALL_SHARE))
    if state.counts[SMALL] >= small_pages or state.counts[MAIN] == 0:
        while state.counts[SMALL] > 0:
            page = pop_back(state.links, small)
            state.counts[SMALL] -= 1
            if state.hits[page] < HITS_TO_STAY:
                state.counts[LET_GO] += 1
                state.let_go_at[page] = state.counts[LET_GO]
                return page
            state.hits[page] = 0
            push_front(state.links, main, page)
            state.counts[MAIN] += 1
            if state.counts[MAIN] > capacity - small_pages:
                break
    while True:
        page = pop_back(state.links, main)
        if state.hits[page] == 0:
            state.counts[MAIN] -= 1
            return page
        state.hits[page] -= 1
        push_front(state.links, main, page)
