"""A release's life: uninstalled without a trace that blocks, installed in an older version, upgraded, rolled
back, upgraded again; no profile is lost on the way.

The older version is the chart of the last release as it was (builders/released.py), with as much of the
values as it knows. Its images are this checkout's all the same: the nodes have no others. That today's
operator and agent understand what that chart starts them with is tested in tests/chart/test_released.py.
"""

from pathlib import Path

import pytest

from builders.e2e.kernel import container_memory
from builders.e2e.patience import wait_for
from builders.e2e.release import CHART, cluster_values
from builders.e2e.workloads import (
    CONTAINER,
    MIB,
    deployment,
    hold,
    live_pods,
    pod_now,
    policy,
    profile_of,
    restarts,
    running_pod,
)
from builders.released import ReleasedChart, known, patient

FIELD = "relief"
"""Of `placement`; the release did not have it. Nor had it a policy that holds agents to their own node:"""
OWN_NODE = "plimsoll-agent-own-node"
POLICIES = "memorypolicies.plimsoll.dev"


@pytest.fixture
def previous_chart(cluster, tmp_path) -> Path:
    """The chart of the last release; on emulated nodes with a longer start-up, or none of it would run."""
    chart = ReleasedChart().unpacked(tmp_path)
    if cluster.slowness > 1:
        patient(chart)
    return chart


@pytest.mark.disruptive
def test_uninstall_upgrade_and_rollback_lose_nothing(
    cluster, release, prometheus_url, namespace, previous_chart
):
    values = cluster_values(cluster, prometheus_url)
    pod, raised, uid = raised_workload(cluster, namespace)

    release.helm("uninstall", name=release.name, timeout=500)
    assert_nothing_blocks(cluster, release, namespace, pod, raised)

    where = {"name": release.name, "namespace": release.namespace}
    release.helm("install", chart=str(previous_chart), values=known(values, previous_chart), **where)
    release.wait_ready()
    assert FIELD not in placement_fields(cluster)
    assert OWN_NODE not in admission_policies(cluster)
    assert_remembered(cluster, namespace, uid, pod, raised)

    release.helm("upgrade", chart=str(CHART), values=values, **where)
    release.wait_ready()
    assert FIELD in placement_fields(cluster)
    assert OWN_NODE in admission_policies(cluster)
    assert_remembered(cluster, namespace, uid, pod, raised)

    release.helm("rollback", name=release.name)
    release.wait_ready()
    assert FIELD not in placement_fields(cluster)
    assert OWN_NODE not in admission_policies(cluster)
    assert_remembered(cluster, namespace, uid, pod, raised)

    # Forward again, and only then a second replica: three that start at once starve emulated nodes.
    for replicas in (1, 2):
        values = cluster_values(cluster, prometheus_url, replicas)
        release.helm("upgrade", chart=str(CHART), values=values, **where)
        release.wait_ready()
    assert_remembered(cluster, namespace, uid, pod, raised)
    assert_one_of_two_leads(cluster, release)
    assert_restored(cluster, namespace, pod)


def raised_workload(cluster, namespace: str):
    """A pod that was raised, the limit in force, and the uid of its profile."""
    cluster.apply(
        policy(namespace, "stays", "stays"),
        deployment(cluster, namespace, "stays", mib=24, limit="64Mi", request="32Mi", mib_per_minute=120),
    )
    pod = running_pod(cluster, namespace, "stays")
    hold(cluster, pod, 62)
    wait_for(lambda: memory_max(cluster, pod) > 64 * MIB, "a raise", 150)
    profile = profile_of(cluster, namespace, "deployment-stays")
    return pod, memory_max(cluster, pod), profile["metadata"]["uid"]


def assert_nothing_blocks(cluster, release, namespace: str, pod, raised: int) -> None:
    """After an uninstallation: no webhook, no finalizer, no annotation; pods run on and new ones start."""
    hooks = cluster.items("mutatingwebhookconfigurations")
    assert [each["metadata"]["name"] for each in hooks if "plimsoll" in each["metadata"]["name"]] == []
    assert not any("plimsoll" in name for name in admission_policies(cluster))
    for component in ("operator", "agent"):
        wait_for(lambda: not release.pods(component), f"the {component} to be gone", 90)  # noqa: B023
    now = pod_now(cluster, pod)
    assert memory_max(cluster, pod) == raised
    assert restarts(now) == 0
    ours = cluster.items("memorypolicies,memoryprofiles", "-n", namespace)
    assert len(ours) == 2
    for each in [*ours, now, cluster.get("deployment", "stays", "-n", namespace)]:
        assert "finalizers" not in each["metadata"], each["metadata"]
        assert not any("plimsoll.dev/" in key for key in each["metadata"].get("annotations", {}))
    cluster.apply(deployment(cluster, namespace, "after", mib=8, limit="64Mi", request="32Mi"))
    after = running_pod(cluster, namespace, "after")
    assert memory_max(cluster, after) == 64 * MIB
    cluster.kube("-n", namespace, "delete", "deployment", "after", "--timeout=390s")
    wait_for(lambda: not live_pods(cluster, namespace, "after"), "the deletion of its pods", 60)


def assert_remembered(cluster, namespace: str, uid: str, pod, raised: int) -> None:
    """The very same profile, with the original resources in it; the pod has not been touched."""
    profile = profile_of(cluster, namespace, "deployment-stays")
    assert profile["metadata"]["uid"] == uid
    (container,) = profile["status"]["containers"]
    assert container["originalResources"] == {"limit": "64Mi", "request": "32Mi"}
    assert memory_max(cluster, pod) >= raised
    assert restarts(pod_now(cluster, pod)) == 0


def assert_restored(cluster, namespace: str, pod) -> None:
    """What `plimsoll restore` asks for is done to the kernel's limit, by whoever leads now."""
    # Down to 24 MiB, so that the original limit is one that the container fits in.
    hold(cluster, pod, 24)
    patch = '{"spec": {"restore": true}}'
    cluster.kube("-n", namespace, "patch", "memprof", "deployment-stays", "--type=merge", "-p", patch)
    wait_for(lambda: memory_max(cluster, pod) == 64 * MIB, "the original limit in the kernel", 180)


def assert_one_of_two_leads(cluster, release) -> None:
    """Both replicas are Ready, a disruption budget spares one, and one of them holds the lease."""
    operators = release.pods("operator")
    assert len(operators) == 2
    assert all(status["ready"] for pod in operators for status in pod["status"]["containerStatuses"])
    budget = cluster.get("poddisruptionbudget", "plimsoll-operator", "-n", release.namespace)
    assert budget["spec"]["maxUnavailable"] == 1
    lease = lambda: cluster.get("lease", "plimsoll-operator", "-n", release.namespace)["spec"]  # noqa: E731
    names = {each["metadata"]["name"] for each in operators}
    wait_for(lambda: lease()["holderIdentity"] in names, "a leader", 60)
    leader = lease()["holderIdentity"]
    cluster.kube("-n", release.namespace, "delete", "pod", leader, "--wait=false")
    (standby,) = names - {leader}
    wait_for(lambda: lease()["holderIdentity"] == standby, "the standby to take over", 60)


def memory_max(cluster, pod) -> int:
    """What the kernel enforces."""
    return container_memory(cluster, pod_now(cluster, pod), CONTAINER).max_bytes or 0


def placement_fields(cluster) -> set[str]:
    """Fields of a MemoryPolicy's `spec.placement` that the API server knows."""
    crd = cluster.get("crd", POLICIES)
    schema = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    return set(schema["properties"]["spec"]["properties"]["placement"]["properties"])


def admission_policies(cluster) -> list[str]:
    """Names of the cluster's validating admission policies."""
    return [each["metadata"]["name"] for each in cluster.items("validatingadmissionpolicies")]
