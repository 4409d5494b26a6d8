"""Workloads whose memory the test tells, and what the API says of their pods.

In: a namespace, megabytes. Out: manifests, and questions about pods. The image's program `load` holds as
many MiB as it was started with, and goes to the number that is written into its /tmp/mib.
"""

import json
from typing import Any

from builders.e2e.cluster import Cluster, Manifest
from builders.e2e.kernel import container_memory
from builders.e2e.patience import wait_for

MIB = 2**20
TOUCHED_MIB = 1  # all of it is held; touching it ten times a second would keep an emulated node busy
CONTAINER = "app"


def container(
    cluster: Cluster,
    *,
    mib: int,
    limit: str,
    request: str,
    mib_per_minute: int = 60000,
    first_mib: int | None = None,
    name: str = CONTAINER,
) -> Manifest:
    """A container that goes from `first_mib` to `mib`, then to what it is told, at `mib_per_minute`."""
    first = mib if first_mib is None else first_mib
    return {
        "name": name,
        "image": cluster.load_image,
        "imagePullPolicy": "IfNotPresent",
        "command": ["load", str(mib), str(mib_per_minute), str(TOUCHED_MIB), str(first)],
        "resources": {"requests": {"memory": request, "cpu": "20m"}, "limits": {"memory": limit}},
    }


def template(name: str, *containers: Manifest, **pod: Any) -> Manifest:
    """A pod template with the label app=`name`."""
    spec = {"terminationGracePeriodSeconds": 1, "containers": list(containers), **pod}
    return {"metadata": {"labels": {"app": name}}, "spec": spec}


def controller(kind: str, namespace: str, name: str, pod: Manifest, **spec: Any) -> Manifest:
    """A Deployment, StatefulSet or DaemonSet of a template."""
    return {
        "apiVersion": "apps/v1",
        "kind": kind,
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"selector": {"matchLabels": {"app": name}}, "template": pod, **spec},
    }


def deployment(
    cluster: Cluster,
    namespace: str,
    name: str,
    *,
    mib: int,
    limit: str,
    request: str,
    mib_per_minute: int = 60000,
    first_mib: int | None = None,
    replicas: int = 1,
    **pod: Any,
) -> Manifest:
    """A Deployment whose pods hold `mib` each, `first_mib` of it from their start."""
    one = container(
        cluster, mib=mib, limit=limit, request=request, mib_per_minute=mib_per_minute, first_mib=first_mib
    )
    return controller("Deployment", namespace, name, template(name, one, **pod), replicas=replicas)


def guaranteed(cluster: Cluster, namespace: str, name: str, kube_node: str, replicas: int = 1) -> Manifest:
    """A Deployment whose pods are Guaranteed, hold 24 of their 64 MiB, and stand on that node."""
    one = container(cluster, mib=24, limit="64Mi", request="64Mi", mib_per_minute=120)
    # Half an emulated processor: with less the program is throttled for minutes while it touches its pages.
    one["resources"] = {key: {"memory": "64Mi", "cpu": "500m"} for key in ("requests", "limits")}
    pod = template(name, one, **cluster.standing_on(kube_node))
    return controller("Deployment", namespace, name, pod, replicas=replicas)


def policy(namespace: str, name: str, workload: str, mode: str = "InPlace", **spec: Any) -> Manifest:
    """A MemoryPolicy for one Deployment, or for a selector's pods where one is given."""
    target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": workload}
    whose = {} if "selector" in spec else {"targetRef": target}
    return {
        "apiVersion": "plimsoll.dev/v1alpha1",
        "kind": "MemoryPolicy",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {**whose, "mode": mode, **spec},
    }


def running_pod(cluster: Cluster, namespace: str, name: str) -> Manifest:
    """The one running pod of a Deployment, once its rollout is done."""
    (pod,) = running_pods(cluster, namespace, name)
    return pod


def running_pods(cluster: Cluster, namespace: str, name: str) -> list[Manifest]:
    """The pods of a Deployment, once its rollout is done."""
    cluster.kube("-n", namespace, "rollout", "status", f"deployment/{name}", "--timeout=390s")
    return live_pods(cluster, namespace, name)


def live_pods(cluster: Cluster, namespace: str, name: str) -> list[Manifest]:
    """Pods with the label app=`name` that are not being deleted."""
    pods = cluster.items("pods", "-n", namespace, "-l", f"app={name}")
    return [each for each in pods if "deletionTimestamp" not in each["metadata"]]


def pod_now(cluster: Cluster, pod: Manifest) -> Manifest:
    """The same pod as it is now."""
    return cluster.get("pod", pod["metadata"]["name"], "-n", pod["metadata"]["namespace"])


def written_by_others(cluster: Cluster, pod: Manifest) -> Manifest:
    """What of a pod the kubelet has not written: spec, marks, and who else wrote when.

    A resourceVersion tells less: the kubelet writes the status of a running pod when it pleases.
    """
    now = cluster.get(
        "pod", pod["metadata"]["name"], "-n", pod["metadata"]["namespace"], "--show-managed-fields"
    )
    meta = now["metadata"]
    return {
        "spec": now["spec"],
        "labels": meta.get("labels"),
        "annotations": meta.get("annotations"),
        "finalizers": meta.get("finalizers"),
        "writers": [each for each in meta["managedFields"] if each["manager"] != "kubelet"],
    }


def restarts(pod: Manifest) -> int:
    """How often its container was started again."""
    return int(pod["status"]["containerStatuses"][0]["restartCount"])


def hold(cluster: Cluster, pod: Manifest, mib: int, name: str = CONTAINER) -> None:
    """Tell the pod's program how much to hold."""
    where = ("-n", pod["metadata"]["namespace"], pod["metadata"]["name"], "-c", name)
    cluster.kube("exec", *where, "--", "sh", "-c", f"echo {mib} >/tmp/mib")


def resized(cluster: Cluster, pod: Manifest, **memory: str) -> None:
    """Ask for other memory of the pod's container; returns when the API server has taken it."""
    resources = {part: {"memory": amount} for part, amount in memory.items()}
    patch = {"spec": {"containers": [{"name": CONTAINER, "resources": resources}]}}
    cluster.kube(
        *("-n", pod["metadata"]["namespace"], "patch", "pod", pod["metadata"]["name"]),
        *("--subresource=resize", "--type=strategic", "-p", json.dumps(patch)),
    )


def in_pod(cluster: Cluster, pod: Manifest, command: str) -> str:
    """Output of a shell command in the workload's container."""
    metadata = pod["metadata"]
    where = ("-n", metadata["namespace"], metadata["name"], "-c", CONTAINER)
    return cluster.kube("exec", *where, "--", "sh", "-c", command)


def cache_heavy(
    cluster: Cluster, namespace: str, name: str, *, held_mib: int, cache_mib: int, limit_mib: int, **pod: Any
) -> Manifest:
    """A running pod that uses mostly file cache (/tmp/cold; /tmp/hot is 8 MiB of it).

    It is read twice, so that the kernel calls it active.
    """
    limit = f"{limit_mib}Mi"
    cluster.apply(deployment(cluster, namespace, name, mib=held_mib, limit=limit, request="48Mi", **pod))
    running = running_pod(cluster, namespace, name)
    write = "dd if=/dev/zero of=/tmp/{} bs=1048576 count={} 2>/dev/null"
    in_pod(cluster, running, f"{write.format('cold', cache_mib)} && {write.format('hot', 8)} && sync")
    in_pod(cluster, running, "for turn in 1 2; do cat /tmp/cold /tmp/hot >/dev/null; done")
    held = 0.9 * (held_mib + cache_mib) * MIB
    wait_for(
        lambda: container_memory(cluster, running, CONTAINER).current_bytes >= held, f"{name}'s cache", 90
    )
    return running


def profile_of(cluster: Cluster, namespace: str, name: str) -> Manifest:
    """A MemoryProfile, or {} while there is none."""
    found = cluster.items("memoryprofiles", "-n", namespace)
    return next((each for each in found if each["metadata"]["name"] == name), {})


def recommended(profile: Manifest) -> Manifest:
    """The recommendation for its one container, or {} while there is none."""
    containers = profile.get("status", {}).get("containers", [])
    return containers[0].get("recommendation", {}) if containers else {}
