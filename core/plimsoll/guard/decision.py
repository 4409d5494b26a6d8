"""A decision: a recommendation after the guards, with the reason a person reads in `kubectl describe`."""

from dataclasses import dataclass
from enum import StrEnum


class DecisionKind(StrEnum):
    """What is done with a container's limit."""

    RAISE = "raise"
    LOWER = "lower"
    KEEP = "keep"
    HOLD = "hold"  # something is missing or wrong: nothing is touched


@dataclass(frozen=True, slots=True)
class Decision:
    """One container's decision. For `keep` and `hold` the byte values are those in force (None: unset)."""

    kind: DecisionKind
    reason: str  # CamelCase word, a metric label: BelowMinChange, OOMKilled, NoHistory, ...
    message: str  # a sentence with the numbers
    limit_bytes: int | None
    request_bytes: int | None
    # A limit below this is below present use: it is written only after an agent has seen the room.
    room_below_bytes: int | None = None

    @property
    def acts(self) -> bool:
        """True where the pod's resources are to change."""
        return self.kind in (DecisionKind.RAISE, DecisionKind.LOWER)


def hold(reason: str, message: str, limit_bytes: int | None, request_bytes: int | None) -> Decision:
    """The answer to any error or missing datum: touch nothing and say why."""
    return Decision(DecisionKind.HOLD, reason, message, limit_bytes, request_bytes)
