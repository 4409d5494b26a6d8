"""A cluster's kube nodes and pods, as what may be moved where.

In: a cluster that is only read, a `now`. Out: the core's `NodeLoads` and `Residents`, names, and where the
scheduler would let each pod go. Pods without a history count with their requests. A pod may be moved if its
owner makes another one, nothing about it is in doubt (`parse.needs`), and every disruption budget that it
falls under has room; of the pods of one budget no more than it has room for.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from pydantic import ValidationError

from plimsoll.api.selector import LabelSelector
from plimsoll.pipeline import PipelineSettings
from plimsoll.placement.fit import NodeLoads, empty_nodes, put
from plimsoll.placement.lanes import LANES, Loads, loads_of
from plimsoll.placement.relief import Residents
from plimsoll_cli.advice.cluster import subjects_in_cluster, with_kept_history
from plimsoll_cli.advice.judge import Advice, advise
from plimsoll_cli.cluster import Body, Cluster, ForbiddenError, MissingError
from plimsoll_cli.failure import CommandError
from plimsoll_cli.progress import progress
from plimsoll_operator import parse
from plimsoll_operator.actuate.evict import RECREATING
from plimsoll_operator.parse.needs import DoubtError, Needs, anti_affinity, needs_of
from plimsoll_operator.place.kube_nodes import BoolArray, KubeNodes, Requested
from plimsoll_operator.place.sums import constant_bytes, gathered
from plimsoll_operator.records import PodRecord

BUDGETS = "/apis/policy/v1/poddisruptionbudgets"


@dataclass(slots=True)
class Fleet:
    """What is on the nodes, and what may be moved."""

    nodes: KubeNodes
    loads: NodeLoads
    residents: Residents
    names: tuple[str, ...]  # of pods, namespace/name
    unseen: int  # pods that count with their requests
    _needs: Sequence[Needs | None] = field(repr=False)
    _requested: Requested = field(repr=False)
    _pods: Sequence[PodRecord] = field(repr=False)
    _apart: Sequence[Sequence[LabelSelector]] = field(repr=False)  # no such pod may be on the same node

    def allowed(self, pod: int) -> BoolArray:
        """[N] nodes that the scheduler would let a pod go to."""
        needs = self._needs[pod]
        if needs is None:
            return np.zeros(len(self.nodes), dtype=np.bool_)
        mask = self.nodes.allowed(needs, self._requested)
        mask[self.residents.places[self._kept_apart(pod)]] = False
        return mask

    def _kept_apart(self, pod: int) -> list[int]:
        """Pods (rows) whose nodes are closed to this one by its required anti-affinity."""
        selectors, namespace = self._apart[pod], self._pods[pod].namespace
        if not selectors:
            return []
        near = (row for row, each in enumerate(self._pods) if row != pod and each.namespace == namespace)
        return [row for row in near if any(each.matches(dict(self._pods[row].labels)) for each in selectors)]


def fleet_on_nodes(cluster: Cluster, now_seconds: float) -> Fleet:
    """Read nodes, pods, profiles and disruption budgets; raises `CommandError` where there are none."""
    nodes = KubeNodes(parse.kube_node(each) for each in cluster.items("/api/v1/nodes"))
    if not len(nodes):
        raise CommandError("the cluster has no kube nodes")
    bodies = cluster.items("/api/v1/pods")
    found = [(parse.pod(each), each) for each in bodies]
    placed = [(pod, body) for pod, body in found if pod.live and pod.kube_node in nodes.place]
    if not placed:
        raise CommandError("no pod runs on a kube node")
    subjects = with_kept_history(cluster, None, subjects_in_cluster(cluster, None, ""))
    with progress("asking what they will use") as report:
        advice = advise(subjects, PipelineSettings(), now_seconds, report)
    loads, unseen = _loads([pod for pod, _ in placed], advice)
    needs = [_needs(body) for _, body in placed]
    places = np.array([nodes.place[pod.kube_node] for pod, _ in placed], dtype=np.intp)
    return Fleet(
        nodes,
        _sums(nodes, places, loads),
        Residents(loads, places, _importance(placed), _movable(cluster, placed, needs, loads)),
        tuple(f"{pod.namespace}/{pod.name}" for pod, _ in placed),
        unseen,
        needs,
        _requested(nodes, places, [pod for pod, _ in placed]),
        [pod for pod, _ in placed],
        [
            anti_affinity(body) if each is not None else ()
            for (_, body), each in zip(placed, needs, strict=True)
        ],
    )


def _loads(pods: Sequence[PodRecord], advice: Sequence[Advice]) -> tuple[Loads, int]:
    """Of each pod; containers that were never seen use what they request."""
    rows: dict[tuple[str, str, str], int] = {}
    for row, each in enumerate(advice):
        key = each.subject.key
        rows |= {(key.workload.namespace, pod, key.container): row for pod in each.subject.pods}
    hourly = np.array([each.seen.hourly_bytes[:-1] for each in advice], dtype=np.float64)
    hourly = np.vstack([hourly.reshape(len(advice), -1), np.full((1, *hourly.shape[1:]), np.nan)])
    nobody = len(advice)
    of: list[int] = []
    found: list[int] = []
    constant: list[float] = []
    for place, pod in enumerate(pods):
        for container in pod.containers:
            of.append(place)
            found.append(rows.get((pod.namespace, pod.name, container.spec.name), nobody))
            constant.append(constant_bytes(container))
    # A profile has one series for all pods: it does not tell how much they deviate together.
    loads, whole = gathered(loads_of(hourly, np.arange(len(hourly))).take(found), constant, of, len(pods))
    return loads, len(set(of)) - int(whole.sum())


def _sums(nodes: KubeNodes, places: "np.typing.NDArray[np.intp]", loads: Loads) -> NodeLoads:
    sums = empty_nodes(nodes.capacity_bytes, LANES)
    put(sums, loads, places)
    return sums


def _requested(
    nodes: KubeNodes, places: "np.typing.NDArray[np.intp]", pods: Sequence[PodRecord]
) -> Requested:
    found = nodes.nothing()
    for place, pod in zip(places.tolist(), pods, strict=True):
        found.add(place, pod.requested_bytes, pod.requested_cpu_millis)
    return found


def _needs(body: Body) -> Needs | None:
    try:
        return needs_of(body, {})
    except DoubtError:
        return None


def _importance(placed: Iterable[tuple[PodRecord, Body]]) -> "np.typing.NDArray[np.int64]":
    """The priority that the pod's PriorityClass gave it."""
    priorities = [(body.get("spec") or {}).get("priority") for _, body in placed]
    return np.array([each if isinstance(each, int) else 0 for each in priorities], dtype=np.int64)


def _movable(
    cluster: Cluster,
    placed: Sequence[tuple[PodRecord, Body]],
    needs: Sequence[Needs | None],
    loads: Loads,
) -> BoolArray:
    kinds = RECREATING - {"DaemonSet"}
    movable = np.array(
        [
            pod.owner is not None and pod.owner.kind in kinds and not pod.mirror and need is not None
            for (pod, _), need in zip(placed, needs, strict=True)
        ]
    )
    for matching, room in _budgets(cluster, [pod for pod, _ in placed]):
        mine = np.array([each for each in matching if movable[each]], dtype=np.intp)
        smallest_first = mine[np.argsort(loads.mean_bytes[mine].max(axis=1), kind="stable")]
        movable[smallest_first[room:]] = False
    return movable


def _budgets(cluster: Cluster, pods: Sequence[PodRecord]) -> Iterable[tuple[list[int], int]]:
    """The pods (rows) that each disruption budget is about, and how many of them may go now."""
    by_namespace: dict[str, list[int]] = defaultdict(list)
    for row, pod in enumerate(pods):
        by_namespace[pod.namespace].append(row)
    try:
        bodies = cluster.items(BUDGETS)
    except (MissingError, ForbiddenError):
        yield list(range(len(pods))), 0  # what is not known allows nothing
        return
    for body in bodies:
        meta, spec, status = (body.get(each) or {} for each in ("metadata", "spec", "status"))
        rows = by_namespace.get(str(meta.get("namespace")), [])
        yield [row for row in rows if _matches(spec, dict(pods[row].labels))], _room(status)


def _matches(spec: Mapping[str, object], labels: Mapping[str, str]) -> bool:
    try:
        return LabelSelector.model_validate(spec.get("selector") or {}).matches(labels)
    except ValidationError:
        return True  # a selector that cannot be read may mean this pod


def _room(status: Mapping[str, object]) -> int:
    room = status.get("disruptionsAllowed")
    return max(0, room) if isinstance(room, int) else 0
