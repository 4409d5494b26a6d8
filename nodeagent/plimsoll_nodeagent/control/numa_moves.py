"""Carries out moves of memory between NUMA nodes, a bounded step at a time.

In: what `numa_places` decided of a container. Out: single pages moved (`move_pages`), each step measured,
with a cursor in each process' addresses, so that a move of many gigabytes never holds the agent's loop (one
migrate_pages of a whole process would, for as long as all its pages take). The containers share each step.
Every few mebibytes the brake is asked; what it ends goes on from there when it may. A turn has its time, but
its first step is made. A process whose pages have all been asked for is passed; where nothing could be asked
for at all (page cache that nobody maps is counted, and cannot be), nothing is tried for a while. How each one
ended is counted and told.
"""

import logging
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from plimsoll.pages.tiering import STEP_BYTES
from plimsoll.placement.numa import NumaMove, NumaTrials, PageCost
from plimsoll_nodeagent.act.actor import Actor
from plimsoll_nodeagent.act.numa import MovePages
from plimsoll_nodeagent.act.outcome import Outcome
from plimsoll_nodeagent.act.steps import Stop
from plimsoll_nodeagent.control.brake import Brake
from plimsoll_nodeagent.control.numa_under_way import End, UnderWay, Wait
from plimsoll_nodeagent.discover.tracker import ContainerId
from plimsoll_nodeagent.kernelfs import Absence, Answer, KernelFs, KernelProcess
from plimsoll_nodeagent.kernelfs.process import PAGE_BYTES
from plimsoll_nodeagent.sample.processes import Mappings, read_mappings

logger = logging.getLogger(__name__)

Addresses = npt.NDArray[np.uint64]

WHOLE = 0.9  # of what is on a NUMA node: so much is moved from its beginning on, less evenly spread
STEP_PAUSE_SECONDS = 5.0  # between two steps of moves under way: the agent's loop does other things, too
SCANNED_PAGES = 65_536  # that are asked in one step where they are: 256 MiB
FRUITLESS_SECONDS = 600.0  # where nothing could be moved, so long nothing is tried


class NumaMoves:
    """One for the agent."""

    def __init__(
        self,
        fs: KernelFs,
        actor: Actor,
        trials: NumaTrials,
        brake: Brake,
        cpu_seconds: Callable[[], float] = time.thread_time,
    ) -> None:
        """`trials` judges the moves; each begins one. `brake` is asked between two steps. `cpu_seconds` is
        what this thread has run: a gain is told in CPU time, and a busy machine makes no page dearer.
        """
        self._fs, self._actor, self._trials, self._brake = fs, actor, trials, brake
        self._cpu_seconds = cpu_seconds
        self.moved_bytes_total = 0
        self.outcomes: Counter[str] = Counter()
        self.ended: Counter[End] = Counter()
        self.waits: Counter[Wait] = Counter()
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
        if known is not None:
            self._tell(known, End.OTHERWISE, "taken back" if one.back else "other ways")
        self._under_way[key] = one
        return True

    def moving(self) -> int:
        """Containers of which moves are under way."""
        return len(self._under_way)

    def ways(self, key: ContainerId) -> frozenset[tuple[int, int]]:
        """From where to where its memory is being moved; empty: it is not, or taken back."""
        one = self._under_way.get(key)
        return frozenset() if one is None or one.back else one.ways()

    def end(self, key: ContainerId, why: str) -> None:
        """It is to stay as it is now; what takes a trial back goes on."""
        if self.ways(key):
            self._tell(self._under_way.pop(key), End.UNWANTED, why)

    def keep_only(self, present: frozenset[ContainerId]) -> None:
        """Forget containers that are gone."""
        for key in self._under_way.keys() - present:
            self._tell(self._under_way.pop(key), End.GONE, "no policy asks for it any more, or it is gone")
        self._fruitless = {key: each for key, each in self._fruitless.items() if key in present}

    def go_on(self, now_seconds: float) -> None:
        """One step of the moves under way, shared by all: the containers take turns."""
        if 0 <= now_seconds - self._stepped_seconds < STEP_PAUSE_SECONDS:
            return
        self._stepped_seconds = now_seconds
        pages, over = STEP_BYTES // PAGE_BYTES, self._brake.turn()
        for key, one in list(self._under_way.items()):
            if pages <= 0 or over():
                return
            del self._under_way[key]
            pages -= self._some(one, pages, now_seconds, over)
            if one.is_left():
                self._under_way[key] = one  # behind the others
                continue
            end = one.end()
            if end is End.FRUITLESS:
                self._fruitless[key] = now_seconds
            self._tell(one, end, one.refused or f"after {one.passes} passes")

    def _some(self, one: UnderWay, pages: int, now_seconds: float, over: Stop) -> int:
        """Move at most so many pages of one container; returns how many were asked for.

        Looking for pages may take a turn's whole time where system calls are slow: its first step is made.
        """
        asked = 0
        for move in one.moves:
            for pid in one.pids:
                wanted = min(one.left[move], pages - asked)
                if wanted <= 0:
                    break
                if asked and over():
                    return self._waits(one, Wait.TIME, asked)
                if self._brake.must_not_move(one.sample.container, back=one.back):
                    return self._waits(one, Wait.BRAKE, asked)  # the rest is for when it may go on
                before = one.cursors.get((pid, move), 0)
                chosen = self._chosen(one, pid, move, wanted)
                if not len(chosen):
                    continue
                stop = _Stop(self._brake, one, over, may_begin=not asked)
                outcome = self._moved(one, pid, chosen, move, stop)
                if not outcome.acted:
                    one.cursors[pid, move] = before
                    if stop.why is not None:
                        return self._waits(one, stop.why, asked)
                    one.refuse(f"{outcome.answer.value} {outcome.detail}".strip())
                    return asked
                done = self._booked(one, move, outcome, now_seconds)
                if done < len(chosen):
                    one.cursors[pid, move] = int(chosen[done])
                    asked += done
                    return asked if stop.why is None else self._waits(one, stop.why, asked)
                asked += done
        return asked

    def _moved(self, one: UnderWay, pid: int, chosen: Addresses, move: NumaMove, stop: "_Stop") -> Outcome:
        began = self._cpu_seconds()
        to = one.numbers[move.to_numa_node]
        outcome = self._actor.act(MovePages(one.sample.container, pid, chosen, to, stop=stop))
        self.outcomes[outcome.answer.value] += 1
        return replace(outcome, took_seconds=max(0.0, self._cpu_seconds() - began))

    def _waits(self, one: UnderWay, why: Wait, asked: int) -> int:
        one.waits[why] += 1
        self.waits[why] += 1
        if one.waits[why] == 1 and why is Wait.BRAKE:
            logger.info("a move between NUMA nodes waits", extra=_told(one) | {"why": why.value})
        return asked

    def _tell(self, one: UnderWay, end: End, why: str) -> None:
        self.ended[end] += 1
        told = _told(one) | {"end": end.value, "why": why, "page_us": 1e6 * self.cost.page_seconds}
        logger.info("a move between NUMA nodes ended", extra=told)

    def _booked(self, one: UnderWay, move: NumaMove, outcome: Outcome, now_seconds: float) -> int:
        """Keep what was expected and what was measured; returns the pages that were asked for."""
        asked, came = (outcome.expected.moved_bytes or 0) // PAGE_BYTES, 0
        name = str(one.sample.container.key)
        if outcome.measured is not None:
            came = max(0, outcome.measured.moved_bytes or 0) // PAGE_BYTES
        self.cost.took(outcome.took_seconds, asked)
        if not one.back and self._trials.may_move(name, now_seconds):
            self._trials.moved(name, one.bytes_on, one.stall, now_seconds)
        one.took(move, asked, came, outcome.took_seconds)
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


class _Stop:
    """Asked between two steps of one action; remembers why it said so: asked again, it may say otherwise."""

    def __init__(self, brake: Brake, one: UnderWay, over: Stop, *, may_begin: bool) -> None:
        """`may_begin`: the turn's time is not asked for before the first step."""
        self._brake, self._one, self._over, self._begins = brake, one, over, may_begin
        self.why: Wait | None = None

    def __call__(self) -> bool:
        if not self._begins and self._over():
            self.why = Wait.TIME
        elif self._brake.must_not_move(self._one.sample.container, back=self._one.back):
            self.why = Wait.BRAKE
        self._begins = False
        return self.why is not None


def _told(one: UnderWay) -> dict[str, object]:
    return {
        "container": one.sample.container.container_id,
        "back": one.back,
        "moved_bytes": one.came_pages * PAGE_BYTES,
        "left_bytes": (sum(one.left.values()) + one.missed_pages()) * PAGE_BYTES,
        "passes": one.passes,
        "cpu_seconds": round(one.cpu_seconds, 3),
        "waits": {why.value: times for why, times in one.waits.items()},
    }


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
