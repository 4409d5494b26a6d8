"""Room that is kept on kube nodes for pods to come, in the sums by which others are placed and relieved.

In: a state of the placer, who comes. Out: the state with room kept; a pod that comes takes its room over, and
is placed anew as if nothing had been kept. Names of kube nodes outlast the state, so room stays where it was.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

from plimsoll.placement.choose import DEFAULT_BOUND
from plimsoll.placement.starts import Slot, keep_room
from plimsoll.workload import WorkloadRef
from plimsoll_operator.place.coming import Coming
from plimsoll_operator.place.kube_nodes import BoolArray
from plimsoll_operator.place.state import PlacementState

Taken = tuple[Slot, int]  # and the place of the node on which room was kept for it
OpenTo = Callable[[Coming, PlacementState], BoolArray]  # [N] where the scheduler would let it go


@dataclass(slots=True)
class KeptRoom:
    """Where room is kept now."""

    _nodes: dict[str, str] = field(default_factory=dict)  # slot -> kube node
    _of: dict[WorkloadRef, list[Taken]] = field(default_factory=dict)
    unfit: tuple[Coming, ...] = ()  # those for which there is none within the bound

    def __len__(self) -> int:
        return sum(len(each) for each in self._of.values())

    def keep(self, state: PlacementState, coming: list[Coming], open_to: OpenTo) -> None:
        """Keep room in a new state."""
        by_name = {each.slot.name: each for each in coming}

        before = {
            name: state.nodes.place[node] for name, node in self._nodes.items() if node in state.nodes.place
        }
        slots = [each.slot for each in coming]
        kept = keep_room(
            state.chooser, slots, before, lambda slot: open_to(by_name[slot.name], state), DEFAULT_BOUND
        )
        self._nodes = {name: state.nodes.records[place].name for name, place in kept.places.items()}
        self.unfit = tuple(by_name[each.name] for each in kept.unfit)
        self._of = {}
        for name, place in kept.places.items():
            self._of.setdefault(by_name[name].workload, []).append((by_name[name].slot, place))

    def take(self, state: PlacementState, ref: WorkloadRef) -> Taken | None:
        """Free the room of one pod of a workload that is being placed; None where none is kept."""
        kept = self._of.get(ref)
        if not kept:
            return None
        slot, place = kept.pop(0)
        state.chooser.add(place, slot.loads, -1.0)
        return slot, place

    def give_back(self, state: PlacementState, ref: WorkloadRef, taken: Taken | None) -> None:
        """Keep it again: the pod was not placed after all."""
        if taken is not None:
            slot, place = taken
            state.chooser.add(place, slot.loads)
            self._of.setdefault(ref, []).insert(0, taken)
