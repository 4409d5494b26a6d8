"""ARC (Megiddo and Modha, FAST 2003): recency against frequency, balanced by hits on those let go."""

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
    remove,
)

NOWHERE = -1
ONCE, OFTEN, ONCE_GONE, OFTEN_GONE = 0, 1, 2, 3  # the paper's T1, T2, B1, B2


class Arc(NamedTuple):
    """`place` is the list a page is in; `target` [1] how many pages ONCE should hold (the paper's p)."""

    held: npt.NDArray[np.uint8]
    links: Links
    counts: npt.NDArray[np.int64]
    place: npt.NDArray[np.int8]
    target: npt.NDArray[np.float64]


def arc(pages: int) -> Arc:
    """Empty memory."""
    return Arc(
        np.zeros(pages, np.uint8),
        empty_links(pages, 4),
        np.zeros(4, np.int64),
        np.full(pages, NOWHERE, np.int8),
        np.zeros(1),
    )


@compiled
def arc_access(state: Arc, page: int, capacity: int) -> int:
    """The cases of the paper's figure 4, in order."""
    place, counts = state.place[page], state.counts
    if place in (ONCE, OFTEN):
        _move(state, page, OFTEN)
        return HIT
    victim = LOADED
    full = counts[ONCE] + counts[OFTEN] >= capacity
    if place == ONCE_GONE:
        step = max(1.0, counts[OFTEN_GONE] / counts[ONCE_GONE])
        state.target[0] = min(float(capacity), state.target[0] + step)
    elif place == OFTEN_GONE:
        step = max(1.0, counts[ONCE_GONE] / counts[OFTEN_GONE])
        state.target[0] = max(0.0, state.target[0] - step)
    elif counts[ONCE] == capacity:
        victim = _drop(state, ONCE)
        full = False
    elif counts[ONCE] + counts[ONCE_GONE] >= capacity:
        _drop(state, ONCE_GONE)
    elif counts.sum() >= 2 * capacity:
        _drop(state, OFTEN_GONE)
    if full:
        victim = _replace(state, place == OFTEN_GONE)
    _move(state, page, OFTEN if place in (ONCE_GONE, OFTEN_GONE) else ONCE)
    state.held[page] = 1
    return victim


@compiled
def _replace(state: Arc, was_often: bool) -> int:  # noqa: FBT001  (numba has no keyword-only arguments)
    once, target = state.counts[ONCE], state.target[0]
    from_once = once > 0 and (once > target or (was_often and once == int(target)))
    if from_once or state.counts[OFTEN] == 0:
        source, ghost = ONCE, ONCE_GONE
    else:
        source, ghost = OFTEN, OFTEN_GONE
    page = state.links[0, len(state.held) + source]
    _move(state, page, ghost)
    state.held[page] = 0
    return int(page)


@compiled
def _move(state: Arc, page: int, place: int) -> None:
    if state.place[page] != NOWHERE:
        state.counts[state.place[page]] -= 1
        remove(state.links, page)
    push_front(state.links, len(state.held) + place, page)
    state.counts[place] += 1
    state.place[page] = place


@compiled
def _drop(state: Arc, place: int) -> int:
    """Forget the last page of a list."""
    page = pop_back(state.links, len(state.held) + place)
    state.counts[place] -= 1
    state.place[page] = NOWHERE
    state.held[page] = 0
    return page
