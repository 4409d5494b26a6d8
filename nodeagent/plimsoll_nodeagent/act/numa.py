"""Memory between and within NUMA nodes: compact one, move some of a process' pages.

In: NUMA nodes, a container and one of its pids. Out: `Outcome`s measured by buddyinfo, or by asking
move_pages where each page is. Tiering uses the same move, towards a slower node and back.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from plimsoll_nodeagent.act.container import member
from plimsoll_nodeagent.act.outcome import ActionKind, Effect, Outcome
from plimsoll_nodeagent.discover.tracker import Container
from plimsoll_nodeagent.kernelfs import Absence, Answer, KernelDirectory, KernelFs
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
    """Move single pages (addresses) of a process to one NUMA node."""

    container: Container
    pid: int
    addresses: NDArray[np.uint64]
    to_numa_node: int
    kind: ActionKind = ActionKind.MOVE

    @property
    def subject(self) -> str:
        """The container's id."""
        return self.container.container_id

    def expected(self) -> Effect:
        """Every page moves."""
        return Effect(moved_bytes=len(self.addresses) * PAGE_BYTES)

    def run(self, fs: KernelFs) -> Outcome:
        """Move, if the process is the container's; measured by where each page was and is."""
        with member(fs, self.container, self.pid) as process:
            if isinstance(process, Answer):
                return Outcome(self.kind, self.subject, process, self.expected(), None)
            before = process.numa_nodes_of(self.addresses)
            moved = process.move(self.addresses, self.to_numa_node)
            after = process.numa_nodes_of(self.addresses) if not isinstance(moved, Answer) else moved
        if isinstance(after, Answer) or isinstance(before, Answer):
            why = after if isinstance(after, Answer) else Answer.DONE
            return Outcome(self.kind, self.subject, why, self.expected(), None)
        there = int(np.count_nonzero((after == self.to_numa_node) & (before != self.to_numa_node)))
        away = int(np.count_nonzero(after != self.to_numa_node))
        answer = Answer.PARTIAL if away else Answer.DONE
        measured = Effect(moved_bytes=there * PAGE_BYTES)
        return Outcome(
            self.kind,
            self.subject,
            answer,
            self.expected(),
            measured,
            f"{away} pages are elsewhere or nowhere",
        )


def bytes_on(cgroup: KernelDirectory, numa_nodes: frozenset[int]) -> int | None:
    """Return the cgroup's anonymous and file bytes on some NUMA nodes; None where it is not told."""
    stat = read_numa_stat(cgroup)
    if stat is None:
        return None
    return sum(stat.get(name, {}).get(node, 0) for name in ("anon", "file") for node in numa_nodes)
