"""A release's life: uninstalled without a trace that blocks, installed in an older version, upgraded, rolled
back, upgraded again; no profile is lost on the way.

Until there is a tagged release, "the previous version" is this chart with a CRD field and a template fewer.
"""

import shutil
from pathlib import Path

import pytest
import yaml

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

FIELD = "leak"
TEMPLATE = "templates/network-policies.yaml"
POLICIES = "memorypolicies.plimsoll.dev"


@pytest.fixture
def previous_chart(tmp_path) -> Path:
    """The chart one version before this one."""
    chart = shutil.copytree(CHART, tmp_path / "plimsoll")
    crd = chart / "files/crds/memorypolicies.yaml"
    made = yaml.safe_load(crd.read_text())
    del made["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"][FIELD]
    crd.write_text(yaml.safe_dump(made))
    (chart / TEMPLATE).unlink()
    about = yaml.safe_load((chart / "Chart.yaml").read_text())
    (chart / "Chart.yaml").write_text(yaml.safe_dump({**about, "version": "0.0.9"}))
    return chart


@pytest.mark.disruptive
def test_uninstall_upgrade_and_rollback_lose_nothing(
    cluster, release, prometheus_url, namespace, previous_chart
):
    values = cluster_values(cluster, prometheus_url)
    pod, raised, uid = raised_workload(cluster, namespace)

    release.helm("uninstall", name=release.name, timeout=500)
    assert_nothing_blocks(cluster, release, namespace, pod, raised)

    where = {"name": release.name, "values": values, "namespace": release.namespace}
    release.helm("install", chart=str(previous_chart), **where)
    release.wait_ready()
    assert FIELD not in policy_fields(cluster)
    assert_remembered(cluster, namespace, uid, pod, raised)

    release.helm("upgrade", chart=str(CHART), **where)
    release.wait_ready()
    assert FIELD in policy_fields(cluster)
    assert network_policies(cluster, release) == ["plimsoll-agent", "plimsoll-operator"]
    assert_remembered(cluster, namespace, uid, pod, raised)

    release.helm("rollback", name=release.name)
    release.wait_ready()
    assert FIELD not in policy_fields(cluster)
    assert network_policies(cluster, release) == []
    assert_remembered(cluster, namespace, uid, pod, raised)

    # Forward again, and only then a second replica: three that start at once starve emulated nodes.
    for replicas in (1, 2):
        where["values"] = cluster_values(cluster, prometheus_url, replicas)
        release.helm("upgrade", chart=str(CHART), **where)
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
    admission = [each["metadata"]["name"] for each in cluster.items("validatingadmissionpolicies")]
    assert not any("plimsoll" in name for name in admission)
    for component in ("operator", "agent"):
        wait_for(lambda: not release.pods(component), f"the {component} to be gone", 90)  # noqa: B023
    assert container_memory(cluster, pod_now(cluster, pod), CONTAINER).high_bytes is None
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


def policy_fields(cluster) -> set[str]:
    """Fields of a MemoryPolicy's spec that the API server knows."""
    crd = cluster.get("crd", POLICIES)
    schema = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    return set(schema["properties"]["spec"]["properties"])


def network_policies(cluster, release) -> list[str]:
    """Names of the release's network policies."""
    return [each["metadata"]["name"] for each in cluster.items("networkpolicies", "-n", release.namespace)]
