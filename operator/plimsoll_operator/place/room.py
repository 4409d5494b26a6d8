"""Room that is kept on kube nodes for pods to come, in the sums by which others are placed and relieved.

In: a state of the placer, who comes, for whom others are made to leave and where those go. Out: the state
with room kept; a pod that comes takes its room over, and is placed anew as if nothing had been kept. Names of
kube nodes outlast the state, so room stays where it was.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from plimsoll.placement.choose import DEFAULT_BOUND
from plimsoll.placement.lanes import Loads
from plimsoll.placement.starts import keep_room
from plimsoll.workload import WorkloadRef
from plimsoll_operator.place.coming import Coming
from plimsoll_operator.place.kube_nodes import BoolArray
from plimsoll_operator.place.state import PlacementState

SUCCESSOR_SECONDS = 180.0  # a successor of which nothing was seen by then has gone where it has gone

OpenTo = Callable[[Coming, PlacementState], BoolArray]  # [N] where the scheduler would let it go


@dataclass(frozen=True, slots=True)
class Taken:
    """Room of one pod to come."""

    name: str  # of its slot; of a successor the uid of the pod that left
    kube_node: str
    loads: Loads  # one row


@dataclass(slots=True)
class KeptRoom:
    """Where room is kept now."""

    unfit: tuple[Coming, ...] = ()  # those for which there is none within the bound (yet)
    _nodes: dict[str, str] = field(default_factory=dict)  # slot -> kube node
    _making: dict[str, str] = field(default_factory=dict)  # slot -> kube node that others leave for it
    # Who was made to leave, when, and where the next pod of the workload is meant to go.
    _successors: dict[str, tuple[WorkloadRef, Taken, float]] = field(default_factory=dict)
    _of: dict[WorkloadRef, list[Taken]] = field(default_factory=dict)
    _state: PlacementState | None = None  # in whose sums all this is: never in those of an older one

    def __len__(self) -> int:
        """Starts for which there is room."""
        return sum(each.name in self._nodes for kept in self._of.values() for each in kept)

    def keep(self, state: PlacementState, coming: list[Coming], open_to: OpenTo, now_seconds: float) -> None:
        """Keep room in a new state."""
        self._of, self._state = {}, state
        self._successors = {
            uid: each
            for uid, each in self._successors.items()
            if 0 <= now_seconds - each[2] <= SUCCESSOR_SECONDS and each[1].kube_node in state.nodes.place
        }
        for ref, each, _ in self._successors.values():
            self._put(ref, each)
        by_name = {each.slot.name: each for each in coming}
        kept = keep_room(
            state.chooser,
            [each.slot for each in coming],
            _places(state, self._nodes),
            lambda slot: open_to(by_name[slot.name], state),
            DEFAULT_BOUND,
            _places(state, self._making),
        )
        self._nodes, self._making = _names(state, kept.places), _names(state, kept.making)
        self.unfit = tuple(by_name[each.name] for each in kept.unfit)
        for name, kube_node in (self._nodes | self._making).items():
            found = by_name[name]
            self._of.setdefault(found.workload, []).append(Taken(name, kube_node, found.slot.loads))

    def make(self, coming: Coming, kube_node: str) -> None:
        """Others are made to leave a node for a pod to come: from now on its room is nobody else's."""
        name = coming.slot.name
        self._making[name] = kube_node
        self._put(coming.workload, Taken(name, kube_node, coming.slot.loads))

    def give_up(self, coming: Coming) -> None:
        """Nobody left for it after all."""
        kept = self._of.get(coming.workload, [])
        for each in [each for each in kept if each.name == coming.slot.name]:
            kept.remove(each)
            self._add(each, -1.0)
        self._making.pop(coming.slot.name, None)

    def making(self, state: PlacementState, coming: Coming) -> int | None:
        """The place that others leave for a pod to come."""
        return state.nodes.place.get(self._making.get(coming.slot.name, ""))

    @property
    def making_on(self) -> set[str]:
        """Kube nodes that others leave for pods to come."""
        return set(self._making.values())

    def expect_successor(self, ref: WorkloadRef, room: Taken, now_seconds: float) -> None:
        """A pod of a workload was made to leave, as there is room elsewhere for the one that comes after it:
        nobody else takes that.
        """
        self._successors[room.name] = (ref, room, now_seconds)
        self._put(ref, room)

    def came(self, ref: WorkloadRef) -> None:
        """A pod was given a node by another replica, which knows nothing of rooms for successors."""
        for each in self._of.get(ref, []):
            if each.name in self._successors:
                self._of[ref].remove(each)
                del self._successors[each.name]
                self._add(each, -1.0)
                return

    def take(self, ref: WorkloadRef) -> Taken | None:
        """Free the room of one pod of a workload that is being placed; None where none is kept."""
        kept = self._of.get(ref)
        if not kept:
            return None
        found = kept.pop(0)
        self._add(found, -1.0)
        return found

    def settle(self, ref: WorkloadRef, taken: Taken | None, *, placed: bool) -> None:
        """What becomes of it: a pod that was not placed after all finds it kept again."""
        if taken is None:
            return
        if placed:
            self._successors.pop(taken.name, None)
            return
        self._add(taken, 1.0)
        self._of.setdefault(ref, []).insert(0, taken)

    def _put(self, ref: WorkloadRef, room: Taken) -> None:
        self._add(room, 1.0)
        self._of.setdefault(ref, []).append(room)

    def _add(self, room: Taken, sign: float) -> None:
        place = self._state.nodes.place.get(room.kube_node) if self._state is not None else None
        if self._state is not None and place is not None:
            self._state.chooser.add(place, room.loads, sign)


def _places(state: PlacementState, nodes: dict[str, str]) -> dict[str, int]:
    return {name: state.nodes.place[node] for name, node in nodes.items() if node in state.nodes.place}


def _names(state: PlacementState, places: Mapping[str, int]) -> dict[str, str]:
    return {name: state.nodes.records[place].name for name, place in places.items()}
