"""Which nodes' agents can be counted on: by their streams, and by what they wrote before there was one.

In: sessions, each loop's world. Out: a node's presence. An operator that has just begun to lead has heard
nobody; an agent that wrote its `NodeMemory` within the hour was there all the same, and is away until it
attends, not one that never was.
"""

from plimsoll.coordinate.attendance import Attendance, Presence
from plimsoll.coordinate.messages import AgentBody, MessageError, OperatorBody
from plimsoll_operator.world import World


class Presences:
    """Of all nodes."""

    def __init__(self, attendance: Attendance[OperatorBody, AgentBody | MessageError]) -> None:
        self._attendance, self._world = attendance, World()

    def begin(self, world: World) -> None:
        """A loop of the leader begins."""
        self._world = world

    def of(self, kube_node: str, now_seconds: float) -> Presence:
        """Whether a node's agent can be counted on now."""
        presence = self._attendance.presence(kube_node, now_seconds)
        if presence is Presence.NEVER and self._wrote(kube_node, now_seconds):
            return Presence.AWAY
        return presence

    def count(self, now_seconds: float) -> dict[Presence, int]:
        """How many agents attend, and how many were there and do not."""
        found = self._attendance.count(now_seconds)
        found[Presence.AWAY] += sum(
            self._attendance.session(name) is None and self._wrote(name, now_seconds)
            for name in self._world.kube_nodes
        )
        return found

    def _wrote(self, kube_node: str, now_seconds: float) -> bool:
        """Whether an agent wrote of a node within the time that its session would be kept."""
        known = self._world.node_memories.get(kube_node)
        if known is None or known.updated_seconds is None:
            return False
        return abs(now_seconds - known.updated_seconds) <= self._attendance.patience.forget_after_seconds
