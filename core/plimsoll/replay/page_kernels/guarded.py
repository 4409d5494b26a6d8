"""The guarded mixture: shadows of six experts, and a memory that follows the one that missed least of late.

Every expert runs on all references as if it decided alone. The memory evicts what the expert it follows no
longer holds; after a change of expert that is all it holds and the new one does not, and it goes over miss by
miss, never at once.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from plimsoll.pages.expert_guard import WATCH_CAPACITIES
from plimsoll.pages.expert_guard import held_to_lru as held_to_lru_by
from plimsoll.pages.expert_guard import leader as leader_of
from plimsoll.replay.page_kernels.arc import Arc, arc, arc_access
from plimsoll.replay.page_kernels.chooser import Chooser, any_resident, chooser, chooser_access
from plimsoll.replay.page_kernels.compiled import compiled
from plimsoll.replay.page_kernels.history import touch
from plimsoll.replay.page_kernels.learner import (
    ADJUST_EVERY,
    DRAW_EVERY,
    NOW,
    SHARES,
    Learner,
    adjust,
    draw,
    draw_sample,
    label_samples,
)
from plimsoll.replay.page_kernels.links import HIT
from plimsoll.replay.page_kernels.lirs import Lirs, lirs, lirs_access
from plimsoll.replay.page_kernels.lru import Lru, lru, lru_access
from plimsoll.replay.page_kernels.s3fifo import S3Fifo, s3fifo, s3fifo_access

EXPERTS = ("lru", "s3fifo", "lirs", "arc", "gam", "gam-older")
GAM, GAM_OLDER = 4, 5
GAM_LOOKS_AT = (24, 8, 0)  # random, of the LRU tail, older
GAM_OLDER_LOOKS_AT = (48, 4, 1)
ROOM_FOR_DOUBT = 8  # times the capacity
leader = compiled(leader_of)
held_to_lru = compiled(held_to_lru_by)


class Shadows(NamedTuple):
    """The experts' own memories, in the order of `EXPERTS`."""

    lru: Lru
    s3fifo: S3Fifo
    lirs: Lirs
    arc: Arc
    gam: Chooser
    gam_older: Chooser


class Memory(NamedTuple):
    """What is really resident, and what may go next. `doubtful` is a bag of pages the expert let go."""

    held: npt.NDArray[np.uint8]
    resident: npt.NDArray[np.int32]
    place: npt.NDArray[np.int32]
    doubtful: npt.NDArray[np.int32]
    counters: npt.NDArray[np.int64]  # residents, doubtful, expert followed, changes, held to LRU
    random: npt.NDArray[np.uint64]


class Tally(NamedTuple):
    """Misses of each expert and, last, of the guarded memory; references for which each was followed."""

    misses: npt.NDArray[np.int64]
    followed: npt.NDArray[np.int64]
    faded: npt.NDArray[np.float64]
    watched: npt.NDArray[np.float64]  # [2]: misses of the memory and of LRU over the watch's half-life


RESIDENTS, DOUBTFUL, FOLLOWED, CHANGES, HELD = range(5)


def shadows(pages: int, capacity: int) -> Shadows:
    """All empty."""
    return Shadows(
        lru(pages),
        s3fifo(pages),
        lirs(pages),
        arc(pages),
        chooser(pages, capacity, *GAM_LOOKS_AT),
        chooser(pages, capacity, *GAM_OLDER_LOOKS_AT),
    )


def memory(pages: int, capacity: int) -> Memory:
    """Empty, following LRU."""
    return Memory(
        np.zeros(pages, np.uint8),
        np.zeros(capacity + 1, np.int32),
        np.full(pages, -1, np.int32),
        np.zeros(ROOM_FOR_DOUBT * capacity, np.int32),
        np.zeros(5, np.int64),
        np.array([777], np.uint64),
    )


def tally() -> Tally:
    """Nothing counted."""
    experts = len(EXPERTS)
    return Tally(np.zeros(experts + 1, np.int64), np.zeros(experts, np.int64), np.zeros(experts), np.zeros(2))


@compiled
def guarded_run(  # noqa: PLR0913, PLR0917  (numba takes arrays and numbers)
    rows: npt.NDArray[np.int32],
    kinds: npt.NDArray[np.uint8],
    capacity: int,
    learned: Learner,
    experts: Shadows,
    real: Memory,
    counted: Tally,
    fade: float,
    advantage: float,
) -> npt.NDArray[np.int32]:
    """All references through all experts and the guarded memory: its victims in order."""
    victims, gone = np.empty(len(rows), np.int32), 0
    let_go = np.empty(len(EXPERTS), np.int64)
    for at in range(len(rows)):
        page = rows[at]
        _learn(learned, experts, page, kinds[at], at * SHARES // len(rows), counted.misses[GAM], capacity)
        _step(experts, learned, page, capacity, let_go)
        _watch(real, counted, not real.held[page], let_go[0] != HIT, capacity)
        _follow(real, experts, counted, let_go, fade, advantage)
        if real.held[page]:
            continue
        counted.misses[len(EXPERTS)] += 1
        if real.counters[RESIDENTS] >= capacity:
            victims[gone] = _evict(real, experts, page)
            gone += 1
        real.held[page] = 1
        real.place[page] = real.counters[RESIDENTS]
        real.resident[real.counters[RESIDENTS]] = page
        real.counters[RESIDENTS] += 1
    return victims[:gone].copy()


@compiled
def _learn(
    learned: Learner, experts: Shadows, page: int, kind: int, share: int, misses: int, capacity: int
) -> None:
    label_samples(learned, page, share)
    learned.counters[NOW] += 1
    touch(learned.history, page, kind, learned.counters[NOW])
    if learned.counters[NOW] % ADJUST_EVERY == 0:
        adjust(learned, capacity, misses)
    if draw(learned.random, learned.counters[DRAW_EVERY]) > 0 or experts.gam.residents[0] == 0:
        return
    drawn = any_resident(experts.gam, learned.random)
    other = any_resident(experts.gam, learned.random)
    if draw(learned.random, 2) == 1 and learned.history.last[other] < learned.history.last[drawn]:
        drawn = other
    draw_sample(learned, drawn, share)


@compiled
def _step(
    experts: Shadows, learned: Learner, page: int, capacity: int, let_go: npt.NDArray[np.int64]
) -> None:
    let_go[0] = lru_access(experts.lru, page, capacity)
    let_go[1] = s3fifo_access(experts.s3fifo, page, capacity)
    let_go[2] = lirs_access(experts.lirs, page, capacity)
    let_go[3] = arc_access(experts.arc, page, capacity)
    let_go[GAM] = chooser_access(experts.gam, learned, page, capacity)
    let_go[GAM_OLDER] = chooser_access(experts.gam_older, learned, page, capacity)


@compiled
def _holds(experts: Shadows, expert: int, page: int) -> bool:
    if expert == 0:
        return bool(experts.lru.held[page])
    if expert == 1:
        return bool(experts.s3fifo.held[page])
    if expert == 2:
        return bool(experts.lirs.held[page])
    if expert == 3:
        return bool(experts.arc.held[page])
    if expert == GAM:
        return bool(experts.gam.held[page])
    return bool(experts.gam_older.held[page])


@compiled
def _watch(real: Memory, counted: Tally, missed: bool, lru_missed: bool, capacity: int) -> None:  # noqa: FBT001
    """Has the memory come to miss more than LRU?"""
    worn = 2.0 ** (-1.0 / (WATCH_CAPACITIES * capacity))
    counted.watched[0] = counted.watched[0] * worn + missed
    counted.watched[1] = counted.watched[1] * worn + lru_missed
    held = real.counters[HELD] > 0
    real.counters[HELD] = held_to_lru(counted.watched[0], counted.watched[1], capacity, held)


@compiled
def _follow(
    real: Memory,
    experts: Shadows,
    counted: Tally,
    let_go: npt.NDArray[np.int64],
    fade: float,
    advantage: float,
) -> None:
    """Count who missed, choose whom to follow, and keep the bag of what may go."""
    for expert in range(len(EXPERTS)):
        missed = let_go[expert] != HIT
        counted.misses[expert] += missed
        counted.faded[expert] = counted.faded[expert] * fade + missed
    present = real.counters[FOLLOWED]
    chosen = 0 if real.counters[HELD] else leader(counted.faded, present, advantage)
    counted.followed[chosen] += 1
    if chosen != present:
        real.counters[FOLLOWED] = chosen
        real.counters[CHANGES] += 1
        _doubt_all(real, experts, chosen)
    elif let_go[chosen] >= 0 and real.held[let_go[chosen]]:
        if real.counters[DOUBTFUL] == len(real.doubtful):
            _doubt_all(real, experts, chosen)
        else:
            real.doubtful[real.counters[DOUBTFUL]] = let_go[chosen]
            real.counters[DOUBTFUL] += 1


@compiled
def _doubt_all(real: Memory, experts: Shadows, expert: int) -> None:
    """Fill the bag anew: all residents that the expert does not hold."""
    doubtful = 0
    for at in range(real.counters[RESIDENTS]):
        if not _holds(experts, expert, real.resident[at]):
            real.doubtful[doubtful] = real.resident[at]
            doubtful += 1
    real.counters[DOUBTFUL] = doubtful


@compiled
def _evict(real: Memory, experts: Shadows, coming: int) -> int:
    victim = _doubtful(real, experts, coming)
    real.counters[RESIDENTS] -= 1
    last = real.resident[real.counters[RESIDENTS]]
    real.resident[real.place[victim]], real.place[last] = last, real.place[victim]
    real.held[victim] = 0
    return victim


@compiled
def _doubtful(real: Memory, experts: Shadows, coming: int) -> int:
    """A page of the bag that is still resident and still not held. There is one: both memories are full."""
    expert = real.counters[FOLLOWED]
    for _ in range(2):
        while real.counters[DOUBTFUL] > 0:
            drawn = draw(real.random, real.counters[DOUBTFUL])
            page = real.doubtful[drawn]
            real.counters[DOUBTFUL] -= 1
            real.doubtful[drawn] = real.doubtful[real.counters[DOUBTFUL]]
            if real.held[page] and page != coming and not _holds(experts, expert, page):
                return int(page)
        _doubt_all(real, experts, expert)
    return int(real.resident[draw(real.random, real.counters[RESIDENTS])])
