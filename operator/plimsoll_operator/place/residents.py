"""Who is on some kube nodes, in the core's columns: whom relief may move, and where the scheduler would let
them go.

In: the placer's state, places, what is thought of each pod. Out: a `Fleet`, made anew each time it is asked
for. Who is leaving a node already (terminating, or evicted a moment ago) is taken off its sum.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from plimsoll.api.effective import Importance
from plimsoll.placement.fit import NodeLoads, copy_of, move
from plimsoll.placement.lanes import Loads
from plimsoll.placement.relief import Residents
from plimsoll_operator.membership import Group, Membership
from plimsoll_operator.place.kube_nodes import BoolArray, Places
from plimsoll_operator.place.placer import Placer
from plimsoll_operator.place.state import PlacementState
from plimsoll_operator.records import PodRecord

IMPORTANCE = tuple(Importance)  # the least important first
UNWILLING = len(IMPORTANCE)  # added where nobody consents: such a pod is named after all who may be evicted


@dataclass(frozen=True, slots=True)
class Standing:
    """What is thought of moving a pod."""

    movable: bool  # somebody makes it anew, elsewhere
    willing: bool  # and a policy lets us evict it
    importance: int


STAYS = Standing(movable=False, willing=False, importance=0)
StandingOf = Callable[[PodRecord, Group], Standing]


@dataclass(slots=True)
class Fleet:
    """Pods on some nodes."""

    pods: tuple[PodRecord, ...]
    standing: tuple[Standing, ...]
    loads: NodeLoads  # of all nodes, without who is leaving
    residents: Residents
    _placer: Placer = field(repr=False)
    _membership: Membership = field(repr=False)
    _state: PlacementState = field(repr=False)

    def allowed(self, row: int) -> BoolArray:
        """[N] nodes that the scheduler would let a pod's successor go to."""
        pod, state = self.pods[row], self._state
        group = self._membership.group_of_pod(pod.uid)
        if pod.needs is None or group is None:
            return np.zeros(len(state.nodes), dtype=np.bool_)
        needs = replace(
            pod.needs, request_bytes=pod.requested_bytes, request_cpu_millis=pod.requested_cpu_millis
        )
        mask = state.nodes.allowed(needs, state.sums.requested)
        return mask & self._placer.without(group.ref, state) if needs.apart else mask


def fleet_on(
    placer: Placer,
    membership: Membership,
    state: PlacementState,
    places: Sequence[int],
    standing_of: StandingOf,
    leaving: Callable[[PodRecord], bool],
    now_seconds: float,
) -> Fleet:
    """The pods on these places."""
    found = [(place, pod) for place in places for pod in state.sums.pods.get(place, ())]
    loads, known = placer.loads_of([pod for _, pod in found], now_seconds)
    at = np.array([place for place, _ in found], dtype=np.intp)
    goes = np.array([leaving(pod) for _, pod in found], dtype=np.bool_)
    stays = np.flatnonzero(~goes)
    pods = tuple(found[row][1] for row in stays.tolist())
    standing = tuple(_standing(pod, membership, standing_of) for pod in pods)
    residents = Residents(
        loads.take(stays),
        at[stays],
        np.array([_order(each) for each in standing], dtype=np.int64),
        np.array([each.movable for each in standing], dtype=np.bool_) & known[stays],
        _workloads(pods, membership),
    )
    left = _without(state.chooser.nodes, loads.take(np.flatnonzero(goes)), at[goes])
    return Fleet(pods, standing, left, residents, placer, membership, state)


def importance_of(name: Importance) -> int:
    """A number that grows with it."""
    return IMPORTANCE.index(name)


def _standing(pod: PodRecord, membership: Membership, standing_of: StandingOf) -> Standing:
    group = membership.group_of_pod(pod.uid)
    return STAYS if group is None or pod.needs is None else standing_of(pod, group)


def _workloads(pods: Sequence[PodRecord], membership: Membership) -> npt.NDArray[np.int64]:
    """[P] a number for each workload; pods without one have each their own."""
    numbers: dict[object, int] = {}
    groups = [membership.group_of_pod(pod.uid) for pod in pods]
    keys = [pod.uid if group is None else group.ref for pod, group in zip(pods, groups, strict=True)]
    return np.array([numbers.setdefault(each, len(numbers)) for each in keys], dtype=np.int64)


def _order(standing: Standing) -> int:
    return standing.importance + (0 if standing.willing else UNWILLING)


def _without(nodes: NodeLoads, loads: Loads, at: Places) -> NodeLoads:
    """The nodes' sums without some pods on them."""
    left = copy_of(nodes)
    for row, place in enumerate(at.tolist()):
        move(left, place, loads.take([row]), -1.0)
    return left
