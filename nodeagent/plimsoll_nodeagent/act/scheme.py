"""A scheme of DAMON on one container: the kernel itself acts on what is cold, within quotas, until stopped.

In: a container, pids of it, what the scheme does, a slot of ours. Out: an `Outcome` when it is started. What
it then takes nobody counts (decision 0274), so no agent starts one. The kernel takes hold of the processes
when the slot is switched on, so they are held open over that: each must be the container's before it and
after, else the slot is stopped.
"""

from contextlib import ExitStack
from dataclasses import dataclass, field

from plimsoll_nodeagent.act.container import member, opened
from plimsoll_nodeagent.act.damon import DamonSlots
from plimsoll_nodeagent.act.outcome import ActionKind, Effect, Outcome
from plimsoll_nodeagent.act.watching import Intervals, Scheme, SchemeAction, Space, Watching
from plimsoll_nodeagent.discover.pids import member_pids
from plimsoll_nodeagent.discover.tracker import Container
from plimsoll_nodeagent.kernelfs import Answer, KernelFs, KernelProcess


@dataclass(frozen=True, slots=True)
class StartScheme:
    """Let a scheme run in a slot on some processes of a container."""

    container: Container
    pids: tuple[int, ...]
    scheme: Scheme
    slots: DamonSlots
    slot: int
    intervals: Intervals = field(default_factory=Intervals)
    kind: ActionKind = ActionKind.SCHEME

    @property
    def subject(self) -> str:
        """The container's id."""
        return self.container.container_id

    @property
    def watching(self) -> Watching:
        """What the slot is set up for."""
        return Watching(Space.VIRTUAL, self.pids, self.intervals, (self.scheme,))

    def expected(self) -> Effect:
        """At most the quota's bytes for each of its periods and each process; none at once."""
        if self.scheme.action is not SchemeAction.PAGEOUT or self.scheme.quota is None:
            return Effect()
        return Effect(resident_bytes=-self.scheme.quota.bytes_ * len(self.pids))

    def run(self, fs: KernelFs) -> Outcome:
        """Start it; REFUSED, and stopped, where a process is not the container's."""
        with ExitStack() as stack:
            held = [stack.enter_context(member(fs, self.container, pid)) for pid in self.pids]
            refused = next((each for each in held if isinstance(each, Answer)), None)
            if refused is not None or not held:
                return self._outcome(refused or Answer.REFUSED)
            answer = self.slots.start_checked(self.slot, self.watching)
            if answer is Answer.DONE and not self._still_members(fs, held):
                self.slots.stop(self.slot)
                answer = Answer.REFUSED
        return self._outcome(answer)

    def _still_members(self, fs: KernelFs, held: list[KernelProcess | Answer]) -> bool:
        with opened(fs, self.container) as cgroup:
            if isinstance(cgroup, Answer):
                return False
            pids = member_pids(cgroup).pids
        return all(isinstance(each, KernelProcess) and each.pid in pids and each.is_alive() for each in held)

    def _outcome(self, answer: Answer) -> Outcome:
        return Outcome(self.kind, self.subject, answer, self.expected(), None, f"slot {self.slot}")
