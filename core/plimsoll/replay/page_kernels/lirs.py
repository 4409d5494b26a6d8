"""LIRS (Jiang and Zhang, SIGMETRICS 2002): pages with a short inter-reference recency stay.

The stack holds pages by recency, those let go included, but no more than three times the capacity; a
hundredth of memory (at least two pages) is the queue of residents that may go.
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
    push_front,
    remove,
)

LOW, IN_QUEUE, IN_STACK = 0, 1, 2  # columns of `counts`
QUEUE_SHARE, STACK_OVER_CAPACITY = 0.01, 3
MOST_LOOKED_AT = 64


class Lirs(NamedTuple):
    """`low`: of low inter-reference recency, never let go at once. Each page may be in stack and queue."""

    held: npt.NDArray[np.uint8]
    stack: Links
    queue: Links
    counts: npt.NDArray[np.int64]
    low: npt.NDArray[np.uint8]
    stacked: npt.NDArray[np.uint8]


def lirs(pages: int) -> Lirs:
    """Empty memory."""
    return Lirs(
        np.zeros(pages, np.uint8),
        empty_links(pages, 1),
        empty_links(pages, 1),
        np.zeros(3, np.int64),
        np.zeros(pages, np.uint8),
        np.zeros(pages, np.uint8),
    )


@compiled
def lirs_access(state: Lirs, page: int, capacity: int) -> int:
    """A page seen twice within the stack becomes low; the least recent low one is put up for eviction."""
    counts, ring = state.counts, len(state.held)
    most_low = capacity - max(2, int(capacity * QUEUE_SHARE))
    if state.held[page]:
        _hit(state, page, most_low)
        _trim(state, capacity * STACK_OVER_CAPACITY)
        return HIT
    victim = LOADED
    if counts[LOW] + counts[IN_QUEUE] >= capacity:
        if counts[IN_QUEUE] == 0:
            _demote(state)
        victim = int(state.queue[AHEAD, ring])
        remove(state.queue, victim)
        counts[IN_QUEUE] -= 1
        state.held[victim] = 0
    state.held[page] = 1
    stacked = state.stacked[page]
    _to_top(state, page)
    if stacked or counts[LOW] < most_low:
        _promote(state, page, most_low)
    else:
        push_front(state.queue, ring, page)
        counts[IN_QUEUE] += 1
    _trim(state, capacity * STACK_OVER_CAPACITY)
    return victim


@compiled
def _hit(state: Lirs, page: int, most_low: int) -> None:
    stacked = state.stacked[page]
    _to_top(state, page)
    if state.low[page]:
        _prune(state)
        return
    remove(state.queue, page)
    if stacked:
        state.counts[IN_QUEUE] -= 1
        _promote(state, page, most_low)
    else:
        push_front(state.queue, len(state.held), page)


@compiled
def _to_top(state: Lirs, page: int) -> None:
    if state.stacked[page]:
        remove(state.stack, page)
    else:
        state.stacked[page] = 1
        state.counts[IN_STACK] += 1
    push_front(state.stack, len(state.held), page)


@compiled
def _unstack(state: Lirs, page: int) -> None:
    remove(state.stack, page)
    state.stacked[page] = 0
    state.counts[IN_STACK] -= 1


@compiled
def _promote(state: Lirs, page: int, most_low: int) -> None:
    state.low[page] = 1
    state.counts[LOW] += 1
    if state.counts[LOW] > most_low:
        _demote(state)


@compiled
def _demote(state: Lirs) -> None:
    """The low page at the bottom of the stack moves to the queue."""
    ring = len(state.held)
    page = int(state.stack[AHEAD, ring])
    _unstack(state, page)
    state.low[page] = 0
    state.counts[LOW] -= 1
    push_front(state.queue, ring, page)
    state.counts[IN_QUEUE] += 1
    _prune(state)


@compiled
def _prune(state: Lirs) -> None:
    """The bottom of the stack is always a low page."""
    ring = len(state.held)
    while state.stack[AHEAD, ring] != ring and not state.low[state.stack[AHEAD, ring]]:
        _unstack(state, int(state.stack[AHEAD, ring]))


@compiled
def _trim(state: Lirs, most: int) -> None:
    """Forget the least recent page of those let go, if one lies near the bottom of too high a stack."""
    if state.counts[IN_STACK] <= most:
        return
    ring = len(state.held)
    page = state.stack[AHEAD, ring]
    for _ in range(MOST_LOOKED_AT):
        if page == ring:
            return
        if not state.low[page] and not state.held[page]:
            _unstack(state, int(page))
            return
        page = state.stack[AHEAD, page]
