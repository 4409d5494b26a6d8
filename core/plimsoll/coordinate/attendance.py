"""Which agents attend: a session a node, kept over broken streams, and how long each has been away.

In: hellos and ends of streams with their time. Out: the session of a node, and its presence. A newer stream
of a node replaces the older (a half-open connection looks alive for a while); an agent that was restarted has
a new epoch and starts a new session, from the number that any operator had acknowledged.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Generic, TypeVar

from plimsoll.coordinate.mailbox import Bounds
from plimsoll.coordinate.session import HelloNumbers, OperatorSession, Phase, WelcomeNumbers
from plimsoll.coordinate.versions import PROTOCOL, ProtocolVersion

Said = TypeVar("Said")
Told = TypeVar("Told")


class Presence(StrEnum):
    """What the operator may count on at a node."""

    NEVER = "never"  # no agent has ever attended: limits are moved as without agents
    PRESENT = "present"
    AWAY = "away"  # one did, and is gone: limits are lowered with more care


@dataclass(frozen=True, slots=True)
class Patience:
    """How long an absence is none, and how long a session is kept, seconds."""

    away_after_seconds: float = 15.0
    forget_after_seconds: float = 3600.0


@dataclass(slots=True)
class _Attending(Generic[Said, Told]):
    session: OperatorSession[Said, Told]
    heard_seconds: float


class Attendance(Generic[Said, Told]):
    """All nodes' sessions of one operator process."""

    def __init__(
        self,
        epoch_id: int,
        patience: Patience | None = None,
        bounds: Bounds | None = None,
        version: ProtocolVersion = PROTOCOL,
    ) -> None:
        self.epoch_id = epoch_id
        self.patience = patience or Patience()
        self._bounds, self._version = bounds, version
        self._nodes: dict[str, _Attending[Said, Told]] = {}

    def greet(
        self, kube_node: str, hello: HelloNumbers, now_seconds: float
    ) -> tuple[OperatorSession[Said, Told], WelcomeNumbers]:
        """A node's stream was opened. Raises ProtocolError where it cannot be spoken with."""
        known = self._nodes.get(kube_node)
        if known is not None and known.session.agent_epoch_id == hello.agent_epoch_id:
            session = known.session
        else:
            session = OperatorSession(kube_node, hello.agent_epoch_id, hello.acknowledged, self._bounds)
        welcome = session.resume(hello, self.epoch_id, self._version)
        self._nodes[kube_node] = _Attending(session, now_seconds)
        return session, welcome

    def heard(self, kube_node: str, now_seconds: float) -> None:
        """Something came from a node."""
        if (known := self._nodes.get(kube_node)) is not None:
            known.heard_seconds = now_seconds

    def part(self, kube_node: str, streams: int) -> bool:
        """A stream has ended; False where a newer one had replaced it."""
        known = self._nodes.get(kube_node)
        if known is None or known.session.streams != streams:
            return False
        known.session.part()
        return True

    def session(self, kube_node: str) -> OperatorSession[Said, Told] | None:
        """The session of a node, with or without a stream; None where there never was one."""
        known = self._nodes.get(kube_node)
        return None if known is None else known.session

    def silence(self) -> None:
        """Somebody else leads: what waits here to be said, or to be acknowledged, is not true any more.

        Who leads again later says what is true then; an agent that has met another leader meanwhile would
        be told all of it anew.
        """
        for each in self._nodes.values():
            each.session.outbox.clear()

    def presence(self, kube_node: str, now_seconds: float) -> Presence:
        """Whether a node's agent can be counted on now."""
        known = self._nodes.get(kube_node)
        if known is None:
            return Presence.NEVER
        silent_seconds = now_seconds - known.heard_seconds
        attends = known.session.phase is Phase.ATTENDING
        fresh = abs(silent_seconds) <= self.patience.away_after_seconds
        return Presence.PRESENT if attends and fresh else Presence.AWAY

    def count(self, now_seconds: float) -> dict[Presence, int]:
        """How many nodes have each presence."""
        found = dict.fromkeys((Presence.PRESENT, Presence.AWAY), 0)
        for kube_node in self._nodes:
            found[self.presence(kube_node, now_seconds)] += 1
        return found

    def forget(self, now_seconds: float, kube_nodes: frozenset[str]) -> None:
        """Drop sessions of nodes that are gone, or have been away for so long that nobody waits for them."""
        for name, each in list(self._nodes.items()):
            late = now_seconds - each.heard_seconds > self.patience.forget_after_seconds
            if name not in kube_nodes or (late and each.session.phase is Phase.APART):
                del self._nodes[name]
