"""Carries out moves of memory between NUMA nodes, a bounded step at a time.

In: what `numa_places` decided of a container. Out: single pages moved (`move_pages`), each step measured,
with a cursor in each process' addresses, so that a move of many gigabytes never holds the agent's loop (one
migrate_pages of a whole process would, for as long as all its pages take). The containers share each step.
Every few mebibytes the brake is asked; what it ends goes on from there when it may. A
process whose pages have all been asked for is passed; where nothing could be moved at all (page cache that
nobody maps is counted, and cannot be), nothing is tried for a while.
"""

from collections import Counter
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from plimsoll.pages.tiering import STEP_BYTES
from plimsoll.placement.numa import NumaMove, NumaTrials, PageCost
from plimsoll_nodeagent.act.actor import Actor
from plimsoll_nodeagent.act.numa import MovePages
from plimsoll_nodeagent.act.outcome import Outcome
from plimsoll_nodeagent.act.steps import Stop
from plimsoll_nodeagent.control.brake import Brake
from plimsoll_nodeagent.discover.tracker import ContainerId
from plimsoll_nodeagent.kernelfs import Absence, Answer, KernelFs, KernelProcess
from plimsoll_nodeagent.kernelfs.process import PAGE_BYTES
from plimsoll_nodeagent.sample.cpu_places import FloatArray
from plimsoll_nodeagent.sample.processes import Mappings, read_mappings
from plimsoll_nodeagent.sample.reading import ContainerSample

Addresses = npt.NDArray[np.uint64]

WHOLE = 0.9  # of what is on a NUMA node: so much is moved from its beginning on, less evenly spread
STEP_PAUSE_SECONDS = 5.0  # between two steps of moves under way: the agent's loop does other things, too
SCANNED_PAGES = 65_536  # that are asked in one step where they are: 256 MiB
FRUITLESS_SECONDS = 600.0  # where nothing could be moved, so long nothing is tried


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
    moved_pages: int = 0
    _passed: set[tuple[int, NumaMove]] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.left = {each: int(each.size_bytes) // PAGE_BYTES for each in self.moves}

    def ways(self) -> frozenset[tuple[int, int]]:
        """From where to where."""
        return frozenset((each.from_numa_node, each.to_numa_node) for each in self.moves)

    def passed(self, pid: int, move: NumaMove) -> None:
        """There is no more of a process for this move."""
        self._passed.add((pid, move))

    def stop(self) -> None:
        """Somebody forbids it."""
        self.left = dict.fromkeys(self.left, 0)

    def is_left(self) -> bool:
        """Whether there may be something to move."""
        return any(
            pages > 0 and any((pid, move) not in self._passed for pid in self.pids)
            for move, pages in self.left.items()
        )


class NumaMoves:
    """One for the agent."""

    def __init__(self, fs: KernelFs, actor: Actor, trials: NumaTrials, brake: Brake) -> None:
        """`trials` judges the moves; each begins one. `brake` is asked between two steps."""
        self._fs, self._actor, self._trials, self._brake = fs, actor, trials, brake
        self.moved_bytes_total = 0
        self.outcomes: Counter[str] = Counter()
        self.cost = PageCost()
        self._under_way: dict[ContainerId, UnderWay] = {}
        self._fruitless: dict[ContainerId, float] = {}
        self._stepped_seconds = float("-inf")

    def begin(self, one: UnderWay, now_seconds: float) -> bool:
        """Have moves carried out by the next steps; whether they are new. Those that go the same ways go on,
        and so does what takes a trial back.
        """
        key = one.sample.container.key
        known = self._under_way.get(key)
        if known is not None and not one.back and (known.back or known.ways() == one.ways()):
            return False
        fruitless = 0 <= now_seconds - self._fruitless.get(key, float("-inf")) < FRUITLESS_SECONDS
        if not one.back and (fruitless or not self._trials.may_move(str(key), now_seconds)):
            return False
        self._under_way[key] = one
        return True

    def end(self, key: ContainerId) -> None:
        """It is to stay as it is now; what takes a trial back goes on."""
        if key in self._under_way and not self._under_way[key].back:
            del self._under_way[key]

    def keep_only(self, present: frozenset[ContainerId]) -> None:
        """Forget containers that are gone."""
        self._under_way = {key: each for key, each in self._under_way.items() if key in present}
        self._fruitless = {key: each for key, each in self._fruitless.items() if key in present}

    def go_on(self, now_seconds: float) -> None:
        """One step of the moves under way, shared by all: the containers take turns."""
        if not 0 <= now_seconds - self._stepped_seconds < STEP_PAUSE_SECONDS:
            self._stepped_seconds = now_seconds
            pages, over = STEP_BYTES // PAGE_BYTES, self._brake.turn()
            for key, one in list(self._under_way.items()):
                if pages <= 0 or over():
                    return
                del self._under_way[key]
                pages -= self._some(one, pages, now_seconds, over)
                if one.is_left():
                    self._under_way[key] = one  # behind the others
                elif not one.moved_pages:
                    self._fruitless[key] = now_seconds

    def _some(self, one: UnderWay, pages: int, now_seconds: float, over: Stop) -> int:
        """Move at most so many pages of one container; returns how many were asked for."""
        asked, container = 0, one.sample.container

        def stop() -> bool:
            return over() or self._brake.must_not_move(container, back=one.back)

        for move in one.moves:
            for pid in one.pids:
                wanted = min(one.left[move], pages - asked)
                if wanted <= 0:
                    break
                if stop():  # the rest is for a turn in which it may go on
                    return asked
                before = one.cursors.get((pid, move), 0)
                chosen = self._chosen(one, pid, move, wanted)
                if not len(chosen):
                    continue
                outcome = self._actor.act(
                    MovePages(container, pid, chosen, one.numbers[move.to_numa_node], stop=stop)
                )
                self.outcomes[outcome.answer.value] += 1
                if not outcome.acted:
                    one.cursors[pid, move] = before
                    if not stop():
                        one.stop()
                    return asked
                done = self._booked(one, move, outcome, now_seconds)
                if done < len(chosen):
                    one.cursors[pid, move] = int(chosen[done])
                    return asked + done
                asked += done
        return asked

    def _booked(self, one: UnderWay, move: NumaMove, outcome: Outcome, now_seconds: float) -> int:
        """Keep what was expected and what was measured; returns the pages that were asked for."""
        asked, came = (outcome.expected.moved_bytes or 0) // PAGE_BYTES, 0
        name = str(one.sample.container.key)
        if outcome.measured is not None:
            came = max(0, outcome.measured.moved_bytes or 0) // PAGE_BYTES
        self.cost.took(outcome.took_seconds, asked)
        if not one.back and self._trials.may_move(name, now_seconds):
            self._trials.moved(name, one.bytes_on, one.stall, now_seconds)
        one.left[move] -= asked  # what could not be moved is not tried again in this pass
        one.moved_pages += max(came, 1)
        self.moved_bytes_total += came * PAGE_BYTES
        return asked

    def _chosen(self, one: UnderWay, pid: int, move: NumaMove, pages: int) -> Addresses:
        """Pages of a process that are on the NUMA node to leave, from where the last step ended."""
        none = np.empty(0, dtype=np.uint64)
        process = KernelProcess.open(self._fs, pid)
        if isinstance(process, Absence):
            one.passed(pid, move)
            return none
        with process:
            mappings = read_mappings(process)
            if isinstance(mappings, Absence):
                one.passed(pid, move)
                return none
            addresses = addresses_from(mappings, one.cursors.get((pid, move), 0), SCANNED_PAGES)
            there = process.numa_nodes_of(addresses) if len(addresses) else none
        if isinstance(there, Answer) or not len(addresses):
            one.passed(pid, move)
            return none
        found = addresses[there == one.numbers[move.from_numa_node]]
        share = move.size_bytes / max(one.bytes_on[move.from_numa_node], 1.0)
        chosen = spread(found, 1.0 if share >= WHOLE else share)[:pages]
        full = len(chosen) == pages
        one.cursors[pid, move] = int(chosen[-1] if full else addresses[-1]) + PAGE_BYTES
        return chosen


def addresses_from(mappings: Mappings, start: int, most: int) -> Addresses:
    """At most so many pages of the anonymous mappings, from an address on; none: there are no more."""
    found: list[Addresses] = []
    anonymous = mappings.anonymous
    for first, end in zip(
        mappings.starts[anonymous].tolist(), mappings.ends[anonymous].tolist(), strict=True
    ):
        begin = max(first, start)
        pages = min((end - begin) // PAGE_BYTES, most)
        if pages > 0:
            found.append(np.uint64(begin) + np.arange(pages, dtype=np.uint64) * np.uint64(PAGE_BYTES))
            most -= pages
        if most <= 0:
            break
    return np.concatenate(found) if found else np.empty(0, dtype=np.uint64)


def spread(addresses: Addresses, share: float) -> Addresses:
    """A share of the pages, evenly: what is interleaved is not the first part of it."""
    number = np.arange(len(addresses) + 1) * min(share, 1.0)
    found: Addresses = addresses[np.diff(np.floor(number + 1e-9)) > 0]
    return found
