"""What a moment's kube nodes can take, and the choice among them for one pod.

In: columns of kube nodes, sums of what runs on them, a pod's loads. Out: `Verdict`s. Nothing here asks the
cluster or a clock.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace

import numpy as np

from plimsoll.api.policy import NodePlacement
from plimsoll.placement.choose import DEFAULT_BOUND, Chooser, own_need_bytes
from plimsoll.placement.fit import NodeLoads, deviate, margin, with_pod
from plimsoll.placement.lanes import FloatArray, Loads
from plimsoll.placement.preference import nodes_to_score, terms_for
from plimsoll_operator.engine.messages import NodeUse
from plimsoll_operator.place.affinity import MOST_EXCLUDED, Verdict
from plimsoll_operator.place.expected import Expected
from plimsoll_operator.place.kube_nodes import BoolArray, KubeNodes, Places
from plimsoll_operator.place.others import Others
from plimsoll_operator.place.sums import Sums
from plimsoll_operator.world import World

KNOWN_SHARE = 0.9  # of a node's containers that must have given a sample for an opinion of it

Breathe = Callable[[], Awaitable[None]]


@dataclass(slots=True)
class PlacementState:
    """What one loop found, with the pods that were placed since."""

    nodes: KubeNodes
    sums: Sums
    chooser: Chooser
    trusted: bool
    why_not: str  # no opinion at all, and why; "": there may be one
    made_seconds: float
    heard: BoolArray  # [N] every container of ours on the node gave a sample lately
    settled: bool  # the engine has run long enough for more than an opinion
    others: Others  # what of each node is in use beyond all of that

    def expect(self, pod: Expected) -> None:
        """One more pod on its way to a node."""
        place = self.nodes.place.get(pod.kube_node)
        if place is None:  # it is gone: so is what was said of it
            return
        self.chooser.add(place, pod.loads)
        self.sums.requested.add(place, pod.request_bytes, pod.request_cpu_millis)


async def table_of(world: World, before: PlacementState | None, breathe: Breathe) -> KubeNodes:
    """The kube nodes in columns: those of the last loop where nothing has changed."""
    records = sorted(world.kube_nodes.values(), key=lambda each: each.name)
    if before is not None and records == before.nodes.records:
        return before.nodes
    nodes = KubeNodes(records)
    for key in before.nodes.asked if before is not None else ():
        await breathe()
        nodes.file(key)
    return nodes


def heard_of(nodes: KubeNodes, sums: Sums, use: NodeUse) -> BoolArray:
    """[N] kube nodes of whose containers each gave a sample lately."""
    return np.asarray((sums.fed > 0) & (nodes.column(use.kube_nodes, use.sampled) >= sums.fed))


def node_loads(
    nodes: KubeNodes, sums: Sums, use: NodeUse, inflation: FloatArray, others: Others
) -> NodeLoads:
    """What a chooser sees, each node with its `inflation` [N]; NaN where a node has containers of ours and
    too many of them were not sampled, or one has had loads and has none now: it would count with its request,
    as calmly as nothing ever does. NaN also where `others` are not known.
    """
    mean = sums.mean_bytes + others.bytes_[:, None]
    members, sampled = (nodes.column(use.kube_nodes, each) for each in (use.members, use.sampled))
    silent = (sampled == 0) | (sampled < KNOWN_SHARE * members)
    mean[((sums.fed > 0) & silent) | (sums.faded > 0)] = np.nan
    mean[~np.isfinite(nodes.capacity_bytes)] = np.nan
    spread = (sums.variance.copy(), sums.third.copy())
    return NodeLoads(nodes.capacity_bytes, mean, *spread, inflation, sums.together.copy())


def chosen(
    state: PlacementState, loads: Loads, allowed: BoolArray, asked: NodePlacement
) -> tuple[Verdict | None, str]:
    """The best nodes, and with Require those that must not be it."""
    if not allowed.any():
        return None, "nowhere"
    chooser, nodes = state.chooser, state.nodes
    require = asked is NodePlacement.REQUIRE
    count = terms_for(min(1.0, nodes_to_score(len(nodes)) / int(allowed.sum())))
    breaks = _breaks(chooser, loads, allowed)
    found = chooser.prefer(loads, count, allowed & ~breaks)
    if not found and not np.isfinite(chooser.need_bytes[allowed]).all():
        # The least bad of those that are known may be the worst of all.
        return None, "half-known"
    full = not found
    if full:
        # The scheduler places it somewhere all the same, and by requests alone where they are least true.
        found = chooser.prefer(loads, count, allowed)
    if not found:
        return None, "nowhere"
    names = tuple(nodes.records[each.place].name for each in found)
    verdict = Verdict(names, found[0].short_before, found[0].short_after, "")
    if full or not require:
        return verdict, "preferred-full" if require else "preferred"
    keeps = allowed & np.isfinite(chooser.need_bytes) & ~breaks
    excluded = nodes.hostnames(breaks, keeps)
    if len(excluded) > MOST_EXCLUDED:
        return verdict, "preferred-only"
    return replace(verdict, excluded=tuple(sorted(excluded))), "required"


def _breaks(chooser: Chooser, loads: Loads, allowed: BoolArray) -> BoolArray:
    """[N] nodes that would not keep the bound with the pod; those of which nothing is known are none."""
    nodes = chooser.nodes
    room = nodes.capacity_bytes - chooser.need_bytes
    judged = allowed & np.isfinite(room)
    # What a sum needs is at most what its parts need alone: most nodes are decided about without a look.
    alone = own_need_bytes(loads)[0] * np.sqrt(nodes.inflation)
    close = np.flatnonzero(judged & (room < alone))
    breaks = np.zeros(len(nodes), dtype=np.bool_)
    hopeless = room[close] < loads.mean_bytes.min()
    breaks[close[hopeless]] = True
    close = close[~hopeless]
    breaks[close] = margin(_worst_hours(nodes, loads, close)) < deviate(DEFAULT_BOUND)
    return breaks


def _worst_hours(nodes: NodeLoads, pod: Loads, among: Places) -> NodeLoads:
    """These nodes with the pod, each in its fullest hour alone: a container's spread is the same in all."""
    mean, variance, third = (each.max(axis=1, keepdims=True) for each in with_pod(nodes, pod, among))
    return NodeLoads(nodes.capacity_bytes[among], mean, variance, third, nodes.inflation[among])
