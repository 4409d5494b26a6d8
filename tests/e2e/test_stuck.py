"""Resizes that the kubelet cannot make: said in the profile, taken back, or moved by an eviction."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from builders.e2e.kernel import container_memory
from builders.e2e.patience import wait_for
from builders.e2e.workloads import (
    CONTAINER,
    MIB,
    deployment,
    guaranteed,
    hold,
    live_pods,
    pod_now,
    policy,
    profile_of,
    restarts,
    running_pods,
)
from plimsoll.api.quantity import parse_quantity

MODE = "InPlaceOrRecreate"


def test_an_infeasible_resize_is_said_and_taken_back_and_with_leave_moved(cluster, release, namespace):
    # A kubelet with the static memory manager resizes no Guaranteed pod, and says so only when asked. An
    # operator that has learnt it does not ask again: no other test may teach it before this one.
    static = cluster.kube_node_with("Static")
    pinned = guaranteed(cluster, namespace, "bound", static, replicas=2)
    cluster.apply(policy(namespace, "bound", "bound"), pinned)
    pods = running_pods(cluster, namespace, "bound")
    uids = {each["metadata"]["uid"] for each in pods}
    hold(cluster, pods[0], 62)

    told = lambda: "ResizeTakenBack" in reasons(cluster, namespace)  # noqa: E731
    wait_for(told, "an event that says so", 240)
    held = lambda: held_for(cluster, namespace, "deployment-bound")  # noqa: E731
    wait_for(lambda: held() == "StaticMemoryManager", "the profile to say why it is held", 60)
    wait_for(lambda: limit_asked(cluster, pods[0]) == 64 * MIB, "the resize to be taken back", 60)
    now = pod_now(cluster, pods[0])
    assert now["status"]["qosClass"] == "Guaranteed"
    assert memory_max(cluster, now) == 64 * MIB
    assert restarts(now) == 0
    assert {each["metadata"]["uid"] for each in live_pods(cluster, namespace, "bound")} == uids

    cluster.apply(policy(namespace, "bound", "bound", MODE))
    others = lambda: [p for p in live_pods(cluster, namespace, "bound") if p["metadata"]["uid"] not in uids]  # noqa: E731
    wait_for(others, "another pod in its place", 240)
    after = {each["metadata"]["uid"]: each for each in running_pods(cluster, namespace, "bound")}
    assert pods[1]["metadata"]["uid"] in after
    (moved,) = (each for uid, each in after.items() if uid not in uids)
    wait_for(lambda: memory_max(cluster, moved) > 64 * MIB, "the raise in the kernel", 60)
    assert pod_now(cluster, moved)["status"]["qosClass"] == "Guaranteed"


@pytest.mark.disruptive
def test_a_deferred_raise_is_moved_by_an_eviction_that_honours_the_budget(cluster, release, namespace):
    here = cluster.kube_node_with("None")
    elsewhere = [each for each in cluster.nodes if each != here]
    replicas = guaranteed(cluster, namespace, "moves", here, replicas=2)
    del replicas["spec"]["template"]["spec"]["nodeSelector"]  # they may move
    budget = {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": {"name": "moves", "namespace": namespace},
        "spec": {"minAvailable": 2, "selector": {"matchLabels": {"app": "moves"}}},
    }
    with cordoned(cluster, elsewhere):
        cluster.apply(policy(namespace, "moves", "moves", MODE), budget, replicas)
        pods = running_pods(cluster, namespace, "moves")
        fill(cluster, namespace, here)
    stuck, uids = pods[0], {each["metadata"]["uid"] for each in pods}
    before = counted(release, "plimsoll_evictions_total", "outcome").get("budget", 0.0)

    hold(cluster, stuck, 62)  # a Guaranteed pod's request rises with its limit, and the node has no room

    said = lambda: resizing(cluster, namespace, "deployment-moves")  # noqa: E731
    wait_for(lambda: said() == "Deferred", "Deferred to be said", 150)
    refused = lambda: counted(release, "plimsoll_evictions_total", "outcome").get("budget", 0.0)  # noqa: E731
    wait_for(lambda: refused() > before, "an eviction that the budget refuses", 120)
    assert {each["metadata"]["uid"] for each in live_pods(cluster, namespace, "moves")} == uids
    assert memory_max(cluster, stuck) == 64 * MIB

    budget["spec"] = {"minAvailable": 1, "selector": budget["spec"]["selector"]}
    cluster.apply(budget)
    others = lambda: [p for p in live_pods(cluster, namespace, "moves") if p["metadata"]["uid"] not in uids]  # noqa: E731
    wait_for(others, "another pod in its place", 120)
    now = {each["metadata"]["uid"]: each for each in running_pods(cluster, namespace, "moves")}
    assert pods[1]["metadata"]["uid"] in now
    (moved,) = (each for uid, each in now.items() if uid not in uids)
    assert moved["spec"]["nodeName"] in elsewhere
    # Born with the raise that the old one could not get.
    wait_for(lambda: memory_max(cluster, moved) > 64 * MIB, "the raise in the kernel", 60)
    assert memory_max(cluster, moved) == limit_asked(cluster, moved)


@contextmanager
def cordoned(cluster, kube_nodes: list[str]) -> Iterator[None]:
    """Nothing new is scheduled to these nodes meanwhile."""
    for kube_node in kube_nodes:
        cluster.kube("cordon", kube_node)
    try:
        yield
    finally:
        for kube_node in kube_nodes:
            cluster.kube("uncordon", kube_node)


def fill(cluster, namespace: str, kube_node: str) -> None:
    """A pod that asks for all but a little of what the node has left; it uses next to nothing.

    Pods that are going give back their requests when they are gone, and then there would be room.
    """
    on_node = f"--field-selector=spec.nodeName={kube_node},status.phase!=Succeeded,status.phase!=Failed"
    going = lambda: [  # noqa: E731
        pod for pod in cluster.items("pods", "-A", on_node) if "deletionTimestamp" in pod["metadata"]
    ]
    wait_for(lambda: not going(), "pods of earlier tests to be gone", 120)
    taken = sum(
        parse_quantity(each["resources"].get("requests", {}).get("memory", "0"))
        for pod in cluster.items("pods", "-A", on_node)
        for each in pod["spec"]["containers"]
    )
    allocatable = parse_quantity(cluster.get("node", kube_node)["status"]["allocatable"]["memory"])
    left = f"{(allocatable - taken) // MIB - 3}Mi"
    cluster.apply(
        deployment(
            cluster,
            namespace,
            "fills",
            mib=4,
            limit=left,
            request=left,
            **cluster.standing_on(kube_node),
        )
    )
    running_pods(cluster, namespace, "fills")


def memory_max(cluster, pod) -> int:
    """What the kernel enforces."""
    return container_memory(cluster, pod_now(cluster, pod), CONTAINER).max_bytes or 0


def limit_asked(cluster, pod) -> int:
    """What its spec asks for."""
    return parse_quantity(pod_now(cluster, pod)["spec"]["containers"][0]["resources"]["limits"]["memory"])


def reasons(cluster, namespace: str) -> set[str]:
    """Reasons of the namespace's events."""
    return {each["reason"] for each in cluster.items("events.events.k8s.io", "-n", namespace)}


def held_for(cluster, namespace: str, name: str) -> str:
    """Why the one container of a profile is held; "" where it is not."""
    containers = profile_of(cluster, namespace, name).get("status", {}).get("containers", [])
    decision = containers[0].get("lastDecision", {}) if containers else {}
    return decision.get("reason", "") if decision.get("kind") == "hold" else ""


def resizing(cluster, namespace: str, name: str) -> str:
    """Reason of the profile's condition Resizing; "" where there is none."""
    conditions = profile_of(cluster, namespace, name).get("status", {}).get("conditions", [])
    return next((each["reason"] for each in conditions if each["type"] == "Resizing"), "")


def counted(release, metric: str, label: str) -> dict[str, float]:
    """What the operators' metric says for each value of a label."""
    found: dict[str, float] = {}
    for labels, value in release.samples(metric):
        found[labels[label]] = found.get(labels[label], 0.0) + value
    return found
