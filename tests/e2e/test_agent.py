"""What the agent serves is what the kernel says: of a known container on every node, its kills, and the node.

The agent looks every ten seconds. Two looks after the kernel was read by us, the newest one began after that
read, so that it lies between this read and the next.
"""

import math

import pytest
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from builders.e2e.cluster import Cluster, Manifest
from builders.e2e.evidence import undone_by
from builders.e2e.kernel import container_id, container_memory, kill_a_second_process, process_status
from builders.e2e.patience import wait_for
from builders.e2e.release import cluster_values
from builders.e2e.workloads import (
    CONTAINER,
    MIB,
    container,
    controller,
    deployment,
    live_pods,
    pod_now,
    restarts,
    running_pod,
    template,
)

NEAR = 0.03  # the kernel charges in batches for each processor
STALLS = ("some", "full")
EVERYWHERE = [{"operator": "Exists"}]


def test_on_each_node_the_agent_agrees_with_the_kernel(cluster, release, namespace):
    one = container(cluster, mib=24, limit="64Mi", request="32Mi")
    known = template("known", one, tolerations=EVERYWHERE)
    cluster.apply(controller("DaemonSet", namespace, "known", known))
    cluster.kube("-n", namespace, "rollout", "status", "daemonset/known", "--timeout=390s")
    pods = {each["spec"]["nodeName"]: each for each in live_pods(cluster, namespace, "known")}

    assert pods.keys() >= set(cluster.nodes)
    for kube_node in cluster.nodes:
        assert_agrees(cluster, release.agent_on(kube_node), pods[kube_node])


@pytest.mark.disruptive
def test_an_agent_as_the_chart_has_it_watches_without_any_right(cluster, release, prometheus_url, namespace):
    cluster.apply(deployment(cluster, namespace, "watched", mib=24, limit="64Mi", request="32Mi"))
    pod = running_pod(cluster, namespace, "watched")
    back = lambda: release.install_or_upgrade(cluster_values(cluster, prometheus_url))  # noqa: E731
    with undone_by(back):
        release.install_or_upgrade(cluster_values(cluster, prometheus_url, acting=False))
        for agent in release.agents():
            fields = process_status(cluster, agent, "agent")
            assert {fields[name] for name in ("CapPrm", "CapEff", "CapBnd", "CapAmb")} == {"0" * 16}
            assert set(fields["Uid"].split()) == {"65532"}
            assert (fields["Seccomp"], fields["NoNewPrivs"]) == ("2", "1")
            assert agent["spec"]["automountServiceAccountToken"] is False
        assert_agrees(cluster, release.agent_on(pod["spec"]["nodeName"]), pod)


def test_on_each_node_the_agent_serves_the_nodes_pressure(cluster, release):
    for kube_node in cluster.nodes:
        before = stalled_seconds(cluster, kube_node)
        served = served_after_two_looks(cluster, release.agent_on(kube_node))
        after = stalled_seconds(cluster, kube_node)

        for stalled in STALLS:
            total = value(served, "plimsoll_kube_node_pressure_seconds_total", stalled=stalled)
            assert before[stalled] <= total <= after[stalled], kube_node
            for window in ("10s", "60s"):
                labels = {"stalled": stalled, "window": window}
                assert 0 <= value(served, "plimsoll_kube_node_pressure_ratio", **labels) <= 1, kube_node


def test_a_kill_is_counted_as_the_kernel_counts_it(cluster, release, namespace):
    shared = next(each for each in cluster.nodes if each != cluster.kube_node_with("Static"))
    there = cluster.standing_on(shared)
    cluster.apply(deployment(cluster, namespace, "counted", mib=8, limit="64Mi", request="32Mi", **there))
    pod = running_pod(cluster, namespace, "counted")
    agent = release.agent_on(pod["spec"]["nodeName"])
    wait_for(lambda: kills_served(cluster, agent, pod) == 0, "the agent to see the container", 60)

    kill_a_second_process(cluster, pod, CONTAINER)
    wait_for(lambda: container_memory(cluster, pod, CONTAINER).oom_kills == 1, "a kill of the kernel", 60)
    wait_for(lambda: kills_served(cluster, agent, pod) == 1, "the kill in the agent's metrics", 60)
    assert restarts(pod_now(cluster, pod)) == 0
    assert_agrees(cluster, agent, pod)


def assert_agrees(cluster: Cluster, agent: Manifest, pod: Manifest) -> None:
    """Limits and kills are the kernel's, usage lies between two reads of it or very near."""
    before = container_memory(cluster, pod, CONTAINER)
    served = served_after_two_looks(cluster, agent)
    after = container_memory(cluster, pod, CONTAINER)

    def of_container(name: str, **more: str) -> float | None:
        return value(served, f"plimsoll_container_{name}", **labels_of(pod), **more)

    assert after.max_bytes == 64 * MIB
    assert of_container("memory_max_bytes") == after.max_bytes
    assert of_container("memory_high_bytes") == (math.inf if after.high_bytes is None else after.high_bytes)
    assert of_container("memory_events_total", event="oom_kill") == after.oom_kills
    least, most = sorted((before.current_bytes, after.current_bytes))
    assert least * (1 - NEAR) <= of_container("usage_bytes") <= most * (1 + NEAR), after.text


def served_by(cluster: Cluster, agent: Manifest) -> list[Sample]:
    """Every sample of its /metrics, through the API server's proxy."""
    metadata = agent["metadata"]
    (running,) = agent["spec"]["containers"]
    (port,) = (each["containerPort"] for each in running["ports"] if each["name"] == "metrics")
    pod = f"/api/v1/namespaces/{metadata['namespace']}/pods/{metadata['name']}:{port}"
    text = cluster.kube("get", "--raw", f"{pod}/proxy/metrics")
    return [sample for family in text_string_to_metric_families(text) for sample in family.samples]


def served_after_two_looks(cluster: Cluster, agent: Manifest) -> list[Sample]:
    """What it serves of a look that began after this was called: the next one may be under way already."""
    ticks = "plimsoll_agent_ticks_total"
    begun = value(served_by(cluster, agent), ticks) or 0

    def newer() -> list[Sample]:
        served = served_by(cluster, agent)
        return served if (value(served, ticks) or 0) >= begun + 2 else []

    return wait_for(newer, f"two looks of {agent['metadata']['name']}", 90)


def value(samples: list[Sample], name: str, **labels: str) -> float | None:
    """The one sample of that name with exactly these labels, or None."""
    found = [each.value for each in samples if (each.name, each.labels) == (name, labels)]
    assert len(found) <= 1, f"{name} {labels}: {found}"
    return found[0] if found else None


def labels_of(pod: Manifest) -> dict[str, str]:
    """How the agent names the container: cgroupfs knows no other names."""
    return {
        "pod_uid": pod["metadata"]["uid"],
        "container_id": container_id(pod, CONTAINER),
        "qos": pod["status"]["qosClass"].lower(),
    }


def kills_served(cluster: Cluster, agent: Manifest, pod: Manifest) -> float | None:
    """Kills of the container in the agent's metrics; None while it has not seen the container."""
    name = "plimsoll_container_memory_events_total"
    return value(served_by(cluster, agent), name, **labels_of(pod), event="oom_kill")


def stalled_seconds(cluster: Cluster, kube_node: str) -> dict[str, float]:
    """The kernel's totals of PSI, some and full, on the node."""
    lines = cluster.node_shell(kube_node, "cat /proc/pressure/memory").splitlines()
    totals = {line.split()[0]: line.rpartition("total=")[2] for line in lines}
    return {stalled: int(totals[stalled]) / 1e6 for stalled in STALLS}
