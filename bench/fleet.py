"""A made-up cluster of any size: Deployments with pods of two containers, months of history, present use.

In: a number of containers and a seed. Out: Kubernetes objects as the API server would hold them after months
(pods of the usual size, profiles with checkpoints), and samples of use. Histories are drawn from `SHAPES`
seeded shapes, so that 100,000 checkpoints cost the making of 512; every container still has its own row.
"""

import base64
import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from plimsoll.api.quantity import format_quantity
from plimsoll.pipeline import LimitPipeline
from plimsoll.usage.history import History
from plimsoll.usage.sample import BIN_SECONDS, HOUR_SECONDS, Quantity

Manifest = dict[str, Any]
SHAPES = 512
HISTORY_HOURS = 672
DAY_BINS = 288
NAMESPACES = 50
NEW_EVERY = 20  # one workload in so many was just rolled out with the limits that people wrote
PODS_PER_KUBE_NODE = 100
CONTAINERS = ("app", "sidecar")
STARTED = "2026-11-01T00:00:00Z"
# What a pod of a real cluster carries beside its memory: environment, mounts, field ownership.
ENVIRONMENT = [{"name": f"SETTING_{index}", "value": "x" * 24} for index in range(12)]
MOUNTS = [{"name": f"volume-{index}", "mountPath": f"/var/lib/data/{index}"} for index in range(4)]
FIELDS = {f"f:field-{index}": {".": {}, "f:name": {}, "f:value": {}} for index in range(40)}


@dataclass(frozen=True)
class Fleet:
    """The cluster: `containers` in pods of two, `replicas` pods to a Deployment."""

    containers: int
    seed: int = 7
    replicas: int = 1
    now_seconds: float = 1_800_000_000.0

    @property
    def pods(self) -> int:
        """Number of pods."""
        return self.containers // len(CONTAINERS)

    @property
    def workloads(self) -> int:
        """Number of Deployments."""
        return max(1, self.pods // self.replicas)

    @cached_property
    def base_bytes(self) -> npt.NDArray[np.float64]:
        """Ordinary use of each shape, [SHAPES]: log-normal around 256 MiB."""
        rng = np.random.default_rng(self.seed)
        return np.maximum(rng.lognormal(np.log(256 * 2**20), 1.0, SHAPES), 16 * 2**20)

    def shape(self, workload: int, container: int) -> int:
        """Which shape a container of a workload has."""
        return (workload * len(CONTAINERS) + container) * 7919 % SHAPES

    def amounts(self, workload: int, container: int) -> tuple[int, int]:
        """Request and limit in force, bytes: Plimsoll's own, but in workloads that were just rolled out."""
        shape = self.shape(workload, container)
        if workload % NEW_EVERY:
            return int(self._recommended[0][shape]), int(self._recommended[1][shape])
        limit = int(self.base_bytes[shape] * (1.6 + (workload * 31 + container) % 24 / 10)) // 2**20 * 2**20
        return limit // 2, limit

    @cached_property
    def _recommended(self) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        """Request and limit of each shape as the pipeline recommends them, [SHAPES] each, whole MiB."""
        history = self._history
        made = LimitPipeline(history).decide(np.arange(SHAPES, dtype=np.int32), self.now_seconds)
        limit = np.ceil(made.target_bytes / 2**20) * 2**20
        return np.minimum(np.ceil(made.request_bytes / 2**20) * 2**20, limit), limit

    @cached_property
    def checkpoints(self) -> list[str]:
        """Base64 checkpoints of four weeks of history that end now, one a shape."""
        return [base64.b64encode(self._history.checkpoint(row)).decode() for row in range(SHAPES)]

    @cached_property
    def _history(self) -> History:
        rng = np.random.default_rng([self.seed, 1])
        history = History(Quantity.WORKING_SET, capacity=SHAPES)
        rows = history.add_rows(SHAPES)
        phase = rng.uniform(0, 2 * np.pi, SHAPES)
        for seconds in _past(self.now_seconds):
            day = 1 + 0.25 * np.sin(2 * np.pi * seconds / 86_400 + phase)
            use = self.base_bytes * day * rng.lognormal(0.0, 0.08, SHAPES)
            history.advance(seconds)
            history.append(rows, np.full(SHAPES, seconds), use, seconds)
        history.advance(self.now_seconds)
        return history

    def use_bytes(self, rng: np.random.Generator) -> npt.NDArray[np.float64]:
        """Present use of every container, [pods, 2]."""
        workloads = np.arange(self.pods) // self.replicas
        shapes = np.stack([(workloads * len(CONTAINERS) + each) * 7919 % SHAPES for each in (0, 1)], axis=1)
        return self.base_bytes[shapes] * rng.lognormal(0.0, 0.08, shapes.shape)

    def names(self, pod: int) -> tuple[str, str]:
        """Namespace and name of a pod."""
        workload = pod // self.replicas
        return namespace_of(workload), f"{replica_set_of(workload)}-{pod:05x}"

    def objects(self) -> Iterator[tuple[tuple[str, str], Manifest]]:
        """Everything the API server holds, as (group, plural) and the object."""
        for index in range(self.pods // PODS_PER_KUBE_NODE + 1):
            yield ("", "nodes"), _kube_node(f"kube-node-{index:04d}")
        for workload in range(self.workloads):
            yield ("apps", "deployments"), self._deployment(workload)
            yield ("apps", "replicasets"), self._replica_set(workload)
            yield ("plimsoll.dev", "memoryprofiles"), self._profile(workload)
        for pod in range(self.pods):
            yield ("", "pods"), self._pod(pod)

    def _deployment(self, workload: int) -> Manifest:
        meta = _meta("Deployment", workload, name_of(workload))
        spec = {"replicas": self.replicas, "selector": {"matchLabels": {"app": name_of(workload)}}}
        template = {
            "metadata": {"labels": meta["labels"]},
            "spec": {"containers": self._containers(workload)},
        }
        return {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": meta,
            "spec": {**spec, "template": template},
        }

    def _replica_set(self, workload: int) -> Manifest:
        meta = _meta("ReplicaSet", workload, replica_set_of(workload))
        meta["ownerReferences"] = [_owner("Deployment", name_of(workload), workload)]
        return {**self._deployment(workload), "kind": "ReplicaSet", "metadata": meta}

    def _profile(self, workload: int) -> Manifest:
        # The operator that ran until now wrote each within the last half hour.
        written = datetime.fromtimestamp(self.now_seconds - workload * 7919 % 1800, UTC)
        updated = written.strftime("%Y-%m-%dT%H:%M:%SZ")
        known = {
            "mode": "InPlace",
            "originalResources": {"request": "256Mi", "limit": "4Gi"},
            "lastDecision": {"kind": "keep", "reason": "WithinBand", "message": "", "time": updated},
        }
        containers = [
            {
                "name": name,
                "checkpoint": self.checkpoints[self.shape(workload, index)],
                **known,
            }
            for index, name in enumerate(CONTAINERS)
        ]
        target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": name_of(workload)}
        return {
            "apiVersion": "plimsoll.dev/v1alpha1",
            "kind": "MemoryProfile",
            "metadata": _meta("MemoryProfile", workload, f"deployment-{name_of(workload)}"),
            "spec": {"targetRef": target, "restore": False},
            "status": {"mode": "InPlace", "updatedTime": updated, "containers": containers},
        }

    def pod_manifest(self, pod: int) -> Manifest:
        """A pod as its ReplicaSet makes it, before it runs anywhere."""
        workload = pod // self.replicas
        namespace, name = self.names(pod)
        return {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {
                **_meta("Pod", pod, name),
                "namespace": namespace,
                "labels": {"app": name_of(workload), "pod-template-hash": "6d4cf56db6"},
                "ownerReferences": [_owner("ReplicaSet", replica_set_of(workload), workload)],
            },
            "spec": {
                "containers": self._containers(workload),
                "nodeName": f"kube-node-{pod // PODS_PER_KUBE_NODE:04d}",
                "serviceAccountName": "default",
                "volumes": [{"name": mount["name"], "emptyDir": {}} for mount in MOUNTS],
            },
        }

    def _pod(self, pod: int) -> Manifest:
        made = self.pod_manifest(pod)
        made["metadata"]["managedFields"] = [
            {"manager": each, "operation": "Update", "fieldsType": "FieldsV1", "fieldsV1": FIELDS}
            for each in ("kube-controller-manager", "kubelet")
        ]
        made["status"] = running_status(made)
        return made

    def _containers(self, workload: int) -> list[Manifest]:
        return [
            {
                "name": name,
                "image": "registry.invalid/app:1",
                "env": ENVIRONMENT,
                "volumeMounts": MOUNTS,
                "resources": self._resources(workload, index),
            }
            for index, name in enumerate(CONTAINERS)
        ]

    def _resources(self, workload: int, container: int) -> Manifest:
        request, limit = self.amounts(workload, container)
        return {
            "requests": {"cpu": "100m", "memory": format_quantity(request)},
            "limits": {"memory": format_quantity(limit)},
        }


def running_status(pod: Manifest) -> Manifest:
    """What a kubelet says of a pod that runs as its spec asks."""
    statuses = [
        {
            "name": each["name"],
            "image": each["image"],
            "imageID": "registry.invalid/app@sha256:" + "0" * 64,
            "containerID": f"containerd://{pod['metadata']['uid']}-{each['name']}",
            "ready": True,
            "started": True,
            "restartCount": 0,
            "state": {"running": {"startedAt": STARTED}},
            "resources": each["resources"],
        }
        for each in pod["spec"]["containers"]
    ]
    kinds = ("PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady", "PodScheduled")
    conditions = [{"type": kind, "status": "True", "lastTransitionTime": STARTED} for kind in kinds]
    return {
        "phase": "Running",
        "qosClass": "Burstable",
        "startTime": STARTED,
        "conditions": conditions,
        "containerStatuses": statuses,
    }


def name_of(workload: int) -> str:
    """Name of a Deployment."""
    return f"w-{workload:05d}"


def replica_set_of(workload: int) -> str:
    """Name of its ReplicaSet."""
    return f"{name_of(workload)}-6d4cf56db6"


def namespace_of(workload: int) -> str:
    """Its namespace."""
    return f"bench-{workload % NAMESPACES:02d}"


def pod_metrics(fleet: Fleet, use_bytes: npt.NDArray[np.float64], timestamp: str) -> bytes:
    """The metrics API's whole answer, as metrics-server gives it: all pods, whatever limit was asked for."""
    items = []
    kibibytes = (use_bytes / 1024).astype(np.int64).tolist()
    for pod, (first, second) in enumerate(kibibytes):
        namespace, name = fleet.names(pod)
        items.append(
            f'{{"metadata":{{"name":"{name}","namespace":"{namespace}"}},"timestamp":"{timestamp}","window":"15s",'
            f'"containers":[{{"name":"app","usage":{{"cpu":"12m","memory":"{first}Ki"}}}},'
            f'{{"name":"sidecar","usage":{{"cpu":"2m","memory":"{second}Ki"}}}}]}}'
        )
    head = {"kind": "PodMetricsList", "apiVersion": "metrics.k8s.io/v1beta1", "metadata": {}}
    return (json.dumps(head)[:-1] + ',"items":[' + ",".join(items) + "]}").encode()


def _past(now_seconds: float) -> Iterator[float]:
    """Times of samples: hourly for four weeks, every five minutes in the last day."""
    for hour in range(HISTORY_HOURS - 24, 0, -1):
        yield now_seconds - 86_400 - hour * HOUR_SECONDS + HOUR_SECONDS / 2
    for bin_ in range(DAY_BINS, 0, -1):
        yield now_seconds - bin_ * BIN_SECONDS + BIN_SECONDS / 2


def _uid(kind: str, number: int) -> str:
    return f"{sum(map(ord, kind)) % 65_536:08x}-0000-4000-8000-{number:012x}"


def _meta(kind: str, number: int, name: str) -> Manifest:
    workload_labels = {"app": name_of(number)} if kind != "Pod" else {}
    return {
        "name": name,
        "namespace": namespace_of(number),
        "uid": _uid(kind, number),
        "creationTimestamp": STARTED,
        "generation": 1,
        "labels": workload_labels,
    }


def _owner(kind: str, name: str, number: int) -> Manifest:
    return {
        "apiVersion": "apps/v1",
        "kind": kind,
        "name": name,
        "uid": _uid(kind, number),
        "controller": True,
        "blockOwnerDeletion": True,
    }


def _kube_node(name: str) -> Manifest:
    amounts = {"cpu": "128", "memory": "2Ti", "pods": "250"}
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, "uid": name, "labels": {"kubernetes.io/os": "linux"}},
        "spec": {},
        "status": {
            "capacity": amounts,
            "allocatable": amounts,
            "conditions": [{"type": "Ready", "status": "True"}],
            "nodeInfo": {"kubeletVersion": "v1.37.1", "operatingSystem": "linux"},
        },
    }
