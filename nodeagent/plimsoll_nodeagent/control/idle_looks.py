"""Looks at containers' memory by idle bits: what takes DAMON's place where that is not to be had.

In: the containers that are wanted, the time. Out: plans that have seen another epoch. One container at a
time, whoever was looked at longest ago: pages are marked idle, and asked ten seconds later whether they still
are; reads and writes both count, by way of page tables: what system calls alone read or write is not seen.
What it may cost is bounded three times: in pages a step, in pages a look (of a larger container a few pages
in a row speak for each block, at another place each time), and in processor time of the agent, which has the
kernel's work for it in it: the next look begins when the last has become a small share of the time since.
Nothing is marked by an agent that does not act.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field

import numpy as np

from plimsoll.pages.address_plan import Process, SeenProcess
from plimsoll.pages.blocks import Spans, block_bytes_for, windows_of
from plimsoll_nodeagent.act.container import member
from plimsoll_nodeagent.control.by_address import COST_RATIO, Wanted, present_pages
from plimsoll_nodeagent.discover.pids import largest_processes
from plimsoll_nodeagent.discover.tracker import Container, ContainerId
from plimsoll_nodeagent.kernelfs import Absence, Answer, KernelFs, KernelProcess, Mode
from plimsoll_nodeagent.kernelfs.process import PAGE_BYTES
from plimsoll_nodeagent.sample.idle_stretch import Addresses, Stretch
from plimsoll_nodeagent.sample.processes import read_mappings

LOOK_SECONDS = 10.0  # from marking a page to asking for it: an epoch, as long as DAMON's
PAGES_PER_STEP = 16_384  # 64 MiB: the kernel walks whoever maps them, once to mark and once to ask
MOST_PAGES = 32_768  # of one look
LEAST_PAGES_PER_BLOCK = 4  # however large a container is
MOST_PIDS = 8
RETRY_SECONDS = 600.0  # after a refusal
_REFUSALS = (Answer.DENIED, Answer.UNSUPPORTED, Answer.GONE, Answer.FAILED)
_DRAWS = 997  # places of windows drawn for a look, used over and over


@dataclass(slots=True)
class _Turn:
    container: Container
    mapped: dict[Process, Spans]
    stretches: list[Stretch]
    cost_seconds: float = 0.0
    marked_seconds: list[float] = field(default_factory=list)
    """When each stretch was marked, as far as they are."""
    touched: dict[Process, list[Addresses]] = field(default_factory=dict)
    asked: int = 0
    lost: set[Process] = field(default_factory=set)
    """Processes that ended, or could not be asked: they are not in the look."""


@dataclass
class IdleLooks:
    """Call `step` about once a second."""

    fs: KernelFs
    cpu: Callable[[], float] = time.thread_time
    cost_ratio: float = COST_RATIO
    absence: str = ""
    """Why it does not work here any more; empty where it does."""
    looks_total: int = 0
    cost_seconds: float = 0.0
    marked_pages_total: int = 0
    _turn: _Turn | None = None
    _seen_seconds: dict[ContainerId, float] = field(default_factory=dict)
    _rests_until: float = float("-inf")
    _now_seconds: float = float("-inf")
    _draws: np.random.Generator = field(default_factory=lambda: np.random.default_rng(0))

    def step(self, now_seconds: float, wanted: Mapping[ContainerId, Wanted], policy: str) -> None:
        """Go on with a look, or begin one; `policy` says whose order plans follow."""
        if now_seconds < self._now_seconds:  # the clock went back: what is under way has no length
            self.rest()
            self._rests_until = now_seconds
        self._now_seconds = now_seconds
        self._seen_seconds = {key: each for key, each in self._seen_seconds.items() if key in wanted}
        if self._turn is not None and self._turn.container.key not in wanted:
            self.rest()
        if not wanted or self.fs.mode is not Mode.ACT or now_seconds < self._rests_until:
            return
        began = self.cpu()
        turn = self._turn = self._turn or self._begin(wanted, now_seconds)
        if turn is not None and self._go_on(turn, now_seconds):
            self._conclude(turn, wanted[turn.container.key], now_seconds, policy)
        self._pay(turn, max(0.0, self.cpu() - began), now_seconds)

    def rest(self) -> None:
        """Give up the look under way; marks need no undoing."""
        self._turn = None

    def spoil(self, keys: frozenset[ContainerId]) -> None:
        """Give up a look at one of these: a new generation took what says that a page was touched."""
        if self._turn is not None and self._turn.container.key in keys:
            self.rest()

    def _pay(self, turn: _Turn | None, cost_seconds: float, now_seconds: float) -> None:
        """Between two looks it rests until they cost little; within one there is no waiting."""
        self.cost_seconds += cost_seconds
        if turn is not None:
            turn.cost_seconds += cost_seconds
        if self._turn is None:
            cost = cost_seconds if turn is None else turn.cost_seconds
            self._rests_until = max(self._rests_until, now_seconds + cost / self.cost_ratio)

    def _begin(self, wanted: Mapping[ContainerId, Wanted], now_seconds: float) -> _Turn | None:
        """The container that was looked at longest ago; None where it has nothing to look at."""
        never = float("-inf")
        key = min(wanted, key=lambda each: (self._seen_seconds.get(each, never), each))
        self._seen_seconds[key] = now_seconds
        each, mapped = wanted[key], {}
        for pid, started_ticks in largest_processes(self.fs, each.container, MOST_PIDS).items():
            with member(self.fs, each.container, pid) as process:
                found = Absence.GONE if isinstance(process, Answer) else read_mappings(process)
            if not isinstance(found, Absence):
                mapped[pid, started_ticks] = Spans(found.starts, found.ends)
        total = sum(spans.total_bytes for spans in mapped.values())
        if not total:
            return None
        block_bytes = each.plan.block_bytes or block_bytes_for(total, each.plan.aimed_blocks)
        pages = max(LEAST_PAGES_PER_BLOCK, MOST_PAGES * block_bytes // max(total, block_bytes))
        stretches = [
            stretch
            for process_id, spans in mapped.items()
            for stretch in self._stretches(process_id, spans, block_bytes, pages)
        ]
        return _Turn(each.container, mapped, stretches)

    def _stretches(self, process: Process, spans: Spans, block_bytes: int, pages: int) -> list[Stretch]:
        found = windows_of(spans, block_bytes, pages, self._draws.random(_DRAWS), PAGE_BYTES)
        steps = np.cumsum(found.ranges[:, 1]) // (PAGES_PER_STEP * PAGE_BYTES)
        cuts = np.flatnonzero(np.diff(steps)) + 1
        ranges, wholes = (np.split(each.astype(np.uint64), cuts) for each in (found.ranges, found.wholes))
        return [Stretch(process, *pair) for pair in zip(ranges, wholes, strict=True)]

    def _go_on(self, turn: _Turn, now_seconds: float) -> bool:
        """Mark the next stretch and ask the one whose time has come; whether the look is over."""
        done = len(turn.marked_seconds)
        if done < len(turn.stretches):
            self._mark(turn, turn.stretches[done])
            turn.marked_seconds.append(now_seconds)
            if self._turn is None:  # refused
                return False
        if turn.asked < done and now_seconds - turn.marked_seconds[turn.asked] >= LOOK_SECONDS:
            self._ask(turn, turn.stretches[turn.asked])
            turn.asked += 1
        return turn.asked == len(turn.stretches)

    def _mark(self, turn: _Turn, stretch: Stretch) -> None:
        with _opened(self.fs, turn, stretch.process) as process:
            if process is None:
                return
            how = stretch.mark(self.fs, process)
        if isinstance(how, Absence):
            turn.lost.add(stretch.process)
        elif how in _REFUSALS:
            self.absence = f"idle bits are {how.value}"
            self._rests_until = self._now_seconds + RETRY_SECONDS
            self.rest()
        else:
            self.absence = ""
            self.marked_pages_total += stretch.pages

    def _ask(self, turn: _Turn, stretch: Stretch) -> None:
        with _opened(self.fs, turn, stretch.process) as process:
            if process is None:
                return
            found = stretch.ask(self.fs, process)
        if isinstance(found, Absence):
            turn.lost.add(stretch.process)
        else:
            turn.touched.setdefault(stretch.process, []).append(found)

    def _conclude(self, turn: _Turn, wanted: Wanted, now_seconds: float, policy: str) -> None:
        self._turn = None
        with ExitStack() as stack:
            processes: dict[Process, KernelProcess] = {}
            seen = []
            for each, before in turn.mapped.items():
                process = stack.enter_context(_opened(self.fs, turn, each))
                found = Absence.GONE if process is None else read_mappings(process)
                if process is None or isinstance(found, Absence):
                    continue
                touched = np.sort(np.concatenate([*turn.touched.get(each, []), np.zeros(0, np.uint64)]))
                accessed = Spans(touched, touched + np.uint64(PAGE_BYTES))
                processes[each] = process
                seen.append(SeenProcess(each, Spans(found.starts, found.ends), before, accessed))
            asked = wanted.plan.see(seen, now_seconds)
            wanted.plan.conclude([present_pages(processes[each.process], each) for each in asked], policy)
        self.looks_total += bool(seen)


@contextmanager
def _opened(fs: KernelFs, turn: _Turn, of: Process) -> Iterator[KernelProcess | None]:
    """The process, as long as it is the container's and the one that was meant; None from then on."""
    with member(fs, turn.container, of[0]) as process:
        if isinstance(process, Answer) or process.started_ticks != of[1]:
            turn.lost.add(of)
        yield None if of in turn.lost or isinstance(process, Answer) else process
