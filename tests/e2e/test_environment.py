"""The cluster itself is a real one: nodes, names, pods, and a resize that reaches the kernel."""

import pytest

from builders.e2e.kernel import container_memory
from builders.e2e.kubelets import differing, given_to_kubelets
from builders.e2e.patience import wait_for
from builders.e2e.workloads import CONTAINER, MIB, deployment, pod_now, restarts, running_pod


def test_nodes_are_ready_with_cgroup_v2_and_pressure(cluster):
    ready = {
        each["metadata"]["name"]: condition["status"]
        for each in cluster.items("nodes")
        for condition in each["status"]["conditions"]
        if condition["type"] == "Ready"
    }
    assert {name: ready[name] for name in cluster.nodes} == dict.fromkeys(cluster.nodes, "True")
    for kube_node in cluster.nodes:
        assert "memory" in cluster.node_shell(kube_node, "cat /sys/fs/cgroup/cgroup.controllers").split()
        assert cluster.node_shell(kube_node, "cat /proc/pressure/memory").startswith("some ")


def test_kubelets_have_what_users_are_given(cluster):
    given = given_to_kubelets(cluster)
    if not given:
        pytest.skip(f"kubelets of {cluster.provider} are not configured by us")
    for kube_node, patches in given.items():
        kubelet = cluster.kubelet_configuration(kube_node)
        assert [differing(kubelet, each) for each in patches] == [{}] * len(patches), kube_node


def test_vm_nodes_have_swap_damon_and_two_numa_nodes(cluster):
    if cluster.provider != "vm":
        pytest.skip(f"what the nodes' kernel has is the provider's: {cluster.provider}")
    for kube_node in cluster.nodes:
        assert "zram0" in cluster.node_shell(kube_node, "cat /proc/swaps")
        # On a cluster that was kept an acting agent has one.
        kdamonds = cluster.node_shell(kube_node, "cat /sys/kernel/mm/damon/admin/kdamonds/nr_kdamonds")
        assert kdamonds.strip().isdigit()
        numa_nodes = cluster.node_shell(kube_node, "cat /sys/devices/system/node/online")
        assert numa_nodes.strip() == "0-1"


def test_names_of_services_resolve_in_pods(cluster, namespace):
    cluster.apply(deployment(cluster, namespace, "asks", mib=4, limit="64Mi", request="16Mi"))
    pod = running_pod(cluster, namespace, "asks")
    ask = "import socket; print(socket.gethostbyname('kubernetes.default'))"
    address = cluster.kube(
        "-n", namespace, "exec", pod["metadata"]["name"], "--", "python3", "-c", ask
    ).strip()
    assert address == cluster.get("service", "kubernetes", "-n", "default")["spec"]["clusterIP"]


def test_resize_in_place_reaches_the_kernel(cluster, namespace):
    cluster.apply(deployment(cluster, namespace, "grows", mib=24, limit="64Mi", request="32Mi"))
    pod = running_pod(cluster, namespace, "grows")
    assert container_memory(cluster, pod, CONTAINER).max_bytes == 64 * MIB

    patch = '{"spec":{"containers":[{"name":"app","resources":{"limits":{"memory":"96Mi"}}}]}}'
    name = pod["metadata"]["name"]
    cluster.kube(
        "-n", namespace, "patch", "pod", name, "--subresource=resize", "--type=strategic", "-p", patch
    )

    wait_for(lambda: container_memory(cluster, pod, CONTAINER).max_bytes == 96 * MIB, "memory.max of 96 MiB")
    assert restarts(pod_now(cluster, pod)) == 0
