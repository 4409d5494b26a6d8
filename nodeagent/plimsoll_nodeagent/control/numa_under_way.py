"""Moves of one container's memory between NUMA nodes that are under way, and why they ended.

In: what was decided, what came of each step. Out: what is left, pass by pass: a page that was in use at that
moment may come in the next pass. Carried out by `numa_moves`.
"""

from collections import Counter
from dataclasses import dataclass, field
from enum import StrEnum

from plimsoll.placement.numa import NumaMove, ways_of
from plimsoll_nodeagent.kernelfs.process import PAGE_BYTES
from plimsoll_nodeagent.sample.cpu_places import FloatArray
from plimsoll_nodeagent.sample.reading import ContainerSample

PASSES = 3  # over the pages of a process: what is left then stays for the next plan


class End(StrEnum):
    """Why moves under way are no more."""

    DONE = "done"  # all that could be asked for came
    REST = "rest"  # everything was asked for, and some pages stayed where they were
    FRUITLESS = "fruitless"  # nothing could be asked for at all
    UNWANTED = "unwanted"  # the plan says so: CPUs that moved, no room, a cpuset
    OTHERWISE = "otherwise"  # others took their place
    REFUSED = "refused"  # the actor or the kernel
    GONE = "gone"  # the container, or its policy


class Wait(StrEnum):
    """Why a turn ended before there was nothing to do; the next one goes on."""

    BRAKE = "brake"  # it stalls above its bound, the policy or the agent ends
    TIME = "time"  # of this turn


@dataclass(slots=True)
class UnderWay:
    """Moves of one container, a step at a time."""

    sample: ContainerSample
    pids: tuple[int, ...]
    moves: tuple[NumaMove, ...]
    numbers: tuple[int, ...]
    bytes_on: FloatArray  # before
    stall: float
    back: bool  # takes a trial back
    left: dict[NumaMove, int] = field(default_factory=dict)  # pages
    cursors: dict[tuple[int, NumaMove], int] = field(default_factory=dict)  # where the next step begins
    asked_pages: int = 0
    came_pages: int = 0
    cpu_seconds: float = 0.0
    waits: Counter[Wait] = field(default_factory=Counter)
    refused: str = ""
    """The answer that ended it."""
    passes: int = 1
    _missed: Counter[NumaMove] = field(default_factory=Counter)  # pages that did not come in this pass
    _came: int = 0  # in this pass
    _passed: set[tuple[int, NumaMove]] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.left = {each: int(each.size_bytes) // PAGE_BYTES for each in self.moves}

    def ways(self) -> frozenset[tuple[int, int]]:
        """From where to where."""
        return ways_of(self.moves)

    def passed(self, pid: int, move: NumaMove) -> None:
        """There is no more of a process for this move in this pass."""
        self._passed.add((pid, move))

    def took(self, move: NumaMove, asked: int, came: int, cpu_seconds: float) -> None:
        """So many pages were asked for, and so many of them came."""
        self.left[move] -= asked
        self.asked_pages += asked
        self.came_pages += came
        self.cpu_seconds += cpu_seconds
        self._came += came
        self._missed[move] += asked - came

    def refuse(self, answer: str) -> None:
        """Somebody forbids it."""
        self.refused = answer
        self.left = dict.fromkeys(self.left, 0)
        self._missed.clear()

    def is_left(self) -> bool:
        """Whether there may be something to move; begins another pass where that may help."""
        return self._in_pass() or self._another_pass()

    def missed_pages(self) -> int:
        """Pages that did not come in the last pass."""
        return self._missed.total()

    def end(self) -> End:
        """Why nothing is left."""
        if self.refused:
            return End.REFUSED
        if not self.asked_pages:
            return End.FRUITLESS
        return End.REST if self.missed_pages() else End.DONE

    def _in_pass(self) -> bool:
        return any(
            pages > 0 and any((pid, move) not in self._passed for pid in self.pids)
            for move, pages in self.left.items()
        )

    def _another_pass(self) -> bool:
        if not self._came or not self.missed_pages() or self.passes >= PASSES:
            return False
        for move, pages in self._missed.items():
            self.left[move] += pages
        self.passes, self._came = self.passes + 1, 0
        self._missed.clear()
        self._passed.clear()
        self.cursors.clear()
        return True
