"""Who wrote what, in order: the API's own record of every accepted write.

In: each write as it is answered. Out: entries that tests and the outcome table read (API truth, not the
operator's word). Bodies are kept for the few resources whose writes are judged.
"""

from dataclasses import dataclass, field
from typing import Any

# (plural, subresource) whose bodies are kept.
_KEPT_BODIES = frozenset({("pods", "resize"), ("pods", "eviction"), ("events", "")})


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """One write."""

    sequence: int
    seconds: float  # the world's time
    verb: str
    plural: str
    subresource: str
    namespace: str
    name: str
    code: int
    user_agent: str
    version: str  # resourceVersion after the write
    body: Any = None


@dataclass(slots=True)
class Audit:
    """All writes since the start."""

    entries: list[AuditEntry] = field(default_factory=list)
    requests: int = 0

    def note(self, entry: AuditEntry) -> None:
        """Append an entry."""
        self.entries.append(entry)

    def keeps_body(self, plural: str, subresource: str) -> bool:
        """Whether the body of such a write is judged later."""
        return (plural, subresource) in _KEPT_BODIES

    def writes(self, plural: str, subresource: str = "") -> list[AuditEntry]:
        """The accepted writes to one (sub)resource."""
        return [
            e for e in self.entries if e.plural == plural and e.subresource == subresource and e.code < 300
        ]
