"""A change on its way through the guards: the two values, and what has cut them so far.

In: what is asked and what is in force. Out: new values with a note for each cut, so that the final decision
can say who took what away. A guard never edits a proposal in place; it returns another one.
"""

from dataclasses import dataclass, replace

MIB = 1 << 20
GIB = 1 << 30


@dataclass(frozen=True, slots=True)
class Note:
    """One guard's cut: a CamelCase reason and a clause with the numbers."""

    reason: str
    text: str


@dataclass(frozen=True, slots=True)
class Proposal:
    """Limit and request as they would be written (None: unset and staying so)."""

    limit_bytes: int | None
    request_bytes: int | None
    notes: tuple[Note, ...] = ()

    def with_limit(self, limit_bytes: int | None, reason: str, text: str) -> "Proposal":
        """The proposal with another limit and a note; itself where nothing changes."""
        if limit_bytes == self.limit_bytes:
            return self
        return replace(self, limit_bytes=limit_bytes, notes=(*self.notes, Note(reason, text)))

    def with_request(self, request_bytes: int | None, reason: str, text: str) -> "Proposal":
        """The proposal with another request and a note; itself where nothing changes."""
        if request_bytes == self.request_bytes:
            return self
        return replace(self, request_bytes=request_bytes, notes=(*self.notes, Note(reason, text)))


def whole_mebibytes(value_bytes: float) -> int:
    """`value_bytes` rounded up to whole MiB: limits a person can read, never below what was asked."""
    return -int(-value_bytes // MIB) * MIB


def say(value_bytes: float | None) -> str:
    """Bytes as a person reads them: `unset`, `96.0 MiB`, `1.25 GiB`."""
    if value_bytes is None:
        return "unset"
    if value_bytes >= GIB:
        return f"{value_bytes / GIB:.2f} GiB"
    return f"{value_bytes / MIB:.1f} MiB"
