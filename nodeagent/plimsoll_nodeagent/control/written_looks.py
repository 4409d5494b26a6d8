"""Looks at what containers write to, by soft-dirty bits: where neither addresses nor idle ages are told.

In: the containers that are reclaimed, the time. Out: what was surely written within the last minutes. These
bits do not see reads: memory that is not written may be read all the time, so nothing is ever taken because
of them, anonymous or not. They only say what must stay (`plimsoll.pages.written_blocks`), and the rest is up
to refaults (`refault_set`). To clear the bits costs the program a fault for each page that it writes to
afterwards: so one container at a time is looked at, no process that is too large, and the larger a container
the less often. Whoever else uses these bits of a process (CRIU) would lose what they tell.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np

from plimsoll.pages.blocks import LEAST_BLOCK_BYTES, PROCESS_STEP, Keys
from plimsoll.pages.written_blocks import WrittenBlocks
from plimsoll_nodeagent.act.container import member
from plimsoll_nodeagent.control.controlled import Controlled
from plimsoll_nodeagent.discover.pids import largest_processes, resident_pages
from plimsoll_nodeagent.discover.tracker import ContainerId
from plimsoll_nodeagent.kernelfs import Absence, Answer, KernelFs, KernelProcess, Mode
from plimsoll_nodeagent.sample.pagemap import written_pages
from plimsoll_nodeagent.sample.processes import read_mappings

OFTEN_SECONDS = 60.0
PAGES_PER_SECOND = 2048  # of a container, at most: each may cost it a fault; 1 GiB is asked every two minutes
MOST_PAGES = 1 << 19  # of a process: a larger one would be asked so seldom that the answer is worth nothing
MOST_PIDS = 8
MOST_MAPPINGS = 256  # of a process, the largest: a call each


@dataclass(slots=True)
class _Known:
    """What is remembered of a container between two looks."""

    due_seconds: float = float("-inf")
    cleared: frozenset[tuple[int, int]] = frozenset()
    """Processes (pid, start) whose bits were cleared; what they show before that says nothing."""


@dataclass
class WrittenLooks:
    """Call `step` once a tick."""

    fs: KernelFs
    looks_total: int = 0
    absence: str = ""
    """Why the bits cannot be used; empty where they can."""
    _known: dict[ContainerId, _Known] = field(default_factory=dict)

    def step(self, containers: Iterable[Controlled], now_seconds: float) -> None:
        """Look at the one container that has waited longest, if any is due."""
        wanted = {each.container.key: each for each in containers}
        self._known = {key: self._known.get(key, _Known()) for key in wanted}
        due = [(each.due_seconds, key) for key, each in self._known.items() if _is_due(each, now_seconds)]
        if not due or self.fs.mode is not Mode.ACT:
            return
        key = min(due)[1]
        self._look(wanted[key], self._known[key], now_seconds)

    def _look(self, each: Controlled, known: _Known, now_seconds: float) -> None:
        processes = largest_processes(self.fs, each.container, MOST_PIDS)
        sizes = {pid: resident_pages(self.fs, pid) for pid in processes}
        known.due_seconds = now_seconds + max(OFTEN_SECONDS, sum(sizes.values()) / PAGES_PER_SECOND)
        before, known.cleared = known.cleared, frozenset()
        blocks: list[Keys] = []
        for number, (pid, started_ticks) in enumerate(processes.items()):
            if sizes[pid] > MOST_PAGES:
                continue
            with member(self.fs, each.container, pid) as process:
                if isinstance(process, Answer) or process.started_ticks != started_ticks:
                    continue
                if (pid, started_ticks) in before:
                    blocks += _blocks(process, number)
                self._clear(process, known)
        if before:
            keys, pages = np.unique(np.concatenate([*blocks, np.zeros(0, np.int64)]), return_counts=True)
            each.written = each.written or WrittenBlocks()
            each.written.see(keys.astype(np.int64), pages.astype(np.int64), now_seconds)
            self.looks_total += 1

    def _clear(self, process: KernelProcess, known: _Known) -> None:
        answer = process.forget_writes()
        if answer is Answer.DONE:
            known.cleared |= {(process.pid, process.started_ticks)}
        self.absence = f"clear_refs is {answer.value}" if answer is Answer.DENIED else ""


def _is_due(known: _Known, now_seconds: float) -> bool:
    """Also where the clock went back by more than a look's distance."""
    return not now_seconds < known.due_seconds <= now_seconds + MOST_PAGES * MOST_PIDS / PAGES_PER_SECOND


def _blocks(process: KernelProcess, number: int) -> list[Keys]:
    """The block key of every page that was written to."""
    mappings = read_mappings(process)
    if isinstance(mappings, Absence):
        return []
    sizes = (mappings.ends - mappings.starts).astype(np.int64)
    largest = np.argsort(-sizes, kind="stable")[:MOST_MAPPINGS]
    found = []
    for start, end in zip(mappings.starts[largest].tolist(), mappings.ends[largest].tolist(), strict=True):
        pages = written_pages(process, start, end)
        if not isinstance(pages, Absence):
            found.append((pages // np.uint64(LEAST_BLOCK_BYTES)).astype(np.int64) + number * PROCESS_STEP)
    return found
