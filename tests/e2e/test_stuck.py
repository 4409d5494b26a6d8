"""Resizes that the kubelet cannot make: said in the profile, taken back, or moved by an eviction."""

import json

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


def test_an_infeasible_resize_is_said_and_taken_back(cluster, release, namespace):
    # A kubelet with the static memory manager resizes no Guaranteed pod, and says so only when asked.
    static = next(name for name, manager in cluster.memory_managers().items() if manager == "Static")
    cluster.apply(policy(namespace, "bound", "bound"), guaranteed(cluster, namespace, "bound", static))
    (pod,) = running_pods(cluster, namespace, "bound")
    hold(cluster, pod, 62)

    told = lambda: "ResizeTakenBack" in reasons(cluster, namespace)  # noqa: E731
    wait_for(told, "an event that says so", 150)
    wait_for(lambda: limit_asked(cluster, pod) == 64 * MIB, "the resize to be taken back", 60)
    held = lambda: told_by(cluster, release, "plimsoll_held_containers", "reason")  # noqa: E731
    wait_for(lambda: "StaticMemoryManager" in held(), "the operator to have learnt why", 90)
    now = pod_now(cluster, pod)
    assert now["status"]["qosClass"] == "Guaranteed"
    assert memory_max(cluster, pod) == 64 * MIB
    assert restarts(now) == 0


def test_a_deferred_resize_is_moved_by_an_eviction_that_honours_the_budget(cluster, release, namespace):
    pods = raised_by_us(cluster, namespace, "moves", MODE, 2)
    budget = {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": {"name": "moves", "namespace": namespace},
        "spec": {"minAvailable": 2, "selector": {"matchLabels": {"app": "moves"}}},
    }
    cluster.apply(budget)
    stuck, uids = pods[0], {each["metadata"]["uid"] for each in pods}
    request = fills_node(cluster, stuck["spec"]["nodeName"])
    ask(cluster, stuck, request=request, limit=request)  # the node has that much, but not free

    wait_for(
        lambda: resizing(cluster, namespace, "deployment-moves") == "Deferred", "Deferred to be said", 90
    )
    refused = lambda: "budget" in told_by(cluster, release, "plimsoll_evictions_total", "outcome")  # noqa: E731
    wait_for(refused, "an eviction that the budget refuses", 120)
    assert {each["metadata"]["uid"] for each in live_pods(cluster, namespace, "moves")} == uids

    budget["spec"] = {"minAvailable": 1, "selector": budget["spec"]["selector"]}
    cluster.apply(budget)
    moved = lambda: {each["metadata"]["uid"] for each in live_pods(cluster, namespace, "moves")} - uids  # noqa: E731
    wait_for(moved, "another pod in its place", 120)
    now = running_pods(cluster, namespace, "moves")
    assert pods[1]["metadata"]["uid"] in {each["metadata"]["uid"] for each in now}


def raised_by_us(cluster, namespace: str, name: str, mode: str, replicas: int):
    """Pods that were raised in place, so that a resize of theirs is ours to follow."""
    cluster.apply(
        policy(namespace, name, name, mode),
        deployment(
            cluster,
            namespace,
            name,
            mib=24,
            limit="64Mi",
            request="32Mi",
            mib_per_minute=120,
            replicas=replicas,
        ),
    )
    pods = running_pods(cluster, namespace, name)
    for pod in pods:
        hold(cluster, pod, 62)
    for pod in pods:
        wait_for(lambda at=pod: memory_max(cluster, at) > 64 * MIB, "a raise", 150)
    return pods


def ask(cluster, pod, request: str, limit: str) -> None:
    """Ask the kubelet for other values, as a person may."""
    memory = {"requests": {"memory": request}, "limits": {"memory": limit}}
    patch = {"spec": {"containers": [{"name": CONTAINER, "resources": memory}]}}
    where = ("-n", pod["metadata"]["namespace"], "patch", "pod", pod["metadata"]["name"])
    cluster.kube(*where, "--subresource=resize", "--type=strategic", "-p", json.dumps(patch))


def fills_node(cluster, kube_node: str) -> str:
    """A request that the node could hold if nothing else were on it."""
    allocatable = cluster.get("node", kube_node)["status"]["allocatable"]["memory"]
    return f"{parse_quantity(allocatable) // MIB - 16}Mi"


def memory_max(cluster, pod) -> int:
    """What the kernel enforces."""
    return container_memory(cluster, pod_now(cluster, pod), CONTAINER).max_bytes or 0


def limit_asked(cluster, pod) -> int:
    """What its spec asks for."""
    return parse_quantity(pod_now(cluster, pod)["spec"]["containers"][0]["resources"]["limits"]["memory"])


def reasons(cluster, namespace: str) -> set[str]:
    """Reasons of the namespace's events."""
    return {each["reason"] for each in cluster.items("events.events.k8s.io", "-n", namespace)}


def resizing(cluster, namespace: str, name: str) -> str:
    """Reason of the profile's condition Resizing; "" where there is none."""
    conditions = profile_of(cluster, namespace, name).get("status", {}).get("conditions", [])
    return next((each["reason"] for each in conditions if each["type"] == "Resizing"), "")


def told_by(cluster, release, metric: str, label: str) -> set[str]:
    """Values of a label that the operators' metric has, where it is above zero."""
    found = set()
    for pod in release.pods("operator"):
        where = f"/api/v1/namespaces/{release.namespace}/pods/{pod['metadata']['name']}:8080/proxy/metrics"
        for line in cluster.kube("get", "--raw", where).splitlines():
            if line.startswith(f"{metric}{{") and float(line.rpartition(" ")[2]) > 0:
                found.add(line.partition(f'{label}="')[2].partition('"')[0])
    return found
