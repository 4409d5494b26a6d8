"""Looks at containers' memory by address, in turn, and keeps an `AddressPlan` for each.

In: the containers that are wanted, the time, kdamonds of our own. Out: plans that have seen another epoch.
DAMON is taken when the first container wants it, and given back when none does; where somebody else has it
(kdamonds, DAMON_STAT: EBUSY) it is left alone and asked for again minutes later, `absence` says so, and what
takes its place (`instead`: idle bits) looks meanwhile, if there is any. Each
look costs processor time of the agent: the next begins only when that has become a small share of the time
since. A process that ended, moved away or cannot be read is not in the look; a look without any is none. What
goes wrong in one container's look is that one's (`failures`).
"""

import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from plimsoll.pages.address_plan import AddressPlan, Asked, Process, SeenProcess
from plimsoll.pages.blocks import Spans
from plimsoll_nodeagent.act.container import member
from plimsoll_nodeagent.act.damon import DamonSlots
from plimsoll_nodeagent.act.watching import Intervals
from plimsoll_nodeagent.discover.tracker import Container, ContainerId
from plimsoll_nodeagent.kernelfs import Absence, Answer, KernelFs, KernelProcess, Mode
from plimsoll_nodeagent.kernelfs.process import PAGE_BYTES
from plimsoll_nodeagent.sample.damon import Regions
from plimsoll_nodeagent.sample.damon_rota import DamonRota, Look
from plimsoll_nodeagent.sample.pagemap import PRESENT
from plimsoll_nodeagent.sample.processes import read_mappings

SLOTS = 2  # kernel threads; each watches one container at a time
LOOK_SECONDS = 10.0
# Two hundred regions sampled fifty times a second: some ten thousand page table entries a second and thread.
INTERVALS = Intervals(20_000, 400_000, 4_000_000, 10, 200)
COST_RATIO = 0.002  # of one processor: what looks may cost the agent itself
FIRST_RETRY_SECONDS, LONGEST_RETRY_SECONDS = 60.0, 960.0
LEAST_RUN_RATIO = 0.7  # of a look: a kernel thread that ran for less is not believed to have
CHUNK_PAGES = 8192  # of pagemap read at once: 64 KiB
CORE_PAGE_BYTES = 4096  # what the core counts in


@dataclass(frozen=True, slots=True)
class Wanted:
    """A container to be watched, and the plan that its looks go to."""

    container: Container
    plan: AddressPlan


class Looks(Protocol):
    """Looks by another means than DAMON."""

    @property
    def absence(self) -> str:
        """Why it does not work here; empty where it does."""

    @property
    def looks_total(self) -> int:
        """Looks that were whole."""

    def step(self, now_seconds: float, wanted: Mapping[ContainerId, Wanted], policy: str) -> None:
        """As `AddressLooks.step`."""

    def rest(self) -> None:
        """Give up what is under way."""

    def spoil(self, keys: frozenset[ContainerId]) -> None:
        """As `AddressLooks.spoil`."""


@dataclass
class AddressLooks:
    """Watches some containers in turn; call `step` about once a second."""

    fs: KernelFs
    slots: DamonSlots
    instead: Looks | None = None
    """Looks while DAMON is not to be had; None: nothing else can."""
    most_slots: int = SLOTS
    cpu: Callable[[], float] = time.thread_time
    cost_ratio: float = COST_RATIO
    absence: str = "no container wants it yet"
    """Why nothing is watched by address now; empty where something is."""
    was_refused: bool = False
    """Whether `absence` is that others have DAMON, and not that nobody wants it."""
    looks_total: int = 0
    failures: dict[ContainerId, Exception] = field(default_factory=dict)
    """Whose look went wrong in the newest `step`: its plan is half done, the others' are whole."""
    cost_seconds: float = 0.0
    rota: DamonRota = field(init=False)
    _rests_until: float = float("-inf")
    _retry_at: float = float("-inf")
    _retry_seconds: float = FIRST_RETRY_SECONDS
    _now_seconds: float = float("-inf")

    def __post_init__(self) -> None:
        self.rota = DamonRota(self.fs, self.slots, LOOK_SECONDS, INTERVALS)

    def step(self, now_seconds: float, wanted: Mapping[ContainerId, Wanted], policy: str) -> None:
        """End looks that are over and begin others; `policy` says whose order plans follow."""
        if now_seconds < self._now_seconds:  # the clock went back: nothing waits for its return
            self._rests_until = self._retry_at = now_seconds
        self._now_seconds = now_seconds
        self.failures = {}
        if not wanted or self.fs.mode is not Mode.ACT:
            self._leave("no container wants it" if not wanted else "the agent does not act")
            if self.instead is not None:
                self.instead.rest()
            return
        if now_seconds < max(self._rests_until, self._retry_at) or not self._take(now_seconds):
            if self.instead is not None and self.was_refused:
                self.instead.step(now_seconds, wanted, policy)
            return
        began = self.cpu()
        failed_before = self.rota.failures[Answer.BUSY]
        for look in self.rota.step(now_seconds, [each.container for each in wanted.values()]):
            key = look.container.key
            try:
                self._observe(look, wanted[key].plan, now_seconds, policy)
            except Exception as error:  # noqa: BLE001 -- one container's: its plan is forgotten
                self.failures[key] = error
        cost = max(0.0, self.cpu() - began)
        self.cost_seconds += cost
        self._rests_until = (
            now_seconds + cost / self.cost_ratio - 1.0
        )  # the second until the next step counts
        if not self.slots.slots:
            self._lose(now_seconds, "somebody has taken the kdamonds away")
        elif self.rota.failures[Answer.BUSY] > failed_before and not self.rota.watches:
            self._lose(now_seconds, "another monitor (DAMON_STAT?) holds DAMON")

    @property
    def all_looks_total(self) -> int:
        """By DAMON, and by what took its place."""
        return self.looks_total + (0 if self.instead is None else self.instead.looks_total)

    @property
    def refusals(self) -> tuple[str, ...]:
        """Why DAMON, and then what takes its place, is not to be had now; as many as do not work."""
        if not self.absence or not self.was_refused:
            return ()
        if self.instead is None or not self.instead.absence:
            return (self.absence,)
        return (self.absence, self.instead.absence)

    def spoil(self, keys: frozenset[ContainerId]) -> None:
        """Somebody took the accessed bits of these containers: what hangs on them begins anew."""
        if self.instead is not None:
            self.instead.spoil(keys)

    def close(self) -> None:
        """Give DAMON back."""
        self._leave("the agent ends")

    def _take(self, now_seconds: float) -> bool:
        """Have kdamonds of our own."""
        if self.slots.slots:
            return True
        answer = self.slots.take(self.most_slots)
        if answer is Answer.DONE:
            self.absence, self.was_refused = "", False
            if self.instead is not None:
                self.instead.rest()
            return True
        why = "somebody else has kdamonds" if answer is Answer.BUSY else f"DAMON is {answer.value}"
        self._lose(now_seconds, why)
        return False

    def _lose(self, now_seconds: float, why: str) -> None:
        """Ask again later, each time twice as late."""
        self._leave(why)
        self.was_refused = True
        self._retry_at = now_seconds + self._retry_seconds
        self._retry_seconds = min(2.0 * self._retry_seconds, LONGEST_RETRY_SECONDS)

    def _leave(self, why: str) -> None:
        self.absence = why
        self.rota.stop()
        if self.slots.slots:
            self.slots.close()

    def _observe(self, look: Look, plan: AddressPlan, now_seconds: float, policy: str) -> None:
        with ExitStack() as stack:
            processes: dict[Process, KernelProcess] = {}
            seen = []
            for regions in look.regions:
                process = stack.enter_context(member(self.fs, look.container, regions.pid or 0))
                if isinstance(process, Answer):
                    continue
                found = _seen(process, regions, look.watched_seconds)
                if found is not None:
                    processes[found.process] = process
                    seen.append(found)
            asked = plan.see(seen, now_seconds)
            plan.conclude([present_pages(processes[each.process], each) for each in asked], policy)
        if seen:
            self.looks_total += 1
            self._retry_seconds = FIRST_RETRY_SECONDS


def _seen(process: KernelProcess, regions: Regions, watched_seconds: float) -> SeenProcess | None:
    """One process as the core takes it; None where its mappings cannot be read."""
    mappings = read_mappings(process)
    if isinstance(mappings, Absence):
        return None
    accessed = (regions.accesses > 0) | (regions.idle_seconds < _monitored(regions, watched_seconds))
    return SeenProcess(
        (process.pid, process.started_ticks),
        Spans(mappings.starts, mappings.ends),
        Spans(regions.starts, regions.ends),
        Spans(regions.starts[accessed], regions.ends[accessed]),
    )


def _monitored(regions: Regions, watched_seconds: float) -> float:
    """An idle region younger than this was accessed while it was watched: its age began in the look.

    The kernel thread starts late and may run slowly; whatever it never saw accessed is as old as it has run.
    """
    oldest = float(regions.idle_seconds.max(initial=0.0))
    ran = min(watched_seconds, max(oldest, LEAST_RUN_RATIO * watched_seconds))
    return ran - 2.0 * INTERVALS.aggregate_us / 1e6


def present_pages(process: KernelProcess, asked: Asked) -> NDArray[np.int64] | None:
    """Pages (of 4 KiB) present in each block that is asked for; None where pagemap cannot be read."""
    found = []
    each_pages = asked.block_bytes // PAGE_BYTES
    chunk = max(1, CHUNK_PAGES // each_pages)
    for start, length in asked.ranges.tolist():
        for first in range(0, length // asked.block_bytes, chunk):
            blocks = min(chunk, length // asked.block_bytes - first)
            words = process.pagemap(start + first * asked.block_bytes, blocks * each_pages)
            if isinstance(words, Absence):
                return None
            there = np.zeros(blocks * each_pages, np.bool_)
            there[: len(words)] = (words & PRESENT) > 0
            found.append(there.reshape(blocks, each_pages).sum(axis=1))
    counts: NDArray[np.int64] = np.concatenate(found).astype(np.int64)
    return counts * (PAGE_BYTES // CORE_PAGE_BYTES)
