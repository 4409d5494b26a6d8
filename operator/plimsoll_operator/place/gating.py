"""Whether a new pod may be held until room is made for it: only where somebody surely lets it go again.

In: what watches show of pods, the choice that was made, a finder of room. Out: a `Verdict` with a gate, or
none. No pod is held unless a sweeper of ours is seen ready (it lifts gates where the operator is dead), while
as many as may wait are waiting, or where nobody's policy lets room be made.
"""

from collections.abc import Iterable
from typing import Protocol

import numpy as np

from plimsoll.api.effective import Importance
from plimsoll.placement.choose import DEFAULT_BOUND
from plimsoll.placement.fit import margin, short_probability
from plimsoll.placement.lanes import Loads
from plimsoll.placement.relief import Room
from plimsoll_operator.place.affinity import Verdict
from plimsoll_operator.place.gate import GATE_SECONDS, LONGEST_SECONDS
from plimsoll_operator.place.kube_nodes import BoolArray
from plimsoll_operator.place.state import PlacementState
from plimsoll_operator.records import PodRecord

MOST_GATED = 8  # pods that wait at the same time: room is made for few, a rollout just goes on
CANDIDATES = 4  # kube nodes that are looked at for room, those with the widest margin first
SWEEPER = ("app.kubernetes.io/component", "sweeper")


class RoomFinder(Protocol):
    """Where room could be made."""

    def __call__(
        self,
        state: PlacementState,
        loads: Loads,
        places: list[int],
        importance: Importance,
        now_seconds: float,
    ) -> Room | None:
        """The place that could take a pod of these loads and importance, and who would have to go."""
        ...


class Gating:
    """What decides about gates, beside the choice of a node."""

    def __init__(self, namespace: str, find_room: RoomFinder | None = None) -> None:
        """`namespace`: where our own sweeper runs."""
        self._namespace = namespace
        self.find_room = find_room
        self._sweepers: set[str] = set()
        self._gated: set[str] = set()
        self._decided: dict[str, float] = {}  # decisions that no watch has shown yet, and when they were made

    def look(self, pods: Iterable[PodRecord]) -> None:
        """Take over a whole world; what was seen of pods that are gone is forgotten."""
        self._sweepers.clear()
        self._gated.clear()
        for pod in pods:
            self.seen(pod)

    def seen(self, pod: PodRecord) -> None:
        """A watch shows a pod."""
        if pod.placed is not None:
            self._decided.pop(pod.placed.decision, None)
        if pod.namespace == self._namespace and SWEEPER in pod.labels:
            (self._sweepers.add if pod.ready and pod.live else self._sweepers.discard)(pod.uid)
        elif pod.gate is not None and pod.live:
            self._gated.add(pod.uid)
        else:
            self._gated.discard(pod.uid)

    def decided(self, decision: str, now_seconds: float) -> None:
        """A pod will be held: it counts before a watch shows it, as a rollout asks faster than that."""
        self._decided[decision] = now_seconds

    def is_open(self, now_seconds: float) -> bool:
        """Whether one more pod may be held."""
        # What was never created counts for as long as a gate could have lasted.
        self._decided = {
            decision: when
            for decision, when in self._decided.items()
            if 0 <= now_seconds - when < LONGEST_SECONDS
        }
        return bool(self._sweepers) and len(self._gated) + len(self._decided) < MOST_GATED

    def held(
        self,
        state: PlacementState,
        loads: Loads,
        allowed: BoolArray,
        importance: Importance,
        now_seconds: float,
    ) -> Verdict | None:
        """The verdict that holds a pod, where room can be made on a node that the scheduler would allow."""
        if not self.is_open(now_seconds) or self.find_room is None or not state.settled:
            return None
        nodes, places = state.chooser.nodes, candidates(state, loads, allowed)
        room = self.find_room(state, loads, places, importance, now_seconds)
        if room is None or not room.moves:
            return None
        at = np.array([room.place])
        before = float(short_probability(margin(nodes, among=at))[0])
        name = state.nodes.records[room.place].name
        after = min(room.moves[-1].short_after, DEFAULT_BOUND)
        return Verdict((name,), before, after, "", room_until_seconds=now_seconds + GATE_SECONDS)


def candidates(state: PlacementState, loads: Loads, allowed: BoolArray) -> list[int]:
    """Kube nodes on which room may be made: of those that were heard of, the ones left with most."""
    known = np.flatnonzero(allowed & state.heard & np.isfinite(state.chooser.need_bytes))
    order = np.argsort(-margin(state.chooser.nodes, loads, known), kind="stable")[:CANDIDATES]
    return [int(each) for each in known[order]]
