"""Proactive reclaim: ask the kernel to take so many bytes from one container, and see what it took.

In: a container, bytes, and how much of it may be anonymous (`swappiness`, Linux 6.11). Out: an `Outcome`
measured by memory.current, memory.swap.current and memory.stat, which counts what was reclaimed. The bytes
are asked for in parts, and between two of them the caller may say stop, for one write blocks until the kernel
is done; EAGAIN, which means that less was reclaimed, ends it. Nothing stays set: memory.reclaim has no state.
"""

from dataclasses import dataclass, field

from plimsoll_nodeagent.act.container import opened, usage_changed, usage_now
from plimsoll_nodeagent.act.outcome import ActionKind, Effect, Outcome
from plimsoll_nodeagent.act.steps import Stop, never
from plimsoll_nodeagent.discover.tracker import Container
from plimsoll_nodeagent.kernelfs import Answer, KernelDirectory, KernelFs

# One write. Smaller: more system calls. Larger: longer until pressure is heeded; a slow swap takes 100 MiB/s.
PART_BYTES = 16 << 20


@dataclass(frozen=True, slots=True)
class Reclaim:
    """Take `bytes_` from a container; `swappiness` 0: file pages only, 200: anonymous first, None: as set."""

    container: Container
    bytes_: int
    swappiness: int | None = None
    stop: Stop = field(default=never, compare=False)
    part_bytes: int = PART_BYTES
    kind: ActionKind = ActionKind.RECLAIM

    @property
    def subject(self) -> str:
        """The container's id."""
        return self.container.container_id

    def expected(self) -> Effect:
        """Usage falls by as much as was asked for."""
        return Effect(usage_bytes=-self.bytes_)

    def run(self, fs: KernelFs) -> Outcome:
        """Reclaim in parts until done, refused, or told to stop."""
        with opened(fs, self.container) as cgroup:
            if isinstance(cgroup, Answer):
                return Outcome(self.kind, self.subject, cgroup, self.expected(), None)
            before = usage_now(cgroup)
            answer, asked = self._parts(cgroup)
            measured = usage_changed(before, cgroup) if answer.acted else None
        detail = f"asked for {asked} of {self.bytes_} bytes"
        expected = Effect(usage_bytes=-asked) if answer.acted else self.expected()
        return Outcome(self.kind, self.subject, answer, expected, measured, detail)

    def _parts(self, cgroup: KernelDirectory) -> tuple[Answer, int]:
        """Return the last answer (PARTIAL where an earlier part was done) and the bytes asked for."""
        asked, answer = 0, Answer.DONE
        suffix = "" if self.swappiness is None else f" swappiness={self.swappiness}"
        while asked < self.bytes_:
            if self.stop():
                return (Answer.PARTIAL if asked else Answer.REFUSED), asked
            part = min(self.part_bytes, self.bytes_ - asked)
            answer = cgroup.write("memory.reclaim", f"{part}{suffix}")
            if answer is Answer.PARTIAL:  # it took what it could of this part, too
                return answer, asked + part
            if answer not in (Answer.DONE, Answer.PLANNED):
                return (Answer.PARTIAL if asked else answer), asked
            asked += part
        return answer, asked
