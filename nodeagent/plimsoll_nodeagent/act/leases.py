"""memory.high as a lease: lowered for some seconds, put back when they are over, at exit, or after a kill -9.

In: a container, bytes, seconds, and the time of a clock that never jumps (passed in). Out: `Outcome`s.
memory.high throttles instead of killing, but who forgets it there starves the container; so the record is on
disk before the write, every lease has an end, and what another wrote meanwhile (kubelet's MemoryQoS) stays.
memory.max is never written, neither here nor anywhere.
"""

from collections.abc import Callable
from dataclasses import dataclass

from plimsoll_nodeagent.act.container import opened, usage_changed, usage_now
from plimsoll_nodeagent.act.journal import Journal, Record
from plimsoll_nodeagent.act.outcome import ActionKind, Effect, Outcome
from plimsoll_nodeagent.act.put_back import put_back
from plimsoll_nodeagent.discover.tracker import Container
from plimsoll_nodeagent.kernelfs import Absence, Answer, KernelDirectory, KernelFs
from plimsoll_nodeagent.kernelfs.process import PAGE_BYTES

KIND = "memory.high"
LONGEST_SECONDS = 60.0  # a lease is renewed by who still wants it
NO_BOUND = "max"


@dataclass(frozen=True, slots=True)
class _Held:
    record: Record
    container: Container
    granted_seconds: float
    ends_seconds: float


class Leases:
    """Leases that are held; at most one for a container."""

    def __init__(self, fs: KernelFs, journal: Journal, boot_id: str) -> None:
        self._fs = fs
        self._journal = journal
        self._boot_id = boot_id
        self._held: dict[tuple[int, str], _Held] = {}

    def __len__(self) -> int:
        return len(self._held)

    def grant(self, container: Container, high_bytes: int, seconds: float, now_seconds: float) -> Outcome:
        """Lower memory.high to `high_bytes` for at most `LONGEST_SECONDS`; refused if that would raise it."""
        return self._granted(container, lambda _: high_bytes, seconds, now_seconds)

    def take(self, container: Container, amount_bytes: int, seconds: float, now_seconds: float) -> Outcome:
        """Have so much reclaimed by a lease, from what is used now, and end it; `seconds`: should that fail.

        The kernel reclaims before the write returns. Held for longer, whatever the container grows by would
        be taken besides, with nobody who asked for it.
        """

        def below(usage_bytes: int | None) -> int | None:
            return None if usage_bytes is None else max(0, usage_bytes - amount_bytes)

        outcome = self._granted(container, below, seconds, now_seconds)
        if outcome.acted:
            self.end(container)
        return outcome

    def _granted(
        self,
        container: Container,
        bound_by: Callable[[int | None], int | None],
        seconds: float,
        now_seconds: float,
    ) -> Outcome:
        """A lease of what `bound_by` makes of the container's usage now (None: unknown, and then none)."""
        expected = Effect(usage_bytes=None)
        with opened(self._fs, container) as cgroup:
            if isinstance(cgroup, Answer):
                return self._outcome(container, cgroup, expected)
            before = self._bound_before(container, cgroup)
            usage = usage_now(cgroup)
            high_bytes = bound_by(usage["usage_bytes"])
            if high_bytes is None:
                return self._outcome(container, Answer.REFUSED, expected, detail="its usage is not known")
            if before is None or (before != NO_BOUND and int(before) <= high_bytes):
                return self._outcome(container, Answer.REFUSED, expected, detail=f"memory.high is {before}")
            if usage["usage_bytes"] is not None:
                expected = Effect(usage_bytes=min(0, high_bytes - usage["usage_bytes"]))
            try:
                record = self._keep(container, before, high_bytes)
            except OSError as error:
                return self._outcome(container, Answer.REFUSED, expected, detail=f"no journal: {error}")
            answer = cgroup.write("memory.high", str(high_bytes))
            if answer is not Answer.DONE:
                self._forget(container, record)
                return self._outcome(container, answer, expected)
            ends = now_seconds + min(seconds, LONGEST_SECONDS)
            self._held[container.key] = _Held(record, container, now_seconds, ends)
            return self._outcome(container, answer, expected, usage_changed(usage, cgroup))

    def expire(self, now_seconds: float) -> list[Outcome]:
        """End the leases whose time is over, and all that a clock which went back would prolong."""
        over = [
            each
            for each in self._held.values()
            if not each.granted_seconds <= now_seconds < each.ends_seconds
        ]
        return [self._end(each) for each in over]

    def end(self, container: Container) -> Outcome | None:
        """End a container's lease now; None where it has none."""
        held = self._held.get(container.key)
        return None if held is None else self._end(held)

    def held(self) -> list[Container]:
        """Return the containers that have a lease."""
        return [each.container for each in self._held.values()]

    def end_all(self) -> list[Outcome]:
        """End every lease, as at exit."""
        return [self._end(each) for each in list(self._held.values())]

    def _bound_before(self, container: Container, cgroup: KernelDirectory) -> str | None:
        """What stood there before any lease of ours; None where it cannot be read."""
        if (held := self._held.get(container.key)) is not None:
            return held.record.before
        text = cgroup.read("memory.high")
        if isinstance(text, Absence):
            return None
        bound = text.strip()
        return bound if bound == NO_BOUND or bound.isdecimal() else None

    def _keep(self, container: Container, before: str, high_bytes: int) -> Record:
        subject: dict[str, str | int] = {
            "path": container.path,
            "inode": container.cgroup_inode,
            "container_id": container.container_id,
        }
        name = f"high-{container.cgroup_inode}-{container.container_id[:13]}"
        held = self._held.get(container.key)
        # Whichever of the two stands after a crash between record and write is ours.
        earlier = () if held is None else held.record.wrote[-1:]
        record = Record(name, KIND, self._boot_id, subject, before, (*earlier, str(high_bytes)))
        self._journal.put(record)
        return record

    def _forget(self, container: Container, record: Record) -> None:
        """A write failed: what is on disk is again what is set."""
        held = self._held.get(container.key)
        if held is None:
            self._journal.drop(record.name)
        else:
            self._journal.put(held.record)

    def _end(self, held: _Held) -> Outcome:
        answer = undo(self._fs, held.record)
        if answer in (Answer.DONE, Answer.GONE, Answer.REFUSED):
            self._held.pop(held.container.key, None)
            self._journal.drop(held.record.name)
        return self._outcome(held.container, answer, Effect(), detail="lease ended")

    def _outcome(
        self,
        container: Container,
        answer: Answer,
        expected: Effect,
        measured: Effect | None = None,
        detail: str = "",
    ) -> Outcome:
        return Outcome(ActionKind.HIGH_LEASE, container.container_id, answer, expected, measured, detail)


def undo(fs: KernelFs, record: Record) -> Answer:
    """Put memory.high back; REFUSED where another has written it meanwhile, GONE with its cgroup."""

    def ours(stands: str) -> bool:
        return stands.strip() in map(_rounded, record.wrote)

    return put_back(fs, record, "memory.high", ours, record.before)


def _rounded(bound: str) -> str:
    """The kernel keeps whole pages."""
    return bound if bound == NO_BOUND else str(int(bound) // PAGE_BYTES * PAGE_BYTES)
