"""Does what was decided, only to containers that policy gave it; undoes what it set, at exit and at start.

In: actions, the door to the kernel, a directory for the journal, a clock that never jumps. Out: an `Outcome`
for each action, timed. How much and when is not decided here. `recover` is called at start, before anything
else: it takes back what an agent that was killed had set; what cannot be taken back then (EBUSY) is tried
again until it is, and nothing is set over it. `close` is called at exit.
"""

import logging
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import replace

from plimsoll_nodeagent.act import binding
from plimsoll_nodeagent.act import leases as memory_high
from plimsoll_nodeagent.act.binding import Bindings
from plimsoll_nodeagent.act.damon import DamonSlots
from plimsoll_nodeagent.act.journal import Journal, Record
from plimsoll_nodeagent.act.leases import Leases
from plimsoll_nodeagent.act.outcome import Action, ActionKind, Effect, Outcome
from plimsoll_nodeagent.discover.tracker import Container, ContainerId
from plimsoll_nodeagent.kernelfs import Absence, Answer, KernelFs

logger = logging.getLogger(__name__)

# Actions that concern the node; whether they are wanted is decided by who asks.
AGAIN_SECONDS = 10.0  # what could not be taken back is tried again so often
_OF_KUBE_NODE = (ActionKind.COMPACT,)


class Actor:
    """One for the agent. Containers are given by `permit`; until then none may be touched."""

    def __init__(self, fs: KernelFs, journal: Journal, monotonic: Callable[[], float]) -> None:
        self._fs = fs
        self._journal = journal
        self._monotonic = monotonic
        self._permitted: frozenset[ContainerId] = frozenset()
        self._boot_id = boot_id(fs)
        self.leases = Leases(fs, journal, self._boot_id)
        self.bindings = Bindings(fs, journal, self._boot_id)
        self.damon = DamonSlots(fs, journal, self._boot_id)
        self.counts: Counter[tuple[ActionKind, Answer]] = Counter()
        self._left: list[Record] = []  # of a predecessor, and not taken back yet
        self._again_seconds = 0.0

    def permit(self, containers: Iterable[Container]) -> None:
        """Say which containers may be acted on from now on; what was set on others is taken back."""
        self._permitted = frozenset(each.key for each in containers)
        for held in self.leases.held():
            if held.key not in self._permitted:
                self.leases.end(held)
        for each in self.bindings.held():
            if each.key not in self._permitted:
                self.let_go(each)

    def act(self, action: Action) -> Outcome:
        """Do one action, unless its container is not permitted."""
        began = self._monotonic()
        container: Container | None = getattr(action, "container", None)
        if not self._may(action.kind, container):
            outcome = Outcome(
                action.kind, action.subject, Answer.REFUSED, action.expected(), None, "no policy"
            )
        else:
            outcome = action.run(self._fs)
        return self._counted(replace(outcome, took_seconds=max(0.0, self._monotonic() - began)))

    def lease(self, container: Container, high_bytes: int, seconds: float) -> Outcome:
        """Lower memory.high for some seconds; ended by `tick`, `close`, or `recover` after a kill."""
        if why := self._why_not(ActionKind.HIGH_LEASE, container):
            return self._refused(ActionKind.HIGH_LEASE, container, why)
        return self._counted(self.leases.grant(container, high_bytes, seconds, self._monotonic()))

    def take_by_lease(self, container: Container, amount_bytes: int, seconds: float) -> Outcome:
        """Have so much reclaimed by memory.high; put back at once, and in `seconds` should that fail."""
        if why := self._why_not(ActionKind.HIGH_LEASE, container):
            return self._refused(ActionKind.HIGH_LEASE, container, why)
        return self._counted(self.leases.take(container, amount_bytes, seconds, self._monotonic()))

    def bind(self, container: Container, numa_nodes: tuple[int, ...]) -> Outcome:
        """Bind a container's memory to NUMA nodes until it is let go, `close`, or `recover` after a kill."""
        if why := self._why_not(ActionKind.BIND, container):
            return self._refused(ActionKind.BIND, container, why)
        return self._counted(self.bindings.bind(container, numa_nodes))

    def let_go(self, container: Container) -> None:
        """End a container's binding, if it has one."""
        ended = self.bindings.end(container)
        if ended is not None:
            self._counted(ended)

    def tick(self) -> list[Outcome]:
        """End leases whose time is over. Call at least once a second."""
        if self._left and not 0.0 <= self._monotonic() - self._again_seconds < AGAIN_SECONDS:
            self._take_back(self._left)
        return [self._counted(each) for each in self.leases.expire(self._monotonic())]

    def recover(self) -> dict[str, Answer]:
        """Take back what a predecessor left, by the journal; returns how each record ended."""
        return self._take_back(self._journal.records())

    def _take_back(self, records: Iterable[Record]) -> dict[str, Answer]:
        found, left = {}, []
        for record in records:
            if record.boot_id != self._boot_id:
                answer = Answer.GONE  # a reboot has undone it
            elif record.kind == memory_high.KIND:
                answer = memory_high.undo(self._fs, record)
            elif record.kind == binding.KIND:
                answer = binding.undo(self._fs, record)
            else:
                answer = self.damon.undo(record)
            over = answer in (Answer.DONE, Answer.GONE, Answer.REFUSED)
            if over:
                self._journal.drop(record.name)
            else:
                left.append(record)
            found[record.name] = answer
            said = "taken back what was left set" if over else "what was left set cannot be taken back yet"
            logger.warning(said, extra={"record": record.name, "how": answer.value})
        self._left, self._again_seconds = left, self._monotonic()
        return found

    def close(self) -> list[Outcome]:
        """Take back everything that is set."""
        ended = [self._counted(each) for each in (*self.leases.end_all(), *self.bindings.end_all())]
        self.damon.close()
        if self._left:
            self._take_back(self._left)
        return ended

    def _may(self, kind: ActionKind, container: Container | None) -> bool:
        if container is None:
            return kind in _OF_KUBE_NODE
        return container.key in self._permitted

    def _why_not(self, kind: ActionKind, container: Container) -> str:
        """Why nothing may be set on a container now; "" where it may."""
        if not self._may(kind, container):
            return "no policy"
        waits = any(each.subject.get("container_id") == container.container_id for each in self._left)
        return "what a killed agent had set is not taken back yet" if waits else ""

    def _refused(self, kind: ActionKind, container: Container, why: str) -> Outcome:
        return self._counted(Outcome(kind, container.container_id, Answer.REFUSED, Effect(), None, why))

    def _counted(self, outcome: Outcome) -> Outcome:
        self.counts[outcome.kind, outcome.answer] += 1
        return outcome


def boot_id(fs: KernelFs) -> str:
    """Return what tells this boot from every other; "" where the kernel does not say."""
    text = fs.read("/proc/sys/kernel/random/boot_id")
    return "" if isinstance(text, Absence) else text.strip()
