"""Advice on a process' pages: COLD, PAGEOUT, WILLNEED and COLLAPSE through a pidfd, and what really moved.

In: a container, one of its pids, ranges of addresses. Out: an `Outcome` measured by the process' own pages.
`process_madvise` returns the full count even where nothing was reclaimed (no swap, pages shared, locked), and
WILLNEED only brings swapped pages into the swap cache; so resident and swapped pages are counted from pagemap
before and after, referenced and huge ones from smaps_rollup, and usage from the cgroup. Advice that takes
long is given in steps: told to stop, what had been asked for until then is what is expected and measured.
"""

from dataclasses import dataclass, replace

from plimsoll_nodeagent.act.container import is_member, member, opened, usage_now
from plimsoll_nodeagent.act.outcome import ActionKind, Effect, Outcome, difference
from plimsoll_nodeagent.act.steps import AT_ONCE, Stop, never, pieces
from plimsoll_nodeagent.discover.tracker import Container
from plimsoll_nodeagent.kernelfs import Absence, Advice, Answer, KernelFs, KernelProcess, Ranges
from plimsoll_nodeagent.sample.pagemap import page_counts
from plimsoll_nodeagent.sample.processes import read_rollup

_KIND = {
    Advice.COLD: ActionKind.COLD,
    Advice.PAGEOUT: ActionKind.PAGEOUT,
    Advice.WILLNEED: ActionKind.WILLNEED,
    Advice.COLLAPSE: ActionKind.COLLAPSE,
}


@dataclass(frozen=True, slots=True, eq=False)
class Advise:
    """Advise on `ranges` (uint64 (n, 2): start, length in bytes, of whole pages) of one process."""

    container: Container
    pid: int
    ranges: Ranges
    advice: Advice
    started_ticks: int | None = None
    """When the process that is meant began; a recycled pid's began at another time. None: whoever has it."""
    stop: Stop = never
    """Asked before each step."""
    step_bytes: int = AT_ONCE

    @property
    def kind(self) -> ActionKind:
        """One kind for each advice."""
        return _KIND[self.advice]

    @property
    def subject(self) -> str:
        """The container's id."""
        return self.container.container_id

    @property
    def _whole_bytes(self) -> int:
        return int(self.ranges[:, 1].sum()) if len(self.ranges) else 0

    def expected(self) -> Effect:
        """All of the ranges, if all of them were resident (or, for WILLNEED, swapped)."""
        whole = self._whole_bytes
        match self.advice:
            case Advice.COLD:
                return Effect(referenced_bytes=-whole)
            case Advice.PAGEOUT:
                return Effect(resident_bytes=-whole)
            case Advice.WILLNEED:
                return Effect(usage_bytes=whole)
            case Advice.COLLAPSE:
                return Effect(huge_bytes=whole)

    def run(self, fs: KernelFs) -> Outcome:
        """Advise, if the process is the container's, and measure."""
        with member(fs, self.container, self.pid) as process:
            if isinstance(process, Answer):
                return self._outcome(process, None, f"pid {self.pid}")
            if self.started_ticks not in (None, process.started_ticks):
                return self._outcome(Answer.GONE, None, f"pid {self.pid} is another process by now")
            before = self._now(fs, process)
            answer, asked, taken = self._steps(fs, process)
            if not answer.acted:
                return self._outcome(answer, None, f"pid {self.pid}")
            measured = difference(before, self._now(fs, process))
        until_then = replace(self, ranges=next(pieces(self.ranges, asked), self.ranges)).expected()
        said = f"pid {self.pid}: the kernel took {taken} of {self._whole_bytes} bytes"
        return Outcome(self.kind, self.subject, answer, until_then, measured, said)

    def _steps(self, fs: KernelFs, process: KernelProcess) -> tuple[Answer, int, int]:
        """How it ended, what was asked for, and what of it the kernel took; both in bytes."""
        asked = taken = 0
        answer = Answer.DONE
        for some in pieces(self.ranges, self.step_bytes):
            if self.stop() or (asked and not is_member(fs, self.container, process)):
                return (Answer.PARTIAL if taken else Answer.REFUSED), asked, taken
            asked += int(some[:, 1].sum())
            found = process.advise(some, self.advice)
            if found is Answer.PLANNED:
                answer = found
            elif isinstance(found, Answer):
                return (Answer.PARTIAL if taken else found), asked, taken
            else:
                taken += found
        return (Answer.PARTIAL if answer is Answer.DONE and taken < asked else answer), asked, taken

    def _outcome(self, answer: Answer, measured: Effect | None, detail: str) -> Outcome:
        return Outcome(self.kind, self.subject, answer, self.expected(), measured, detail)

    def _now(self, fs: KernelFs, process: KernelProcess) -> dict[str, int | None]:
        counts = page_counts(process, self.ranges)
        # It walks all pages of the process: only where nothing else tells what the advice changed.
        of_all = self.advice in (Advice.COLD, Advice.COLLAPSE)
        rollup = read_rollup(process) if of_all else Absence.UNSUPPORTED
        found: dict[str, int | None] = {}
        if not isinstance(counts, Absence):
            found |= {"resident_bytes": counts.resident_bytes, "swapped_bytes": counts.swapped_bytes}
        if not isinstance(rollup, Absence):
            found |= {"referenced_bytes": rollup.referenced_bytes, "huge_bytes": rollup.huge_bytes}
        with opened(fs, self.container) as cgroup:
            return found if isinstance(cgroup, Answer) else found | usage_now(cgroup)
