"""Kubernetes objects as plain dicts, for tests that talk to an API server.

In: names and quantities. Out: new dicts every time. Status parts are what a kubelet would write, since the
real API server of the contract tests has none.
"""

from typing import Any

Manifest = dict[str, Any]
KUBE_NODE = "kube-node-a"
_NODE_INFO = (
    *("machineID", "systemUUID", "bootID", "kernelVersion", "osImage", "containerRuntimeVersion"),
    *("kubeletVersion", "kubeProxyVersion", "operatingSystem", "architecture"),
)


def kube_node(name: str = KUBE_NODE, memory: str = "16Gi") -> Manifest:
    """A Linux kube node of the version under test, as its kubelet registers it (status is written apart)."""
    amounts = {"cpu": "8", "memory": memory, "pods": "250"}
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, "labels": {"kubernetes.io/os": "linux", "kubernetes.io/hostname": name}},
        "spec": {},
        "status": {
            "capacity": amounts,
            "allocatable": amounts,
            "conditions": [{"type": "Ready", "status": "True", "reason": "KubeletReady", "message": ""}],
            "nodeInfo": dict.fromkeys(_NODE_INFO, "")
            | {"kubeletVersion": "v1.37.1", "operatingSystem": "linux"},
        },
    }


def resources(request: str, limit: str) -> Manifest:
    """Memory resources of a container; CPU is left alone."""
    return {"requests": {"memory": request}, "limits": {"memory": limit}}


def container(name: str, request: str = "64Mi", limit: str = "128Mi", **fields: Any) -> Manifest:
    """A container with memory resources and an image that is never pulled."""
    return {"name": name, "image": "registry.invalid/app:1", "resources": resources(request, limit), **fields}


def pod(name: str, *containers: Manifest, labels: dict[str, str] | None = None, **spec: Any) -> Manifest:
    """A pod already assigned to a kube node; without containers it gets one named `app`."""
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": labels or {}},
        "spec": {"nodeName": KUBE_NODE, "containers": list(containers) or [container("app")], **spec},
    }


def running(created: Manifest) -> Manifest:
    """The status body a kubelet writes once every container of `created` runs as its spec asks."""
    started = "2026-11-20T00:00:00Z"
    statuses = [
        {
            "name": each["name"],
            "image": each["image"],
            "imageID": "",
            "containerID": f"containerd://{each['name']}",
            "ready": True,
            "started": True,
            "restartCount": 0,
            "state": {"running": {"startedAt": started}},
            "resources": each.get("resources", {}),
        }
        for each in created["spec"]["containers"]
    ]
    conditions = [{"type": kind, "status": "True"} for kind in ("Initialized", "ContainersReady", "Ready")]
    return {
        "status": {
            "phase": "Running",
            "startTime": started,
            "conditions": conditions,
            "containerStatuses": statuses,
        }
    }


def resize_body(container_name: str, request: str, limit: str) -> Manifest:
    """Body of a strategic-merge patch on `pods/resize` for one container."""
    return {"spec": {"containers": [{"name": container_name, "resources": resources(request, limit)}]}}


def disruption_budget(name: str, labels: dict[str, str]) -> Manifest:
    """A PodDisruptionBudget that selects `labels`; how many may go is its status, written by the test."""
    return {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": {"name": name},
        "spec": {"minAvailable": 1, "selector": {"matchLabels": labels}},
    }


def lease(name: str, holder: str) -> Manifest:
    """A coordination Lease held by `holder`."""
    return {
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {"name": name},
        "spec": {"holderIdentity": holder, "leaseDurationSeconds": 15},
    }


def deployment(name: str, *containers: Manifest, replicas: int = 1) -> Manifest:
    """An apps/v1 Deployment labelled `app=<name>`."""
    labels = {"app": name}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "labels": labels},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": labels},
            "template": {
                "metadata": {"labels": labels},
                "spec": {"containers": list(containers) or [container("app")]},
            },
        },
    }
