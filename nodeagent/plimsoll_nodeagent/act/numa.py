"""Memory between and within NUMA nodes: compact one, move some of a process' pages.

In: NUMA nodes, a container and one of its pids. Out: `Outcome`s measured by buddyinfo, or by asking
move_pages where each page is. Tiering uses the same move, towards a slower node and back. A move is made in
steps; compaction is one write, which the kernel does not give up half-way.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from plimsoll_nodeagent.act.container import is_member, member
from plimsoll_nodeagent.act.outcome import ActionKind, Effect, Outcome
from plimsoll_nodeagent.act.steps import STEP_BYTES, Stop, never
from plimsoll_nodeagent.discover.tracker import Container
from plimsoll_nodeagent.kernelfs import Absence, Answer, KernelDirectory, KernelFs, KernelProcess
from plimsoll_nodeagent.kernelfs.process import PAGE_BYTES
from plimsoll_nodeagent.sample.buddy import HUGE_PAGE_ORDER, free_blocks_from_order, parse_buddyinfo
from plimsoll_nodeagent.sample.formats import FormatError
from plimsoll_nodeagent.sample.numa import read_numa_stat


@dataclass(frozen=True, slots=True)
class Compact:
    """Compact one NUMA node, so that allocations of huge pages need not stall for it."""

    numa_node: int
    kind: ActionKind = ActionKind.COMPACT

    @property
    def subject(self) -> str:
        """The NUMA node."""
        return f"numa_node {self.numa_node}"

    def expected(self) -> Effect:
        """More free blocks of a huge page's order; how many more is not foretold."""
        return Effect(free_blocks=1)

    def run(self, fs: KernelFs) -> Outcome:
        """Compact and count free blocks before and after."""
        before = self._free_blocks(fs)
        answer = fs.write(f"/sys/devices/system/node/node{self.numa_node}/compact", "1")
        after = self._free_blocks(fs) if answer.acted else None
        measured = None if before is None or after is None else Effect(free_blocks=after - before)
        return Outcome(self.kind, self.subject, answer, self.expected(), measured)

    def _free_blocks(self, fs: KernelFs) -> int | None:
        text = fs.read("/proc/buddyinfo")
        if isinstance(text, Absence):
            return None
        try:
            zones = parse_buddyinfo(text)
        except FormatError:
            return None
        own = [each for each in zones if each.numa_node == self.numa_node]
        return sum(free_blocks_from_order(each, HUGE_PAGE_ORDER) for each in own)


@dataclass(frozen=True, slots=True, eq=False)
class MovePages:
    """Move single pages (addresses) of a process to one NUMA node, a step at a time."""

    container: Container
    pid: int
    addresses: NDArray[np.uint64]
    to_numa_node: int
    started_ticks: int | None = None
    """When the process that is meant began; None: whoever has the pid."""
    stop: Stop = never
    """Asked before each step."""
    step_bytes: int = STEP_BYTES
    kind: ActionKind = ActionKind.MOVE

    @property
    def subject(self) -> str:
        """The container's id."""
        return self.container.container_id

    def expected(self) -> Effect:
        """Every page moves."""
        return Effect(moved_bytes=len(self.addresses) * PAGE_BYTES)

    def run(self, fs: KernelFs) -> Outcome:
        """Move, if the process is the container's; measured by where each page was and is.

        Told to stop, what was asked for until then is what is expected.
        """
        with member(fs, self.container, self.pid) as process:
            if isinstance(process, Answer):
                return Outcome(self.kind, self.subject, process, self.expected(), None)
            if self.started_ticks not in (None, process.started_ticks):
                return Outcome(self.kind, self.subject, Answer.GONE, self.expected(), None)
            answer, asked, came, away = self._steps(fs, process)
        if not asked:
            return Outcome(self.kind, self.subject, answer, self.expected(), None)
        said = f"{away} of {asked} pages are elsewhere or nowhere"
        if asked < len(self.addresses):
            said += f", {len(self.addresses) - asked} were not asked for any more"
        expected, measured = (Effect(moved_bytes=pages * PAGE_BYTES) for pages in (asked, came))
        return Outcome(self.kind, self.subject, answer, expected, measured, said)

    def _steps(self, fs: KernelFs, process: KernelProcess) -> tuple[Answer, int, int, int]:
        """How it ended; pages that were asked for, that came, and that are not there."""
        asked = came = away = 0
        pages = max(1, self.step_bytes // PAGE_BYTES)
        for first in range(0, len(self.addresses), pages):
            if self.stop() or (asked and not is_member(fs, self.container, process)):
                return (Answer.PARTIAL if asked else Answer.REFUSED), asked, came, away
            found = self._step(process, self.addresses[first : first + pages])
            if isinstance(found, Answer):
                return (Answer.PARTIAL if asked else found), asked, came, away
            asked, came, away = asked + sum(found[1:]), came + found[0], away + found[2]
        return (Answer.PARTIAL if away else Answer.DONE), asked, came, away

    def _step(self, process: KernelProcess, some: NDArray[np.uint64]) -> tuple[int, int, int] | Answer:
        """Pages that came, that are there, and that are not."""
        before = process.numa_nodes_of(some)
        moved = process.move(some, self.to_numa_node)
        if isinstance(moved, Answer):
            return moved
        after = process.numa_nodes_of(some)
        if isinstance(after, Answer) or isinstance(before, Answer):
            return Answer.GONE  # it ended meanwhile: nobody can tell where its pages are
        there = after == self.to_numa_node
        came = int(np.count_nonzero(there & (before != self.to_numa_node)))
        return came, int(np.count_nonzero(there)), int(np.count_nonzero(~there))


def bytes_on(cgroup: KernelDirectory, numa_nodes: frozenset[int]) -> int | None:
    """Return the cgroup's anonymous and file bytes on some NUMA nodes; None where it is not told."""
    stat = read_numa_stat(cgroup)
    if stat is None:
        return None
    return sum(stat.get(name, {}).get(node, 0) for name in ("anon", "file") for node in numa_nodes)
