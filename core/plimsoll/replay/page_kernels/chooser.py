"""Evicts the page predicted to be needed last, among some: random residents and the end of the LRU list.

Looking at all residents on every miss would cost too much; a few dozen come near it. `older` further draws
for each random candidate keep the older page, which leans the choice towards LRU.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from plimsoll.replay.page_kernels.compiled import compiled
from plimsoll.replay.page_kernels.learner import Learner, draw, predict
from plimsoll.replay.page_kernels.links import (
    AHEAD,
    HIT,
    LOADED,
    Links,
    empty_links,
    push_front,
    remove,
    to_front,
)


class Chooser(NamedTuple):
    """Residents twice: by recency, and in a plain array to draw from."""

    held: npt.NDArray[np.uint8]
    links: Links
    resident: npt.NDArray[np.int32]
    place: npt.NDArray[np.int32]
    residents: npt.NDArray[np.int64]  # [1]: how many
    random_candidates: int
    tail_candidates: int
    older: int


def chooser(pages: int, capacity: int, random_candidates: int, tail_candidates: int, older: int) -> Chooser:
    """Empty memory."""
    return Chooser(
        np.zeros(pages, np.uint8),
        empty_links(pages, 1),
        np.zeros(capacity + 1, np.int32),
        np.full(pages, -1, np.int32),
        np.zeros(1, np.int64),
        random_candidates,
        tail_candidates,
        older,
    )


@compiled
def chooser_access(state: Chooser, learner: Learner, page: int, capacity: int) -> int:
    """As every policy's step; the learner has taken the reference in already."""
    ring = len(state.held)
    if state.held[page]:
        to_front(state.links, ring, page)
        return HIT
    victim = LOADED
    if state.residents[0] >= capacity:
        victim = _needed_last(state, learner)
        _let_go(state, victim)
    state.held[page] = 1
    state.place[page] = state.residents[0]
    state.resident[state.residents[0]] = page
    state.residents[0] += 1
    push_front(state.links, ring, page)
    return victim


@compiled
def any_resident(state: Chooser, random: npt.NDArray[np.uint64]) -> int:
    """One resident, each as likely as another."""
    return int(state.resident[draw(random, state.residents[0])])


@compiled
def _needed_last(state: Chooser, learner: Learner) -> int:
    ring = len(state.held)
    best, latest = -1, -np.inf
    page = state.links[AHEAD, ring]
    for _ in range(state.tail_candidates):
        if page == ring:
            break
        due = predict(learner, page)
        if due > latest:
            best, latest = page, due
        page = state.links[AHEAD, page]
    for _ in range(state.random_candidates):
        candidate = any_resident(state, learner.random)
        for _ in range(state.older):
            other = any_resident(state, learner.random)
            if learner.history.last[other] < learner.history.last[candidate]:
                candidate = other
        due = predict(learner, candidate)
        if due > latest:
            best, latest = candidate, due
    return best


@compiled
def _let_go(state: Chooser, page: int) -> None:
    state.residents[0] -= 1
    last = state.resident[state.residents[0]]
    state.resident[state.place[page]], state.place[last] = last, state.place[page]
    remove(state.links, page)
    state.held[page] = 0
