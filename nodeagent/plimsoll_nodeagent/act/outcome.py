"""What an action is and what came of it: the expected effect, the answer, the measured effect.

In: nothing. Out: the types that every action shares. An action is frozen: it names its container (or NUMA
node) and amounts, all decided elsewhere; `run` does it through the door and measures. The kernel says "done"
for many things that it did not do (PAGEOUT without swap, reclaim of a busy cgroup): only `measured` counts.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from enum import StrEnum
from typing import Protocol

from plimsoll_nodeagent.kernelfs import Answer, KernelFs


class ActionKind(StrEnum):
    """Everything the agent can do."""

    RECLAIM = "reclaim"
    COLD = "cold"
    PAGEOUT = "pageout"
    WILLNEED = "willneed"
    COLLAPSE = "collapse"
    HIGH_LEASE = "high-lease"
    COMPACT = "compact"
    MOVE = "move"
    BIND = "bind"


@dataclass(frozen=True, slots=True)
class Effect:
    """Differences an action makes, after minus before; None: not known, or not touched by this action.

    `usage_bytes` is memory.current's, `swap_bytes` memory.swap.current's; `reclaimed_bytes` is what tasks
    reclaimed from the cgroup meanwhile, `proactive_bytes` what was asked for in memory.reclaim (Linux 6.15
    counts it apart), both by the kernel's own counters; `resident_bytes`, `huge_bytes` and
    `referenced_bytes` are of the process' ranges; `moved_bytes` came to the NUMA node that was asked for;
    `free_blocks` are free blocks of the order of a huge page.
    """

    usage_bytes: int | None = None
    swap_bytes: int | None = None
    reclaimed_bytes: int | None = None
    proactive_bytes: int | None = None
    anon_bytes: int | None = None
    file_bytes: int | None = None
    resident_bytes: int | None = None
    swapped_bytes: int | None = None
    referenced_bytes: int | None = None
    huge_bytes: int | None = None
    moved_bytes: int | None = None
    free_blocks: int | None = None

    def known(self) -> dict[str, int]:
        """Return the fields that are known, for a report."""
        return {name: value for name, value in asdict(self).items() if value is not None}


@dataclass(frozen=True, slots=True)
class Outcome:
    """One action, done or not."""

    kind: ActionKind
    subject: str
    """The container's id, `numa_node 1` or `scheme 0`."""
    answer: Answer
    expected: Effect
    measured: Effect | None
    """None where nothing was done or it could not be measured."""
    detail: str = ""
    took_seconds: float = 0.0

    @property
    def acted(self) -> bool:
        """Whether the kernel may have changed something."""
        return self.answer.acted

    def as_dict(self) -> dict[str, object]:
        """Return plain values, for a report."""
        measured = None if self.measured is None else self.measured.known()
        plain = {"kind": self.kind.value, "subject": self.subject, "answer": self.answer.value}
        return plain | {
            "expected": self.expected.known(),
            "measured": measured,
            "detail": self.detail,
            "took_seconds": self.took_seconds,
        }


class Action(Protocol):
    """Something to do, once."""

    @property
    def kind(self) -> ActionKind:
        """What it is."""

    @property
    def subject(self) -> str:
        """Whom it concerns, as in `Outcome.subject`."""

    def expected(self) -> Effect:
        """What it should change."""

    def run(self, fs: KernelFs) -> Outcome:
        """Do it and measure; never raises for what a kernel may answer."""


def difference(before: Mapping[str, int | None], after: Mapping[str, int | None]) -> Effect:
    """Return after minus before for every field of `Effect` that both know."""
    names = {each.name for each in fields(Effect)} & before.keys() & after.keys()
    pairs = {name: (before[name], after[name]) for name in names}
    return Effect(**{name: b - a for name, (a, b) in pairs.items() if a is not None and b is not None})
