"""What n pods are like on kube nodes of one size: on as few as the bound allows, or on as many as there are.

In: `Loads` of pods, a node's capacity, a bound; what the pods used, to see how wrong sums of such loads were.
Out: a `Sizing`: the place of each pod, how likely each node is short within a day, what all nodes need in
each hour. `planned` widens loads by how much more than promised sums of them varied in the last days;
`rehearsed` makes the plans of the last days and tells what became of them.

Source: `stack.pack` for the fewest; for a given number, each pod where the need then is least (longest
processing time first, Graham 1969, with the need at a bound in place of a time).
"""

from dataclasses import dataclass, replace

import numpy as np

from plimsoll.placement.choose import Places, own_need_bytes
from plimsoll.placement.fit import (
    NodeLoads,
    deviate,
    empty_nodes,
    margin,
    move,
    needed_bytes,
    put,
    short_probability,
)
from plimsoll.placement.guard import LoadJudge
from plimsoll.placement.lanes import LANES, FloatArray, Loads, loads_of
from plimsoll.placement.stack import TooLargeError, pack
from plimsoll.placement.together import KinArray

MOST_PODS = 110  # on a node: the kubelet's own default
REHEARSED_DAYS = 5  # plans for the last days, each from what was known before
LEAST_PAST_HOURS = 2 * LANES  # below it such a plan would know nothing of a day
JUDGED_DAYS = 3  # of the past in which sums are compared to what would have been said of them


class TooFewError(ValueError):
    """So few nodes take so many pods on no account."""


@dataclass(frozen=True, slots=True)
class Sizing:
    """Pods on nodes."""

    places: Places  # [n] node of each pod
    nodes: int
    filled_nodes: float  # the same, the least filled one counted by its need
    short: FloatArray  # [nodes] probability of being short at any time within the day: what a bound is on
    mean_bytes: FloatArray  # [LANES] of all nodes, in each coming hour
    need_bytes: FloatArray  # [LANES] the same at the bound

    @property
    def any_short(self) -> float:
        """Probability that any node is short; nodes are taken as independent."""
        return float(1.0 - np.prod(1.0 - self.short))

    @property
    def worst_short(self) -> float:
        """Probability that the likeliest node is; 0 where there is none."""
        return float(self.short.max(initial=0.0))


@dataclass(frozen=True, slots=True)
class Rehearsal:
    """What became of plans for days that are over."""

    days: int  # so many plans
    node_days: int
    short: int  # node-days on which a node was short at any time ...
    promised: float  # ... and how many were expected


def fewest(pods: Loads, capacity_bytes: float, bound: float, most_pods: int = MOST_PODS) -> Sizing:
    """On as few nodes as keep the bound.

    Raises TooLargeError, and ValueError where the bound is none.
    """
    places = pack(pods, capacity_bytes, bound)
    made = sizing_of(pods, places, int(places.max(initial=-1)) + 1, capacity_bytes, bound)
    if np.bincount(places, minlength=1).max() <= most_pods:
        return made
    nodes = max(made.nodes, -(-len(pods) // most_pods))
    while True:
        places = spread(pods, nodes, capacity_bytes, bound, most_pods)
        made = sizing_of(pods, places, nodes, capacity_bytes, bound)
        if made.short.max() <= bound or nodes >= len(pods):  # each fits alone
            return made
        nodes += 1


def on_nodes(pods: Loads, nodes: int, capacity_bytes: float, bound: float, packed: Sizing) -> Sizing:
    """Spread over so many nodes, or as `packed` where that leaves fewer short. Raises TooFewError."""
    places = spread(pods, nodes, capacity_bytes, bound, MOST_PODS)
    made = sizing_of(pods, places, nodes, capacity_bytes, bound)
    if packed.nodes > nodes or packed.any_short >= made.any_short:
        return made
    return sizing_of(pods, packed.places, nodes, capacity_bytes, bound)


def sizing_of(pods: Loads, places: Places, nodes: int, capacity_bytes: float, bound: float) -> Sizing:
    """What becomes of pods that are placed so on `nodes` nodes."""
    loads = empty_nodes(np.full(nodes, capacity_bytes), LANES)
    put(loads, pods, places)
    at, lanes = deviate(bound), [_lane(loads, lane) for lane in range(LANES)]
    needs = needed_bytes(loads, at) if nodes else np.zeros(0)
    least = min(float(needs.min(initial=capacity_bytes)) / capacity_bytes, 1.0)
    return Sizing(
        places=places,
        nodes=nodes,
        filled_nodes=nodes - 1 + least if nodes else 0.0,
        short=short_probability(margin(loads)),
        mean_bytes=loads.mean_bytes.sum(axis=0),
        need_bytes=np.array([float(needed_bytes(each, at).sum()) for each in lanes]),
    )


def spread(pods: Loads, nodes: int, capacity_bytes: float, bound: float, most_pods: int) -> Places:
    """[n] a node for each pod, largest first to where the need is then least. Raises TooFewError."""
    if nodes * most_pods < len(pods):
        raise TooFewError(f"{nodes} nodes take {nodes * most_pods} pods, there are {len(pods)}")
    at, sums = deviate(bound), empty_nodes(np.full(nodes, capacity_bytes), LANES)
    count, places = np.zeros(nodes, dtype=np.int64), np.zeros(len(pods), dtype=np.intp)
    for pod in np.argsort(-own_need_bytes(pods, bound), kind="stable").tolist():
        then = needed_bytes(sums, at, pods.take([pod]))
        place = int(np.argmin(np.where(count < most_pods, then, np.inf)))
        places[pod] = place
        count[place] += 1
        move(sums, place, pods.take([pod]))
    return places


def widened(pods: Loads, inflation: float, capacity_bytes: float, bound: float) -> Loads:
    """Loads whose sums vary `inflation` times as much as independent ones, equally skewed.

    A pod that would fit no node by this alone stays as it is: it does not deviate together with itself.
    """
    wide = Loads(pods.mean_bytes, pods.variance * inflation, pods.third * inflation**1.5)
    fits = (own_need_bytes(wide, bound) <= capacity_bytes)[:, None]
    shared = pods.shared
    if shared is not None:
        shared = replace(shared, variance=np.where(fits, shared.variance * inflation, shared.variance))
    return Loads(
        pods.mean_bytes,
        np.where(fits, wide.variance, pods.variance),
        np.where(fits, wide.third, pods.third),
        shared,
    )


def replicas_loads(hourly_bytes: FloatArray, kin: KinArray | None) -> Loads:
    """Loads of pods [n] of which those of one kin are told the same series: it says nothing of what they have
    in common, so what is taken of a workload of which nothing is known is taken.
    """
    if kin is None:
        return loads_of(hourly_bytes)
    loads = loads_of(hourly_bytes, np.arange(len(hourly_bytes)))
    return loads if loads.shared is None else replace(loads, shared=replace(loads.shared, kin=kin))


def judged(
    hourly_bytes: FloatArray,
    request_bytes: FloatArray,
    places: Places,
    nodes: int,
    kin: KinArray | None = None,
) -> LoadJudge:
    """How well the last days would have been told of pods [n, hours] that lay as they are placed now.

    NaN: not seen; such hours of a pod are left out of what was said and of what came.
    """
    judge, hours = LoadJudge(), hourly_bytes.shape[1]
    for day in range(min(JUDGED_DAYS, (hours - 1) // LANES), 0, -1):
        end = hours - day * LANES
        said, came = replicas_loads(hourly_bytes[:, :end], kin), hourly_bytes[:, end : end + LANES]
        judge.hindcast(said.mean_bytes, request_bytes, came, hourly_bytes[:, :end])
        both = np.isfinite(said.mean_bytes) & np.isfinite(came)
        sums = empty_nodes(np.zeros(nodes), LANES)
        put(sums, said.masked(both), places)
        came = _summed(np.where(both, came, 0.0), places, nodes)
        requested = _summed(request_bytes[:, None], places, nodes)[:, 0]
        for lane in range(LANES):
            judge.hour(sums.mean_bytes[:, lane], sums.variance[:, lane], requested, came[:, lane])
    return judge


def planned(
    hourly_bytes: FloatArray,
    request_bytes: FloatArray,
    capacity_bytes: float,
    bound: float,
    kin: KinArray | None = None,
) -> tuple[Loads, Sizing, LoadJudge]:
    """The fewest nodes for pods [n, hours] by loads as wide as sums of them were; these loads; the judge.

    `kin` [n]: one number for all replicas of a workload. Raises as `fewest`.
    """
    loads = replicas_loads(hourly_bytes, kin)
    packed = fewest(loads, capacity_bytes, bound)
    judge = judged(hourly_bytes, request_bytes, packed.places, packed.nodes, kin)
    if judge.inflation > 1.0:
        loads = widened(loads, judge.inflation, capacity_bytes, bound)
        packed = fewest(loads, capacity_bytes, bound)
    return loads, packed, judge


def rehearsed(
    hourly_bytes: FloatArray,
    request_bytes: FloatArray,
    capacity_bytes: float,
    bound: float,
    kin: KinArray | None = None,
) -> Rehearsal:
    """Plans of the last days, each made of what was known before it, against what came."""
    days = node_days = short = 0
    promised = 0.0
    for day in range(REHEARSED_DAYS, 0, -1):
        end = hourly_bytes.shape[1] - day * LANES
        there = np.isfinite(hourly_bytes[:, max(end - LANES, 0) : max(end, 0)]).any(axis=1)
        there &= np.isfinite(hourly_bytes[:, max(end, 0) :][:, :LANES]).any(axis=1)
        if end < LEAST_PAST_HOURS or not there.any():
            continue
        past, came = hourly_bytes[there, :end], hourly_bytes[there, end : end + LANES]
        try:
            kins = None if kin is None else kin[there]
            _, packed, _ = planned(past, request_bytes[there], capacity_bytes, bound, kins)
        except TooLargeError:
            continue  # there was no plan for that day
        used = _summed(np.where(np.isfinite(came), came, 0.0), packed.places, packed.nodes)
        days, node_days = days + 1, node_days + packed.nodes
        short += int((used > capacity_bytes).any(axis=1).sum())
        promised += float(packed.short.sum())
    return Rehearsal(days, node_days, short, promised)


def _lane(loads: NodeLoads, lane: int) -> NodeLoads:
    """One hour of it."""
    one = slice(lane, lane + 1)
    return NodeLoads(
        loads.capacity_bytes,
        loads.mean_bytes[:, one],
        loads.variance[:, one],
        loads.third[:, one],
        loads.inflation,
    )


def _summed(each: FloatArray, places: Places, nodes: int) -> FloatArray:
    """[nodes, ...] sums of [n, ...] by place."""
    total = np.zeros((nodes, each.shape[1]))
    np.add.at(total, places, each)
    return total
