"""Workloads whose memory the test tells, and what the API says of their pods.

In: a namespace, megabytes. Out: manifests, and questions about pods. The image's program `load` holds as
many MiB as it was started with, and goes to the number that is written into its /tmp/mib.
"""

from typing import Any

from builders.e2e.cluster import Cluster, Manifest

MIB = 2**20
CONTAINER = "app"


def deployment(
    cluster: Cluster,
    namespace: str,
    name: str,
    *,
    mib: int,
    limit: str,
    request: str,
    mib_per_minute: int = 60000,
    **pod: Any,
) -> Manifest:
    """A Deployment of one pod that holds `mib`."""
    container = {
        "name": CONTAINER,
        "image": cluster.load_image,
        "imagePullPolicy": "IfNotPresent",
        "command": ["load", str(mib), str(mib_per_minute)],
        "resources": {"requests": {"memory": request, "cpu": "20m"}, "limits": {"memory": limit}},
    }
    labels = {"app": name}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {
            "replicas": 1,
            "selector": {"matchLabels": labels},
            "template": {
                "metadata": {"labels": labels},
                "spec": {"terminationGracePeriodSeconds": 1, "containers": [container], **pod},
            },
        },
    }


def policy(namespace: str, name: str, workload: str, mode: str = "InPlace", **spec: Any) -> Manifest:
    """A MemoryPolicy for one Deployment."""
    target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": workload}
    return {
        "apiVersion": "plimsoll.dev/v1alpha1",
        "kind": "MemoryPolicy",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"targetRef": target, "mode": mode, **spec},
    }


def running_pod(cluster: Cluster, namespace: str, name: str) -> Manifest:
    """The one running pod of a Deployment, once its rollout is done."""
    cluster.kube("-n", namespace, "rollout", "status", f"deployment/{name}", "--timeout=150s")
    pods = cluster.items("pods", "-n", namespace, "-l", f"app={name}")
    (pod,) = [each for each in pods if "deletionTimestamp" not in each["metadata"]]
    return pod


def pod_now(cluster: Cluster, pod: Manifest) -> Manifest:
    """The same pod as it is now."""
    return cluster.get("pod", pod["metadata"]["name"], "-n", pod["metadata"]["namespace"])


def restarts(pod: Manifest) -> int:
    """How often its container was started again."""
    return int(pod["status"]["containerStatuses"][0]["restartCount"])


def hold(cluster: Cluster, pod: Manifest, mib: int) -> None:
    """Tell the pod's program how much to hold."""
    where = ("-n", pod["metadata"]["namespace"], pod["metadata"]["name"])
    cluster.kube("exec", *where, "--", "sh", "-c", f"echo {mib} >/tmp/mib")
