"""What if these pods ran on kube nodes of such a size: how many would do, and how likely is one short?

In: what pods used hour by hour and what they request by each of several hands, a node's size, a bound. Out: a
`WhatIf`: nodes by requests (their sum, and kube-scheduler's filter, which `replay.kube_scheduler` models),
nodes by forecast at the bound, chances on a given number of nodes, weeks ahead. Pods that every node runs (of
DaemonSets) are taken off each node's room first.

Everything by forecast is an estimate of the coming day from the pods' own past; `judge` and
`rehearsal` tell how the last days would have been told.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

from plimsoll.placement.capacity import Outlook, outlook
from plimsoll.placement.choose import DEFAULT_BOUND, Places, own_need_bytes
from plimsoll.placement.guard import LoadJudge
from plimsoll.placement.lanes import FloatArray, loads_of
from plimsoll.placement.sizing import (
    MOST_PODS,
    Rehearsal,
    Sizing,
    on_nodes,
    planned,
    rehearsed,
    sizing_of,
)
from plimsoll.placement.stack import TooLargeError
from plimsoll.placement.together import KinArray
from plimsoll.replay.kube_scheduler import NOWHERE, KubeScheduler
from plimsoll.replay.limits import BatchFacts, ObservedBin
from plimsoll.replay.peers.vpa import Vpa
from plimsoll.usage.sample import BINS_PER_HOUR

SEED = 7  # of the order in which pods come to the scheduler
STEPS = 32  # nodes are added by such a part of them, then by twice as many; what is too many is halved


class NoRoomError(ValueError):
    """What every node runs leaves nothing for pods."""


class PodTooLargeError(ValueError):
    """A pod (its row) that no node can take at the bound."""

    def __init__(self, pod: int, need_bytes: float, room_bytes: float) -> None:
        super().__init__(f"pod {pod} alone needs {need_bytes:.0f} bytes, a node has {room_bytes:.0f} for it")
        self.pod, self.need_bytes, self.room_bytes = pod, need_bytes, room_bytes


@dataclass(frozen=True, slots=True)
class Pods:
    """n pods, and m that run on every node."""

    hourly_bytes: FloatArray  # [n, hours] maxima, oldest first, last the hour just over; NaN: not seen
    request_bytes: Mapping[str, FloatArray]  # [n] by whose hand
    every_node_hourly_bytes: FloatArray  # [m, hours]
    every_node_request_bytes: Mapping[str, FloatArray]  # [m]
    kin: KinArray | None = None  # [n] one number for all replicas of a workload; None: there are none


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked."""

    node_bytes: float  # what pods may use on a node
    bound: float = DEFAULT_BOUND
    nodes: int | None = None  # so many are there
    weeks: int = 4
    judge_by: str = ""  # whose requests the forecasts are held against


@dataclass(frozen=True, slots=True)
class ByRequests:
    """Nodes that one hand's requests ask for."""

    hand: str
    request_bytes: float  # of all pods
    least_nodes: int  # by their sum
    on_nodes: Sizing | None  # as kube-scheduler fills them, what forecasts say of them; None: a pod fits none
    too_large: int | None = None  # row of that pod


@dataclass(frozen=True, slots=True)
class WhatIf:
    """The answers."""

    by_requests: tuple[ByRequests, ...]
    every_node_bytes: float  # need at the bound of what each node runs anyway
    packed: Sizing  # by forecast at the bound
    given: Sizing | None  # on as many nodes as were asked about
    judge: LoadJudge = field(repr=False)  # of how the last days would have been told
    rehearsal: Rehearsal
    outlook: Outlook = field(default_factory=Outlook)


def what_if(pods: Pods, question: Question) -> WhatIf:
    """Answer. Raises PodTooLargeError, TooFewError, NoRoomError, and ValueError where the bound is none."""
    running = loads_of(pods.every_node_hourly_bytes).total() if len(pods.every_node_hourly_bytes) else None
    everywhere = 0.0 if running is None else float(own_need_bytes(running, question.bound)[0])
    room = question.node_bytes - everywhere
    if room <= 0:
        raise NoRoomError("what every node runs (DaemonSets) needs all that a node has")
    requests = pods.request_bytes.get(question.judge_by, np.zeros(len(pods.hourly_bytes)))
    try:
        loads, packed, judge = planned(pods.hourly_bytes, requests, room, question.bound, pods.kin)
    except TooLargeError as error:
        alone = loads_of(pods.hourly_bytes[[error.pod]])
        need = float(own_need_bytes(alone, question.bound)[0])
        raise PodTooLargeError(error.pod, need, room) from error

    def sized(places: Places) -> Sizing:
        return sizing_of(loads, places, int(places.max(initial=-1)) + 1, room, question.bound)

    given = None
    if question.nodes is not None:
        given = on_nodes(loads, question.nodes, room, question.bound, packed)
    return WhatIf(
        by_requests=tuple(_by_requests(hand, pods, question, sized) for hand in pods.request_bytes),
        every_node_bytes=everywhere,
        packed=packed,
        given=given,
        judge=judge,
        rehearsal=rehearsed(pods.hourly_bytes, requests, room, question.bound, pods.kin),
        outlook=outlook(pods.hourly_bytes, question.weeks, packed.filled_nodes),
    )


def vpa_requests(hourly_bytes: FloatArray) -> FloatArray:
    """[n] what VPA would request after hourly maxima [n, hours]; NaN where nothing was seen.

    It looks at daily peaks, which hourly maxima have as well as five-minute ones.
    """
    n, hours = hourly_bytes.shape
    vpa = Vpa()
    vpa.start(BatchFacts(n, 0, BINS_PER_HOUR, 1))
    unlimited, no = np.full(n, np.inf), np.zeros(n, dtype=np.bool_)
    for hour in range(hours):
        vpa.observe(ObservedBin(hour * BINS_PER_HOUR, hourly_bytes[:, hour], unlimited, no))
    target = vpa.decide(hours * BINS_PER_HOUR, np.full(n, np.nan)).limit_bytes
    return np.where(np.isfinite(hourly_bytes).any(axis=1), target, np.nan)


def places_by_scheduler(
    request_bytes: FloatArray, capacity_bytes: float, most_pods: int = MOST_PODS
) -> Places:
    """[n] a node for each pod: the fewest on which kube-scheduler finds room for all, in one random order.

    No pod may request more than a node has.
    """
    nodes = max(math.ceil(request_bytes.sum() / capacity_bytes), -(-len(request_bytes) // most_pods))
    short, step = nodes - 1, max(nodes // STEPS, 1)
    while (found := _placed(request_bytes, nodes, capacity_bytes)) is None:
        short, nodes, step = nodes, nodes + step, 2 * step
    while nodes - short > 1:
        middle = (short + nodes) // 2
        fewer = _placed(request_bytes, middle, capacity_bytes)
        if fewer is None:
            short = middle
        else:
            nodes, found = middle, fewer
    return found


def _placed(request_bytes: FloatArray, nodes: int, capacity_bytes: float) -> Places | None:
    rng = np.random.default_rng(SEED)
    scheduler = KubeScheduler(np.full(nodes, capacity_bytes), rng)
    places = np.zeros(len(request_bytes), dtype=np.intp)
    for pod in rng.permutation(len(request_bytes)).tolist():
        places[pod] = scheduler.place(float(request_bytes[pod]))
        if places[pod] == NOWHERE:
            return None
    return places


def _by_requests(hand: str, pods: Pods, question: Question, sized: Callable[[Places], Sizing]) -> ByRequests:
    requests = pods.request_bytes[hand]
    total = float(requests.sum())
    room = question.node_bytes - float(pods.every_node_request_bytes[hand].sum())
    if room <= 0 or requests.max(initial=0.0) > room:
        least = math.ceil(total / room) if room > 0 else 0
        return ByRequests(hand, total, least, None, int(np.argmax(requests)))
    return ByRequests(hand, total, math.ceil(total / room), sized(places_by_scheduler(requests, room)))
