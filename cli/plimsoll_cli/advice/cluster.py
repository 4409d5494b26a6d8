"""Subjects out of a live cluster: its pods, grouped by workload as the operator groups them.

In: a cluster that may only be read. Out: one subject a container of a workload, with the memory values in
force; what the metrics API measures now; and, where an operator runs, the history that its profiles keep.
"""

import asyncio
import base64
import binascii
import time
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from plimsoll.usage.sample import Quantity
from plimsoll.workload import ContainerKey, WorkloadRef
from plimsoll_cli.advice.subject import Subject
from plimsoll_cli.cluster import (
    PLIMSOLL_API,
    Body,
    Cluster,
    ForbiddenError,
    MissingError,
    namespaced,
)
from plimsoll_cli.failure import ClusterError
from plimsoll_operator import parse
from plimsoll_operator.actuate.api import KubernetesApi
from plimsoll_operator.membership import in_force
from plimsoll_operator.observe.backfill import ContainerPast
from plimsoll_operator.observe.metrics_api import MetricsApiSource
from plimsoll_operator.owners import LONGEST_CHAIN, OwnerResolver, Top
from plimsoll_operator.records import KubeNodeRecord, OwnerRecord, PodRecord

OwnerKey = tuple[str, str, str]


@dataclass(slots=True)
class _Found:
    """One container of a workload while its pods are gathered."""

    pods: list[str] = field(default_factory=list)
    values: list[tuple[int | None, int | None]] = field(default_factory=list)  # limit, request of each pod


def subjects_in_cluster(cluster: Cluster, namespace: str | None, selector: str) -> list[Subject]:
    """Read pods and their owners; return a subject for every container that runs, in order."""
    bodies = cluster.items(namespaced("/api/v1", "pods", namespace), selector)
    pods = [each for each in map(parse.pod, bodies) if each.live]
    tops = _tops(cluster, pods, _owners(cluster, pods, namespace))
    classes = _node_classes(cluster, tops.values())
    found: dict[ContainerKey, _Found] = defaultdict(_Found)
    for pod in pods:
        top = tops[pod.uid]
        node_class = classes.get(pod.kube_node, "") if top.kind == "DaemonSet" else ""
        for container in pod.containers:
            each = found[ContainerKey(top, container.spec.name, node_class)]
            each.pods.append(pod.name)
            each.values.append(in_force(container))
    return [_subject(key, each) for key, each in sorted(found.items())]


def measured_now(
    cluster: Cluster, namespace: str | None, subjects: Sequence[Subject], now_seconds: float
) -> list[Subject]:
    """Return the subjects with what the metrics API measures now (working sets), one sample each."""
    source = MetricsApiSource(cluster.http, namespace or "")
    fetched = source.fetch(now_seconds, frozenset({Quantity.WORKING_SET}))
    if fetched.problems:
        text = "; ".join(fetched.problems)
        raise ClusterError(f"{text} (is metrics-server installed? --prometheus URL needs no metrics API)")
    names, values = fetched.batch.names, fetched.batch.working_set_bytes.tolist()
    samples = dict(zip(names, zip(fetched.batch.seconds.tolist(), values, strict=True), strict=True))
    return [
        each.knowing(_sample(each, samples)) if each.quantity is Quantity.WORKING_SET else each
        for each in subjects
    ]


def with_kept_history(cluster: Cluster, namespace: str | None, subjects: Sequence[Subject]) -> list[Subject]:
    """Return the subjects with the history that MemoryProfiles keep; without an operator there is none."""
    try:
        bodies = cluster.items(namespaced(PLIMSOLL_API, "memoryprofiles", namespace))
    except (MissingError, ForbiddenError):
        return list(subjects)
    kept: dict[ContainerKey, tuple[Quantity, bytes]] = {}
    for body in bodies:
        record = parse.profile(body)
        ref = WorkloadRef(record.namespace, record.kind, record.target)
        quantities = _quantities(body)
        for name, text in parse.checkpoints(body).items():
            key = ContainerKey(ref, name, record.node_class)
            kept[key] = (quantities.get(name, Quantity.WORKING_SET), _decoded(text))
    return [
        replace(each, quantity=kept[each.key][0], checkpoint=kept[each.key][1]) if each.key in kept else each
        for each in subjects
    ]


def _owners(
    cluster: Cluster, pods: Iterable[PodRecord], namespace: str | None
) -> dict[OwnerKey, OwnerRecord]:
    """Read the ReplicaSets and Jobs that own pods, if any do."""
    kinds = {pod.owner.kind for pod in pods if pod.owner is not None}
    found: dict[OwnerKey, OwnerRecord] = {}
    for kind, root, plural in (
        ("ReplicaSet", "/apis/apps/v1", "replicasets"),
        ("Job", "/apis/batch/v1", "jobs"),
    ):
        bodies = cluster.items(namespaced(root, plural, namespace)) if kind in kinds else ()
        for body in bodies:
            record = parse.owned({**body, "kind": kind})  # items of a list do not name their kind
            if record is not None:
                found[kind, record.namespace, record.name] = record
    return found


def _tops(
    cluster: Cluster, pods: Sequence[PodRecord], owners: Mapping[OwnerKey, OwnerRecord]
) -> dict[str, WorkloadRef]:
    """Return each pod's workload by uid; an owner that cannot be read is the workload itself."""
    resolver = OwnerResolver()
    tops = {pod.uid: resolver.top_of(pod, owners) for pod in pods}
    for _ in range(LONGEST_CHAIN):
        unknown = [pod for pod in pods if tops[pod.uid] is None and _learnable(pod, owners)]
        if not unknown:
            break
        asyncio.run(_learn(cluster, resolver))
        tops |= {pod.uid: resolver.top_of(pod, owners) for pod in unknown}
    return {pod.uid: _ref(pod, tops[pod.uid]) for pod in pods}


def _learnable(pod: PodRecord, owners: Mapping[OwnerKey, OwnerRecord]) -> bool:
    """Return whether asking may help: an owner that is indexed and missing was deleted meanwhile."""
    owner = pod.owner
    if owner is None or owner.kind not in ("ReplicaSet", "Job"):
        return True
    return (owner.kind, pod.namespace, owner.name) in owners


async def _learn(cluster: Cluster, resolver: OwnerResolver) -> None:
    environment = {"KUBECONFIG": cluster.kubeconfig} if cluster.kubeconfig else {}
    api = await KubernetesApi.connect(cluster.context, environment)
    try:
        await resolver.learn(api, time.time())
    finally:
        await api.close()


def _ref(pod: PodRecord, top: Top | None) -> WorkloadRef:
    if top is not None:
        return top.ref
    owner = pod.owner
    return WorkloadRef(pod.namespace, owner.kind if owner else "Pod", owner.name if owner else pod.name)


def _node_classes(cluster: Cluster, tops: Iterable[WorkloadRef]) -> dict[str, str]:
    """Return the class of every kube node, where a DaemonSet makes it matter and it may be read."""
    if not any(each.kind == "DaemonSet" for each in tops):
        return {}
    try:
        bodies = cluster.items("/api/v1/nodes")
    except ForbiddenError:
        return {}
    records: list[KubeNodeRecord] = [parse.kube_node(body) for body in bodies]
    return {each.name: each.node_class for each in records}


def _subject(key: ContainerKey, found: _Found) -> Subject:
    """Return the subject; pods that differ count as their largest, one without a value as none."""
    limits, requests = ([each[which] for each in found.values] for which in (0, 1))
    return Subject(key, tuple(sorted(found.pods)), _largest(limits), _largest(requests))


def _largest(values: list[int | None]) -> int | None:
    known = [each for each in values if each is not None]
    return max(known) if known and len(known) == len(values) else None


def _sample(subject: Subject, samples: Mapping[tuple[str, str, str], tuple[float, float]]) -> ContainerPast:
    key = subject.key
    mine = [
        samples[name]
        for pod in subject.pods
        if (name := (key.workload.namespace, pod, key.container)) in samples
    ]
    columns = np.array(mine, dtype=np.float64).reshape(-1, 2)
    return ContainerPast(columns[:, 0], columns[:, 1])


def _quantities(body: Body) -> dict[str, Quantity]:
    """Return what each container's history in a profile measures."""
    containers = (body.get("status") or {}).get("containers") or ()
    return {
        str(each.get("name")): Quantity.USAGE
        for each in containers
        if (each.get("usage") or {}).get("quantity") == "usage"
    }


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return b""
