"""Every kind of workload: a container that climbs is raised in place, whatever made its pod."""

import pytest

from builders.e2e.cluster import Manifest
from builders.e2e.kernel import container_memory
from builders.e2e.patience import wait_for
from builders.e2e.workloads import (
    CONTAINER,
    MIB,
    container,
    controller,
    deployment,
    guaranteed,
    hold,
    live_pods,
    pod_now,
    policy,
    template,
)

KINDS = ("StatefulSet", "DaemonSet", "Job", "CronJob", "Pod")


@pytest.mark.parametrize("kind", KINDS)
def test_a_climb_is_raised_in_place(cluster, release, namespace, kind):
    one = container(cluster, mib=24, limit="64Mi", request="32Mi", mib_per_minute=120)
    cluster.apply(everything(namespace), workload(kind, namespace, template("climbs", one)))
    pod = one_running(cluster, namespace, "climbs")

    hold(cluster, pod, 62)

    wait_raised(cluster, pod, CONTAINER)
    assert_whole(cluster, pod)


def test_each_container_of_a_pod_has_its_own_limit(cluster, release, namespace):
    names = ("busy", "calm")
    both = [
        container(cluster, mib=24, limit="64Mi", request="32Mi", mib_per_minute=120, name=name)
        for name in names
    ]
    cluster.apply(everything(namespace), controller("Deployment", namespace, "two", template("two", *both)))
    pod = one_running(cluster, namespace, "two")

    hold(cluster, pod, 62, "busy")

    wait_raised(cluster, pod, "busy")
    assert container_memory(cluster, pod, "calm").max_bytes == 64 * MIB
    assert_whole(cluster, pod)


def test_a_native_sidecar_is_raised_too(cluster, release, namespace):
    sidecar = container(cluster, mib=24, limit="64Mi", request="32Mi", mib_per_minute=120, name="proxy")
    sidecar["restartPolicy"] = "Always"
    cluster.apply(
        everything(namespace),
        deployment(
            cluster, namespace, "served", mib=24, limit="64Mi", request="32Mi", initContainers=[sidecar]
        ),
    )
    pod = one_running(cluster, namespace, "served")

    hold(cluster, pod, 62, "proxy")

    wait_raised(cluster, pod, "proxy")
    assert container_memory(cluster, pod, CONTAINER).max_bytes == 64 * MIB
    assert_whole(cluster, pod)


def test_guaranteed_stays_guaranteed(cluster, release, namespace):
    free = cluster.kube_node_with("None")
    cluster.apply(everything(namespace), guaranteed(cluster, namespace, "even", free))
    pod = one_running(cluster, namespace, "even")
    assert pod["status"]["qosClass"] == "Guaranteed"

    hold(cluster, pod, 62)

    wait_raised(cluster, pod, CONTAINER)
    now = pod_now(cluster, pod)
    resources = now["spec"]["containers"][0]["resources"]
    assert resources["requests"]["memory"] == resources["limits"]["memory"]
    assert now["status"]["qosClass"] == "Guaranteed"
    assert_whole(cluster, pod)


def everything(namespace: str) -> Manifest:
    """A policy for every pod of the namespace."""
    return policy(namespace, "everything", "", selector={})


def workload(kind: str, namespace: str, pod: Manifest) -> Manifest:
    """A workload of that kind that makes one pod here (a DaemonSet: one a node)."""
    metadata = {"name": "climbs", "namespace": namespace}
    once = {**pod, "spec": {**pod["spec"], "restartPolicy": "Never"}}
    job = {"template": once, "backoffLimit": 0}
    made = {
        "Job": {"apiVersion": "batch/v1", "kind": "Job", "metadata": metadata, "spec": job},
        "CronJob": {
            "apiVersion": "batch/v1",
            "kind": "CronJob",
            "metadata": metadata,
            "spec": {
                "schedule": "* * * * *",
                "concurrencyPolicy": "Forbid",
                "jobTemplate": {"spec": job},
            },
        },
        "Pod": {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {**metadata, **pod["metadata"]},
            "spec": pod["spec"],
        },
    }
    if kind == "StatefulSet":
        return controller(kind, namespace, "climbs", pod, serviceName="climbs")
    return made.get(kind) or controller(kind, namespace, "climbs", pod)


def one_running(cluster, namespace: str, name: str) -> Manifest:
    """A pod of it that is ready."""

    def ready() -> list[Manifest]:
        return [
            pod
            for pod in live_pods(cluster, namespace, name)
            if pod["status"].get("containerStatuses") and all(s["ready"] for s in statuses(pod))
        ]

    return wait_for(ready, f"a running pod of {name}", 170)[0]


def statuses(pod: Manifest) -> list[Manifest]:
    """Of its containers and its native sidecars."""
    return pod["status"]["containerStatuses"] + pod["status"].get("initContainerStatuses", [])


def wait_raised(cluster, pod: Manifest, name: str) -> None:
    """Wait until the container is raised, and holds what it was told."""

    def raised() -> bool:
        now = container_memory(cluster, pod, name)
        assert now.oom_kills == 0, now.text
        return now.max_bytes > 64 * MIB and now.current_bytes >= 60 * MIB

    wait_for(raised, f"a raise of container {name}", 150)


def assert_whole(cluster, pod: Manifest) -> None:
    """Nothing in the pod was started again."""
    assert [each["restartCount"] for each in statuses(pod_now(cluster, pod))] == [0] * len(statuses(pod))
