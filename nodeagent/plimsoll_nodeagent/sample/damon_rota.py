"""A few kdamonds for many containers: each slot watches one container for some seconds, then the next.

In: our slots, the containers that are wanted, the time. Out: looks: a container's regions by process. Whoever
was looked at longest ago comes next, so that nobody starves; where there are no more containers than slots,
a slot goes on with its own without a new start. Of a container the largest processes are watched. A process
that ended, or whose pid is another's by the time its regions are read, gives none.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from plimsoll_nodeagent.act.damon import DamonSlots
from plimsoll_nodeagent.act.watching import Intervals, Watching
from plimsoll_nodeagent.discover.pids import largest_processes
from plimsoll_nodeagent.discover.tracker import Container, ContainerId
from plimsoll_nodeagent.kernelfs import Answer, KernelFs
from plimsoll_nodeagent.kernelfs.process import start_ticks
from plimsoll_nodeagent.sample.damon import Regions, read_regions

LOOK_SECONDS = 5.0  # fifty aggregations: ages are told up to this, so shorter looks tell less
MOST_PIDS = 8  # each is a target with regions of its own, and costs the kernel thread its share
MOST_STARTS = 4  # tries to find a container for a free slot in one step


@dataclass(frozen=True, slots=True)
class Look:
    """What one turn showed of a container."""

    container: Container
    regions: tuple[Regions, ...]
    watched_seconds: float


@dataclass(slots=True)
class _Turn:
    container: Container
    watching: Watching
    started_ticks: dict[int, int]
    since_seconds: float


@dataclass(slots=True)
class DamonRota:
    """Whose turn it is; call `step` at least once in `look_seconds`."""

    fs: KernelFs
    slots: DamonSlots
    look_seconds: float = LOOK_SECONDS
    intervals: Intervals = field(default_factory=Intervals)
    most_pids: int = MOST_PIDS
    failures: Counter[Answer] = field(default_factory=Counter)
    _turns: dict[int, _Turn] = field(default_factory=dict)
    _seen_seconds: dict[ContainerId, float] = field(default_factory=dict)

    def step(self, now_seconds: float, containers: Iterable[Container]) -> list[Look]:
        """End turns that are over, and start the next ones; returns what the ended turns showed."""
        wanted = {each.key: each for each in containers}
        self._seen_seconds = {key: when for key, when in self._seen_seconds.items() if key in wanted}
        looks = [look for slot in list(self._turns) if (look := self._look(slot, now_seconds, wanted))]
        for slot in range(self.slots.slots):
            if slot not in self._turns:
                self._start(slot, now_seconds, wanted)
        return looks

    @property
    def watches(self) -> bool:
        """Whether any slot is at work."""
        return bool(self._turns)

    def stop(self) -> None:
        """End all turns."""
        for slot in list(self._turns):
            self._end(slot)

    def _look(self, slot: int, now_seconds: float, wanted: dict[ContainerId, Container]) -> Look | None:
        turn = self._turns[slot]
        key = turn.container.key
        if key not in wanted:
            self._end(slot)
            return None
        watched = now_seconds - turn.since_seconds
        if 0.0 <= watched < self.look_seconds:
            return None
        self._seen_seconds[key] = now_seconds
        found = read_regions(self.fs, self.slots, slot, turn.watching)
        if isinstance(found, Answer):
            self.failures[found] += 1
            self._end(slot)
            return None
        if self._waiting(wanted) or self._processes(turn.container) != turn.started_ticks:
            self._end(slot)
        else:
            turn.since_seconds = now_seconds
        own = tuple(each for each in found if self._is_same(turn, each.pid))
        return Look(turn.container, own, max(0.0, watched))

    def _start(self, slot: int, now_seconds: float, wanted: dict[ContainerId, Container]) -> None:
        for container in self._waiting(wanted)[:MOST_STARTS]:
            processes = self._processes(container)
            self._seen_seconds[container.key] = now_seconds
            if not processes:
                continue
            watching = Watching(tuple(processes), self.intervals)
            answer = self.slots.start(slot, watching)
            if answer is Answer.DONE:
                self._turns[slot] = _Turn(container, watching, processes, now_seconds)
                return
            self.failures[answer] += 1
            if answer in (Answer.BUSY, Answer.DENIED, Answer.REFUSED):
                return  # DAMON itself is not to be had now: the next container would fare no better

    def _waiting(self, wanted: dict[ContainerId, Container]) -> list[Container]:
        """Containers without a turn, those seen longest ago first."""
        busy = {each.container.key for each in self._turns.values()}
        never = float("-inf")
        order = sorted((self._seen_seconds.get(key, never), key) for key in wanted if key not in busy)
        return [wanted[key] for _, key in order]

    def _processes(self, container: Container) -> dict[int, int]:
        return largest_processes(self.fs, container, self.most_pids)

    def _is_same(self, turn: _Turn, pid: int) -> bool:
        return start_ticks(self.fs.read(f"/proc/{pid}/stat")) == turn.started_ticks[pid]

    def _end(self, slot: int) -> None:
        self.slots.stop(slot)
        del self._turns[slot]
