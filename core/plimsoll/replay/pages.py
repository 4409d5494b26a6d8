"""Replays page references through a replacement policy: victims and misses, exactly as the contract says.

In: a `PageTrace`, a policy's name, a fraction of the footprint. Out: a `PageReplay`. Demand paging: a
reference to a page that is not resident is a miss and loads it; with memory full the policy first names one
victim. Importing this module needs numba (extra `bench`); the node agent never does.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from plimsoll.pages.expert_guard import ADVANTAGE, HALF_LIFE_CAPACITIES
from plimsoll.pages.trace import PageTrace
from plimsoll.replay.page_kernels.alone import run_arc, run_clock, run_lirs, run_lru, run_s3fifo
from plimsoll.replay.page_kernels.arc import arc
from plimsoll.replay.page_kernels.belady import belady
from plimsoll.replay.page_kernels.follow import KEPT, NOT_RESIDENT, TOO_FEW, TOO_MANY, UNKNOWN, follow
from plimsoll.replay.page_kernels.guarded import CHANGES, EXPERTS, guarded_run, memory, shadows, tally
from plimsoll.replay.page_kernels.learner import AGE_LOSS, LOSS, SAMPLED, learner
from plimsoll.replay.page_kernels.lirs import lirs
from plimsoll.replay.page_kernels.lru import lru
from plimsoll.replay.page_kernels.s3fifo import s3fifo

Outcome = tuple[npt.NDArray[np.int32], int]  # victims as rows of `PageTrace.pages`, misses
BROKEN = {
    TOO_FEW: "the victims end there, with memory full",
    UNKNOWN: "names a page that the trace does not have",
    NOT_RESIDENT: "names a page that is not resident",
    TOO_MANY: "and what follows are more than there are misses with memory full",
}


@dataclass(frozen=True, slots=True)
class PageReplay:
    """What a policy did. `victims` uint32: the trace's own page index, one for each miss with memory full."""

    policy: str
    capacity_pages: int
    victims: npt.NDArray[np.uint32]
    misses: int


def replay_pages(trace: PageTrace, policy: str, fraction: float) -> PageReplay:
    """Run one policy at one capacity. Raises ValueError for a policy that does not exist."""
    if policy not in POLICIES:
        raise ValueError(f"no policy {policy!r}; there are {', '.join(POLICIES)}")
    capacity = trace.capacity_pages(fraction)
    victims, misses = POLICIES[policy](trace, capacity)
    return PageReplay(policy, capacity, trace.pages[victims], misses)


@dataclass(frozen=True, slots=True)
class GuardedReplay:
    """The guarded mixture's run, and its shadows': misses, and the share of references each was followed for.

    `loss` and `age_loss` float64[10]: mean squared error of log2 of the reuse time before learning it, for
    each tenth of the trace, of the predictor and of a table of ages alone; NaN where nothing was learned.
    """

    victims: npt.NDArray[np.int32]
    misses: int
    expert_misses: dict[str, int]
    followed: dict[str, float]
    changes: int
    loss: npt.NDArray[np.float64]
    age_loss: npt.NDArray[np.float64]


def replay_guarded(trace: PageTrace, capacity: int, *, int8: bool = False) -> GuardedReplay:
    """Run the guarded mixture, all shadows included; with `int8` the predictor speaks from int8 tables."""
    pages = trace.footprint_pages
    learned = learner(trace.pages, capacity, int8=int8)
    real, counted = memory(pages, capacity), tally()
    fade = 2.0 ** (-1.0 / (HALF_LIFE_CAPACITIES * capacity))
    victims = guarded_run(
        trace.rows,
        trace.kind,
        capacity,
        learned,
        shadows(pages, capacity),
        real,
        counted,
        fade,
        ADVANTAGE,
    )
    with np.errstate(invalid="ignore"):
        losses = learned.loss / learned.loss[:, [SAMPLED]]
    return GuardedReplay(
        victims,
        int(counted.misses[-1]),
        dict(zip(EXPERTS, counted.misses.tolist(), strict=False)),
        dict(zip(EXPERTS, (counted.followed / max(1, len(trace))).tolist(), strict=True)),
        int(real.counters[CHANGES]),
        losses[:, LOSS],
        losses[:, AGE_LOSS],
    )


def misses_of(trace: PageTrace, fraction: float, victims: npt.NDArray[np.uint32]) -> tuple[int, str | None]:
    """Follow victims that somebody named: misses up to the first broken rule, and that rule as a sentence."""
    rows = np.searchsorted(trace.pages, victims).astype(np.int64)
    found = np.minimum(rows, trace.footprint_pages - 1)
    known = np.where(trace.pages[found] == victims, found, -1) if len(victims) else rows
    misses, rule, at = follow(trace.rows, trace.footprint_pages, trace.capacity_pages(fraction), known)
    return misses, None if rule == KEPT else f"victim {at} {BROKEN[rule]}"


def _plimsoll(trace: PageTrace, capacity: int) -> Outcome:
    done = replay_guarded(trace, capacity)
    return done.victims, done.misses


def _belady(trace: PageTrace, capacity: int) -> Outcome:
    return belady(trace.rows, trace.footprint_pages, capacity)


POLICIES: dict[str, Callable[[PageTrace, int], Outcome]] = {
    "plimsoll": _plimsoll,
    "lru": lambda trace, capacity: run_lru(lru(trace.footprint_pages), trace.rows, capacity),
    "clock": lambda trace, capacity: run_clock(lru(trace.footprint_pages), trace.rows, capacity),
    "s3fifo": lambda trace, capacity: run_s3fifo(s3fifo(trace.footprint_pages), trace.rows, capacity),
    "arc": lambda trace, capacity: run_arc(arc(trace.footprint_pages), trace.rows, capacity),
    "lirs": lambda trace, capacity: run_lirs(lirs(trace.footprint_pages), trace.rows, capacity),
    "belady": _belady,
}
