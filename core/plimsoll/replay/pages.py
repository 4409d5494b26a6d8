"""Replays page references through a replacement policy: victims and misses, exactly as the contract says.

In: a `PageTrace`, a policy's name, a fraction of the footprint. Out: a `PageReplay`. Demand paging: a
reference to a page that is not resident is a miss and loads it; with memory full the policy first names one
victim. Importing this module needs numba (extra `bench`); the node agent never does.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from plimsoll.pages.trace import PageTrace
from plimsoll.replay.page_kernels.alone import run_arc, run_clock, run_lirs, run_lru, run_s3fifo
from plimsoll.replay.page_kernels.arc import arc
from plimsoll.replay.page_kernels.belady import belady
from plimsoll.replay.page_kernels.follow import KEPT, NOT_RESIDENT, TOO_FEW, TOO_MANY, UNKNOWN, follow
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
    """What a policy did with a trace. `victims` uint32: the trace's own index, one a miss with memory full."""

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


def misses_of(trace: PageTrace, fraction: float, victims: npt.NDArray[np.uint32]) -> tuple[int, str | None]:
    """Follow victims that somebody named: misses up to the first broken rule, and that rule as a sentence."""
    rows = np.searchsorted(trace.pages, victims).astype(np.int64)
    found = np.minimum(rows, trace.footprint_pages - 1)
    known = np.where(trace.pages[found] == victims, found, -1) if len(victims) else rows
    misses, rule, at = follow(trace.rows, trace.footprint_pages, trace.capacity_pages(fraction), known)
    return misses, None if rule == KEPT else f"victim {at} {BROKEN[rule]}"


def _belady(trace: PageTrace, capacity: int) -> Outcome:
    return belady(trace.rows, trace.footprint_pages, capacity)


POLICIES: dict[str, Callable[[PageTrace, int], Outcome]] = {
    "lru": lambda trace, capacity: run_lru(lru(trace.footprint_pages), trace.rows, capacity),
    "clock": lambda trace, capacity: run_clock(lru(trace.footprint_pages), trace.rows, capacity),
    "s3fifo": lambda trace, capacity: run_s3fifo(s3fifo(trace.footprint_pages), trace.rows, capacity),
    "arc": lambda trace, capacity: run_arc(arc(trace.footprint_pages), trace.rows, capacity),
    "lirs": lambda trace, capacity: run_lirs(lirs(trace.footprint_pages), trace.rows, capacity),
    "belady": _belady,
}
