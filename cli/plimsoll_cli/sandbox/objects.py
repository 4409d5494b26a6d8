"""The Kubernetes objects of a sandbox: kube nodes, Deployments with ReplicaSets and pods, CRDs, the policy.

In: a scenario. Out: plain manifests as a person or a controller would write them, and the status a kubelet
writes.
"""

from pathlib import Path
from typing import Any

import yaml

import plimsoll_operator.crds
from plimsoll.api.quantity import format_quantity
from plimsoll_cli.sandbox.api.rules import timestamp
from plimsoll_cli.sandbox.kubelet import Container, EventKind, Resources
from plimsoll_cli.sandbox.scenario import CONTAINER, NAMESPACE, Scenario, Workload

JsonObject = dict[str, Any]
IMAGE = "registry.invalid/recorded:1"
OPERATOR_NAMESPACE = "plimsoll-system"

DEFAULT_POLICY: JsonObject = {
    "apiVersion": "plimsoll.dev/v1alpha1",
    "kind": "MemoryPolicy",
    "metadata": {"name": "everything", "namespace": NAMESPACE},
    "spec": {"selector": {}, "mode": "InPlace"},
}


def kubeconfig(url: str) -> JsonObject:
    """A kubeconfig without credentials: the sandbox asks for none."""
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "sandbox",
        "clusters": [{"name": "sandbox", "cluster": {"server": url}}],
        "users": [{"name": "sandbox", "user": {}}],
        "contexts": [{"name": "sandbox", "context": {"cluster": "sandbox", "user": "sandbox"}}],
    }


def crds() -> list[JsonObject]:
    """The CRDs that the operator ships."""
    directory = Path(plimsoll_operator.crds.__file__).parent
    return [yaml.safe_load(path.read_text()) for path in sorted(directory.glob("*.yaml"))]


def kube_nodes(scenario: Scenario) -> list[JsonObject]:
    """The kube nodes, ready, with their memory."""
    return [_kube_node(name, memory) for name, memory in scenario.allocatable_bytes.items()]


def _kube_node(name: str, memory_bytes: int) -> JsonObject:
    amounts = {"cpu": "32", "memory": format_quantity(memory_bytes), "pods": "250"}
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, "labels": {"kubernetes.io/os": "linux", "kubernetes.io/hostname": name}},
        "spec": {},
        "status": {
            "capacity": amounts,
            "allocatable": amounts,
            "conditions": [{"type": "Ready", "status": "True", "reason": "KubeletReady", "message": ""}],
            "nodeInfo": {"kubeletVersion": "v1.37.1", "operatingSystem": "linux", "architecture": "amd64"},
        },
    }


def resources_of(amounts: Resources) -> JsonObject:
    """As in a container's spec. CPU is set so that the class is Burstable whatever the memory is."""
    return {
        "requests": {"cpu": "100m", "memory": format_quantity(amounts.request_bytes)},
        "limits": {"memory": format_quantity(amounts.limit_bytes)},
    }


def _template(workload: Workload) -> JsonObject:
    labels = {"app": workload.name}
    container = {"name": CONTAINER, "image": IMAGE, "resources": resources_of(workload.first)}
    return {"metadata": {"labels": labels}, "spec": {"containers": [container]}}


def deployment(workload: Workload) -> JsonObject:
    """The workload's Deployment."""
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": workload.name, "namespace": NAMESPACE, "labels": {"app": workload.name}},
        "spec": {
            "replicas": 1,
            "selector": {"matchLabels": {"app": workload.name}},
            "template": _template(workload),
        },
    }


def replica_set(workload: Workload, owner_uid: str) -> JsonObject:
    """The ReplicaSet that the deployment controller would make."""
    template = _template(workload)
    return {
        "apiVersion": "apps/v1",
        "kind": "ReplicaSet",
        "metadata": {
            "name": workload.replica_set,
            "namespace": NAMESPACE,
            "labels": template["metadata"]["labels"],
            "ownerReferences": [_owner("Deployment", workload.name, owner_uid)],
        },
        "spec": {"replicas": 1, "selector": {"matchLabels": {"app": workload.name}}, "template": template},
    }


def pod(workload: Workload, name: str, owner_uid: str) -> JsonObject:
    """The pod that the ReplicaSet controller would make and the scheduler place."""
    template = _template(workload)
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": name,
            "namespace": NAMESPACE,
            "labels": template["metadata"]["labels"],
            "ownerReferences": [_owner("ReplicaSet", workload.replica_set, owner_uid)],
        },
        "spec": {**template["spec"], "nodeName": workload.kube_node},
    }


def _owner(kind: str, name: str, uid: str) -> JsonObject:
    return {
        "apiVersion": "apps/v1",
        "kind": kind,
        "name": name,
        "uid": uid,
        "controller": True,
        "blockOwnerDeletion": True,
    }


_RESIZE_CONDITIONS = {
    EventKind.RESIZE_REFUSED: ("PodResizeInProgress", "Error"),
    EventKind.RESIZE_DEFERRED: ("PodResizePending", "Deferred"),
    EventKind.RESIZE_INFEASIBLE: ("PodResizePending", "Infeasible"),
}


def pod_status(container: Container, message: str, now: float, generation: int) -> JsonObject:
    """What kubelet writes of a one-container pod; a resize's conditions come and go with its state."""
    ready = "True" if container.running else "False"
    conditions = [
        {"type": kind, "status": status, "lastTransitionTime": timestamp(container.started_seconds)}
        for kind, status in (("Initialized", "True"), ("Ready", ready), ("ContainersReady", ready))
    ]
    if container.desired != container.resources:
        kind, reason = _RESIZE_CONDITIONS.get(
            container.resize_state or EventKind.RESIZED, ("PodResizeInProgress", "")
        )
        condition = {"type": kind, "status": "True", "lastTransitionTime": timestamp(now)}
        conditions.append({**condition, "reason": reason, "message": message} if reason else condition)
    return {
        "phase": "Running",
        "qosClass": "Burstable",
        "observedGeneration": generation,
        "startTime": timestamp(container.started_seconds),
        "conditions": conditions,
        "containerStatuses": [_container_status(container)],
    }


def _container_status(container: Container) -> JsonObject:
    status: JsonObject = {
        "name": CONTAINER,
        "image": IMAGE,
        "imageID": "",
        "containerID": f"containerd://{container.key}-{container.restarts}",
        "ready": container.running,
        "started": container.running,
        "restartCount": container.restarts,
        "allocatedResources": resources_of(container.resources)["requests"],
        "resources": resources_of(container.resources),
        "state": {"running": {"startedAt": timestamp(container.started_seconds)}},
    }
    if container.killed_seconds is not None:
        killed = {
            "exitCode": 137,
            "reason": "OOMKilled",
            "finishedAt": timestamp(container.killed_seconds),
            "containerID": f"containerd://{container.key}-{container.restarts - container.running}",
        }
        status["lastState"] = {"terminated": killed}
        if not container.running:
            status["state"] = {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off restarting"}}
    return status
