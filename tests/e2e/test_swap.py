"""A node with swap for Burstable pods and memory QoS: what the kubelet makes of a container there, by the
kernel's files, and which resizes it refuses.

In: a node with LimitedSwap that takes only pods that ask for it. kind/cluster.yaml has one; for VM nodes a
third machine is started that lives as long as the test; on a cluster of somebody's own it is skipped. What is
expected follows from what that node's kubelet says of its configuration.
"""

import math
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from builders.e2e.kernel import container_memory
from builders.e2e.kubelets import differing, patch_of
from builders.e2e.patience import wait_for
from builders.e2e.workloads import CONTAINER, MIB, deployment, pod_now, resized, restarts, running_pod

PAGE = 4096
NUMBER = 3
REQUEST_BYTES, LIMIT_BYTES = 32 * MIB, 64 * MIB


def refusal(cluster, pod) -> str:
    """Why the kubelet will never do what was asked for; "" where it says nothing of the kind."""
    conditions = pod_now(cluster, pod)["status"].get("conditions", [])
    pending = (each for each in conditions if each["type"] == "PodResizePending")
    return next((each["message"] for each in pending if each.get("reason") == "Infeasible"), "")


def high_bytes(factor: float, request_bytes: int, limit_bytes: int) -> int:
    """memory.high as the kubelet computes it: whole pages."""
    wanted = request_bytes + (limit_bytes - request_bytes) * factor
    return math.floor(wanted / PAGE) * PAGE


def swap_share_bytes(cluster, kube_node: str) -> float:
    """What a container may swap: the share of the node's swap that its request is of the node's memory."""
    lines = cluster.node_shell(kube_node, "cat /proc/meminfo").splitlines()
    kib = {name: int(rest.split()[0]) for name, _, rest in (line.partition(":") for line in lines)}
    return REQUEST_BYTES * kib["SwapTotal"] / kib["MemTotal"]


@contextmanager
def node_with_swap(cluster) -> Iterator[str]:
    """A node whose kubelet has LimitedSwap, for the block."""
    if cluster.provider == "kubeconfig":
        pytest.skip("how the kubelets of somebody's own cluster are configured is not ours to say")
    swapping = cluster.kube_nodes_with(
        lambda each: each.get("memorySwap", {}).get("swapBehavior") == "LimitedSwap"
    )
    if swapping:
        yield swapping[0]
    elif cluster.provider == "vm":
        with cluster.another_node(NUMBER, "swap", "swap-node.yaml", NODE_MB="1024") as kube_node:
            yield kube_node
    else:
        pytest.skip(f"this kind was made without its worker with swap: {cluster.nodes}")


@pytest.mark.disruptive
def test_swap_and_memory_qos_reach_the_kernel_and_a_request_cannot_change_there(cluster, namespace):
    with node_with_swap(cluster) as kube_node:
        kubelet = cluster.kubelet_configuration(kube_node)
        assert differing(kubelet, patch_of("swap")) == {}
        factor = kubelet["memoryThrottlingFactor"]
        tiered = kubelet.get("memoryReservationPolicy") == "TieredReservation"
        low_bytes = REQUEST_BYTES if tiered else 0

        there = cluster.standing_on(kube_node)
        assert [each["key"] for each in there["tolerations"]] == ["plimsoll.dev/swap"]
        cluster.apply(deployment(cluster, namespace, "swaps", mib=16, limit="64Mi", request="32Mi", **there))
        pod = running_pod(cluster, namespace, "swaps")
        assert pod["spec"]["nodeName"] == kube_node

        seen = container_memory(cluster, pod, CONTAINER)
        assert seen.max_bytes == LIMIT_BYTES
        assert seen.high_bytes == high_bytes(factor, REQUEST_BYTES, LIMIT_BYTES), seen.text
        assert seen.low_bytes == low_bytes, seen.text
        assert seen.swap_max_bytes == pytest.approx(swap_share_bytes(cluster, kube_node), abs=PAGE), seen.text

        # A limit alone may change, and memory.high follows it.
        resized(cluster, pod, limits="96Mi")
        wait_for(
            lambda: container_memory(cluster, pod, CONTAINER).max_bytes == 96 * MIB,
            "memory.max of 96 MiB",
            120,
        )
        now = container_memory(cluster, pod, CONTAINER)
        assert now.high_bytes == high_bytes(factor, REQUEST_BYTES, 96 * MIB), now.text

        # A request may not: swap would have to be shared anew.
        resized(cluster, pod, requests="48Mi")
        said = wait_for(lambda: refusal(cluster, pod), "the kubelet's refusal of another request", 120)
        assert "swap" in said
        assert container_memory(cluster, pod, CONTAINER).low_bytes == low_bytes
        assert restarts(pod_now(cluster, pod)) == 0
