"""Which memory of a container should move to which NUMA node.

In: where a container's memory is, where its CPU time was spent and for how long that has been so, what NUMA
nodes have free. Out: a plan: moves in bytes with what they gain and cost, or why nothing moves. Memory goes
where the CPUs are that use it; a container whose CPUs span NUMA nodes is interleaved in their proportion. A
move must earn twice its cost while the CPUs stay where they are, and they are taken to stay as long as they
have stayed. What is under way is finished: of its cost it is asked again only where much is left (decision
0356). What the kubelet's static managers have bound is never touched.

A move is on trial: where the container's stalls grow after it, it is taken back, and none is made for a while
that doubles each time (`NumaTrials`). Stalls are PSI's, of reclaim, refaults and swap: a NUMA node that is
too full shows in them. Loads that take longer do not, so lost bandwidth is not seen (decision 0270).

Source: REMOTE_COST is what was published of Redis in production at Alibaba (26 % more throughput with all
memory local than with all of it remote, 10.5 % more than with memory anywhere); expecting a state to last as
long as it has lasted is the median of a scale-free prior (Gott, Nature 363, 1993).
"""

from dataclasses import dataclass, field
from enum import StrEnum

import numpy as np
import numpy.typing as npt

from plimsoll.pages.pauses import DoublingPauses
from plimsoll.placement.lanes import FloatArray

PAGE_BYTES = 4096
REMOTE_COST = 0.26  # of time, where all accesses are remote instead of local
PAGE_MOVE_SECONDS = 10e-6  # assumed, on the high side, until the machine's own moves have told (`PageCost`)
ASSUMED_PAGES = 16_384  # moves that the assumption is worth
MOST_PAGES_KEPT = 1 << 20  # that are remembered: machines change what they do beside
WORTH = 2.0  # times its cost that a move must gain
COMMITTED_BYTES = 256 << 20  # of what is under way so much is finished whatever a page turns out to cost
LEAST_SHARE = 0.05  # a smaller gain of local share is not worth a look
SPANS_BELOW = 0.7  # of CPU time on one NUMA node: below, a container spans several
RESERVE = 0.05  # of a NUMA node's memory that a move leaves free
MOST_STEADY_SECONDS = 86_400.0
TRIAL_SECONDS = 60.0
WORSE_STALL = 1.25  # times the stall before, and more than `STALL_NOISE`
STALL_NOISE = 0.01  # share of time
FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 600.0, 86_400.0


class Standing(StrEnum):
    """What is to be done."""

    STAY = "stay"
    MOVE = "move"
    INTERLEAVE = "interleave"


@dataclass(frozen=True, slots=True)
class NumaMachine:
    """M NUMA nodes."""

    total_bytes: FloatArray  # [M]
    available_bytes: FloatArray  # [M] free, or page cache that the kernel drops first


@dataclass(frozen=True, slots=True)
class NumaContainer:
    """One container on them."""

    bytes_on: FloatArray  # [M] resident
    cpu_seconds_on: FloatArray  # [M] CPU time it spent on each NUMA node's CPUs in the last window
    cpu_cores: float  # mean of that window
    steady_seconds: float  # since its CPUs moved
    bound: bool  # by somebody else: the kubelet's static managers, or its own cpuset
    file_bytes_on: FloatArray | None = None  # [M] page cache among it; None: there is none


@dataclass(slots=True)
class PageCost:
    """What moving a page takes here, measured by the moves that were made."""

    _seconds: float = 0.0
    _pages: float = 0.0

    def took(self, seconds: float, pages: int) -> None:
        """So many pages were asked to move, and it took so long."""
        if pages <= 0 or not 0 <= seconds < float("inf"):
            return
        self._seconds += seconds
        self._pages += pages
        if self._pages > MOST_PAGES_KEPT:
            self._seconds, self._pages = self._seconds / 2, self._pages / 2

    @property
    def page_seconds(self) -> float:
        """Seconds a page, pulled towards what was assumed as long as few were moved."""
        known = self._seconds + ASSUMED_PAGES * PAGE_MOVE_SECONDS
        return known / (self._pages + ASSUMED_PAGES)


@dataclass(frozen=True, slots=True)
class NumaMove:
    """Memory that should move."""

    from_numa_node: int
    to_numa_node: int
    size_bytes: float


@dataclass(frozen=True, slots=True)
class NumaPlan:
    """What should move, what it gains, and why."""

    standing: Standing
    moves: tuple[NumaMove, ...]
    local_before: float  # share of accesses that are local, as far as all memory is used alike
    local_after: float
    gain_seconds: float  # of CPU time, while the CPUs stay
    cost_seconds: float
    why: str

    def ways(self) -> frozenset[tuple[int, int]]:
        """From where to where."""
        return ways_of(self.moves)


def ways_of(moves: tuple[NumaMove, ...]) -> frozenset[tuple[int, int]]:
    """From where to where moves go."""
    return frozenset((each.from_numa_node, each.to_numa_node) for each in moves)


def plan_numa(
    machine: NumaMachine,
    container: NumaContainer,
    page_seconds: float = PAGE_MOVE_SECONDS,
    *,
    under_way: bool = False,
) -> NumaPlan:
    """Plan one container; `page_seconds`: CPU time that moving a page takes; `under_way`: what was begun goes
    on. Arrays must be of one length, else ValueError.
    """
    if not machine.total_bytes.shape == machine.available_bytes.shape == container.bytes_on.shape:
        raise ValueError("the machine and the container must have the same NUMA nodes")
    used, spent = container.bytes_on.sum(), container.cpu_seconds_on.sum()
    if container.bound:
        return _stay(container, "its NUMA nodes are bound by the kubelet or by itself")
    if not (used > 0 and spent > 0 and np.isfinite(used + spent)):
        return _stay(container, "it holds nothing, or has not run")
    share = container.cpu_seconds_on / spent
    spans = bool(share.max() < SPANS_BELOW)
    target = _reachable(machine, container, _wanted(share, used, spans))
    before, after = local_share(container.bytes_on, share), local_share(target, share)
    moves = _moves(container.bytes_on, target)
    moved = sum(each.size_bytes for each in moves)
    gain = container.cpu_cores * REMOTE_COST * (after - before)
    lasting = gain * min(container.steady_seconds, MOST_STEADY_SECONDS)
    cost = moved / PAGE_BYTES * page_seconds
    standing = Standing.INTERLEAVE if spans else Standing.MOVE
    plan = NumaPlan(standing, moves, before, after, lasting, cost, "")
    if under_way and after > before and (moved <= COMMITTED_BYTES or lasting >= cost):
        return plan  # a cost that is known better by now is for the next decision
    if after - before < LEAST_SHARE:
        return _stay(container, f"{after - before:.0%} more of its accesses would be local")
    if lasting < WORTH * cost:
        return _stay(container, f"moving costs {cost:.2f} s of CPU time and would gain {lasting:.2f} s")
    return plan


def local_share(bytes_on: FloatArray, cpu_share: FloatArray) -> float:
    """Share of accesses that are local where all memory is used alike by all threads."""
    total = float(bytes_on.sum())
    return float((bytes_on * cpu_share).sum() / total) if total > 0 else 1.0


def remote_share_on(bytes_on: FloatArray, cpu_seconds_on: FloatArray) -> FloatArray:
    """[M] of the accesses to each NUMA node's memory, the share from other ones' CPUs; NaN: none is known.

    Over containers [K, M], each weighed by what it has there. One that did not run accesses nothing.
    """
    spent = cpu_seconds_on.sum(axis=1, keepdims=True)
    runs = spent[:, 0] > 0
    held, share = bytes_on[runs], cpu_seconds_on[runs] / spent[runs]
    total = held.sum(axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        found: FloatArray = np.where(total > 0, (held * (1.0 - share)).sum(axis=0) / total, np.nan)
    return found


def _stay(container: NumaContainer, why: str) -> NumaPlan:
    spent = container.cpu_seconds_on.sum()
    share = container.cpu_seconds_on / spent if spent > 0 else np.zeros_like(container.cpu_seconds_on)
    local = local_share(container.bytes_on, share)
    return NumaPlan(Standing.STAY, (), local, local, 0.0, 0.0, why)


def _wanted(share: FloatArray, used_bytes: float, spans: bool) -> FloatArray:  # noqa: FBT001
    """[M] bytes on each NUMA node if there were room everywhere."""
    if spans:
        return np.asarray(used_bytes * share)
    return np.where(np.arange(len(share)) == int(share.argmax()), used_bytes, 0.0)


def _reachable(machine: NumaMachine, container: NumaContainer, wanted: FloatArray) -> FloatArray:
    """What of it there is room for; the rest stays where it is."""
    room = np.maximum(machine.available_bytes - RESERVE * machine.total_bytes, 0.0)
    target = container.bytes_on.astype(np.float64).copy()
    lacking = np.minimum(np.maximum(wanted - target, 0.0), room)
    spare = np.maximum(target - wanted, 0.0)
    if spare.sum() <= 0 or lacking.sum() <= 0:
        return target
    size = min(lacking.sum(), spare.sum())
    return np.asarray(target + lacking * size / lacking.sum() - spare * size / spare.sum())


def _moves(now: FloatArray, target: FloatArray) -> tuple[NumaMove, ...]:
    """From where there is too much to where there is too little, the largest first; whole pages."""
    change = target - now
    found = []
    for to in np.argsort(-change).tolist():
        for source in np.argsort(change).tolist():
            size = min(change[to], -change[source]) // PAGE_BYTES * PAGE_BYTES
            if size > 0:
                found.append(NumaMove(source, to, float(size)))
                change[to] -= size
                change[source] += size
    return tuple(found)


@dataclass(slots=True)
class _Trial:
    stall_before: float
    since_seconds: float
    bytes_before: FloatArray


@dataclass(slots=True)
class NumaTrials:
    """Moves on trial, by container: taken back where stalls grow, and then left alone for a while."""

    _trials: dict[str, _Trial] = field(default_factory=dict)
    _pauses: DoublingPauses = field(
        default_factory=lambda: DoublingPauses(FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS)
    )

    def may_move(self, container_id: str, now_seconds: float) -> bool:
        """True where nothing is on trial and no pause lasts."""
        return container_id not in self._trials and not self._pauses.last(container_id, now_seconds)

    def moved(
        self, container_id: str, bytes_before: npt.ArrayLike, stall_share: float, now_seconds: float
    ) -> None:
        """A move was made; `stall_share`: share of time it stalled for memory before."""
        before = np.asarray(bytes_before, dtype=np.float64)
        self._trials[container_id] = _Trial(stall_share, now_seconds, before)

    def judge(
        self, container_id: str, bytes_on: FloatArray, stall_share: float, now_seconds: float
    ) -> tuple[NumaMove, ...]:
        """Moves that take a trial back, once its time is over and it was for the worse; else none."""
        trial = self._trials.get(container_id)
        if trial is None or now_seconds - trial.since_seconds < TRIAL_SECONDS:
            return ()
        del self._trials[container_id]
        bearable = max(trial.stall_before * WORSE_STALL, trial.stall_before + STALL_NOISE)
        if stall_share <= bearable:
            self._pauses.forgive(container_id)
            return ()
        self._pauses.begin(container_id, now_seconds)
        total = trial.bytes_before.sum()
        share = trial.bytes_before / total if total > 0 else trial.bytes_before
        return _moves(bytes_on, share * bytes_on.sum())

    def forget(self, present: frozenset[str]) -> None:
        """Forget containers that are gone."""
        for container_id in self._trials.keys() - present:
            del self._trials[container_id]
        self._pauses.forget(present)
