"""Pods that leave nodes in a replay: for a node in danger, for a pod that is held, for a start that is due.

In: a cluster as the scheduler left it, the sums of an hour, what pods may use. Out: evictions, and how many
of them were in vain: the successor came back to the node that was left, went where the bound is not kept, or
found no node. A successor is made, and placed as the webhook and the scheduler do, while the pod before it
still ends: both see its old node as full as it was. Room that was found for it is reserved meanwhile.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from plimsoll.placement.choose import Chooser
from plimsoll.placement.fit import deviate, margin
from plimsoll.placement.lanes import FloatArray, Loads
from plimsoll.placement.relief import DANGER, MOST_A_NODE, Moving, Relief, Residents, make_room
from plimsoll.placement.together import KinArray
from plimsoll.replay.kube_scheduler import NOWHERE, KubeScheduler, Places

BoolArray = npt.NDArray[np.bool_]

EVICTIONS_AN_HOUR = 30  # over the cluster: the chart's operator.settings.reliefEvictionsPerHour
ROOM_CANDIDATES = 4  # nodes that are looked at for room, those with the widest margin first


@dataclass(slots=True)
class Cluster:
    """Pods, and the nodes that the scheduler gave them."""

    scheduler: KubeScheduler
    request_bytes: FloatArray  # [P]
    places: Places  # [P]
    since_hour: npt.NDArray[np.int64]  # [P] when the pod that is there now was made
    kin: KinArray  # [P] of one number: replicas of a workload
    movable: BoolArray  # [P] somebody makes it anew, and it is not alone

    def gone(self, pod: int, place: int) -> None:
        """A pod is no longer on a node."""
        self.scheduler.remove(place, self.request_bytes[pod])


@dataclass(slots=True)
class Moved:
    """What was done."""

    evictions: int = 0
    in_vain: int = 0
    held: int = 0  # pods that waited for room, or starts that it was made for

    def add(self, other: "Moved") -> None:
        """Of one more hour."""
        self.evictions += other.evictions
        self.in_vain += other.in_vain
        self.held += other.held


class Mover:
    """Who leaves in one hour. Each pod at most once, and nobody who has not been there for an hour."""

    def __init__(
        self,
        cluster: Cluster,
        chooser: Chooser,
        loads: Loads,
        bound: float,
        hour: int,
        create: Callable[[int], None],
    ) -> None:
        """`create` places a pod anew and counts it in the chooser."""
        self._cluster, self._chooser, self._loads, self._bound = cluster, chooser, loads, bound
        self._hour, self._create, self._left = hour, create, EVICTIONS_AN_HOUR
        self._of_node = np.full(len(chooser.nodes), MOST_A_NODE)
        self.moved = Moved()

    def relieve(self) -> None:
        """As many of the loops of an hour as nodes in danger need: in each at most one pod leaves a node, and
        of a workload at most one in all.
        """
        for _ in range(MOST_A_NODE):
            moving = Moving(self._chooser.nodes, self._residents(), self._bound, self._allowed)
            for place in moving.endangered(DANGER):
                moving.relieve(place)
            first = {each.from_place: each for each in reversed(moving.found)}.values()
            alone = {int(self._cluster.kin[each.pod]): each for each in first}.values()
            may = [each for each in alone if self._of_node[each.from_place] > 0][: self._left]
            if not may:
                return
            self._evict(may)

    def make_room(self, one: Loads, feasible: BoolArray) -> int | None:
        """The node that others have left for a pod (one row); None, and nobody leaves, where none can be."""
        nodes = self._chooser.nodes
        known = np.flatnonzero(feasible & np.isfinite(self._chooser.need_bytes))
        order = np.argsort(-margin(nodes, one, known), kind="stable")[:ROOM_CANDIDATES]
        candidates = known[order].tolist()
        room = make_room(nodes, self._residents(), one, candidates, self._bound, self._allowed)
        if room is None or not room.moves or not self._may_all_go(room.moves):
            return None
        self._chooser.add(room.place, one)
        self._evict(room.moves)
        self._chooser.add(room.place, one, -1.0)
        self.moved.held += 1
        return room.place

    def _residents(self) -> Residents:
        cluster = self._cluster
        settled = cluster.movable & (cluster.since_hour < self._hour) & (cluster.places != NOWHERE)
        none = np.zeros(len(cluster.places), dtype=np.int64)
        return Residents(self._loads, cluster.places, none, settled, cluster.kin)

    def _allowed(self, pod: int) -> BoolArray:
        return self._cluster.scheduler.feasible(self._cluster.request_bytes[pod])

    def _may_all_go(self, moves: Sequence[Relief]) -> bool:
        of = np.bincount([each.from_place for each in moves], minlength=len(self._of_node))
        return len(moves) <= self._left and bool((of <= self._of_node).all())

    def _evict(self, moves: Sequence[Relief]) -> None:
        """They leave together, and their successors come."""
        cluster, loads = self._cluster, [self._loads.take([each.pod]) for each in moves]
        for each, one in zip(moves, loads, strict=True):
            self._chooser.add(each.to_place, one)
        for each, one in zip(moves, loads, strict=True):
            self._chooser.add(each.to_place, one, -1.0)
            cluster.since_hour[each.pod] = self._hour
            self._create(each.pod)
        for each, one in zip(moves, loads, strict=True):
            cluster.gone(each.pod, each.from_place)
            self._chooser.add(each.from_place, one, -1.0)
            self._of_node[each.from_place] -= 1
        for each in moves:
            if cluster.places[each.pod] == NOWHERE:  # it pends until the room of the one before it is free
                self._create(each.pod)
        self._left -= len(moves)
        self.moved.evictions += len(moves)
        self.moved.in_vain += sum(map(self._was_in_vain, moves))

    def _was_in_vain(self, move: Relief) -> bool:
        place = int(self._cluster.places[move.pod])
        if place in (NOWHERE, move.from_place):
            return True
        return bool(margin(self._chooser.nodes, among=np.array([place]))[0] < deviate(self._bound))
