"""The chart as `helm install` leaves it with nothing set but where images and Prometheus are, on a cluster
that has no release: two operators, agents that watch without a right, in a namespace of their own.

The release that all other tests use is uninstalled for it, and comes back whatever happens here.
"""

import pytest

from builders.e2e.cluster import CommandError
from builders.e2e.evidence import undone_by
from builders.e2e.kernel import container_memory, process_status
from builders.e2e.patience import wait_for
from builders.e2e.release import Release, cluster_values, image_value
from builders.e2e.workloads import MIB

AGENTS = "plimsoll-agents"
NO_CAPABILITY = "0" * 16


@pytest.mark.disruptive
def test_the_charts_defaults_on_a_cluster_without_a_release(cluster, release, prometheus_url):
    values = {part: {"image": image_value(cluster.images[part])} for part in ("operator", "agent")}
    values["operator"]["settings"] = {"prometheusUrl": prometheus_url}
    values["agent"]["namespace"] = AGENTS
    first = Release(cluster, agents_namespace=AGENTS)
    back = lambda: release.install_or_upgrade(cluster_values(cluster, prometheus_url))  # noqa: E731
    with undone_by(back), undone_by(lambda: uninstalled(first)):
        uninstalled(release)
        first.install_or_upgrade(values)
        assert_two_operators_of_which_one_leads(cluster, first)
        assert_agents_watch_from_their_own_namespace(cluster, first)


def uninstalled(release: Release) -> None:
    """Uninstall it, and wait until its pods go, and the agents' namespace is gone."""
    release.remove()
    for component in ("operator", "agent"):
        wait_for(lambda: not release.pods(component), f"the {component} to be gone", 90)  # noqa: B023
    if theirs := release.agents_namespace:
        found = lambda: [each["metadata"]["name"] for each in release.cluster.items("namespaces")]  # noqa: E731
        wait_for(lambda: theirs not in found(), f"the namespace {theirs} to be gone", 120)


def assert_two_operators_of_which_one_leads(cluster, release: Release) -> None:
    """Both Ready, under the limit and without the rights that the chart gives and keeps from them."""
    operators = release.pods("operator")
    assert len(operators) == 2
    for pod in operators:
        assert all(each["ready"] for each in pod["status"]["containerStatuses"])
        assert_confined(cluster, pod, "operator")
        assert container_memory(cluster, pod, "operator").max_bytes == 1024 * MIB
    names = {each["metadata"]["name"] for each in operators}
    lease = lambda: cluster.get("lease", "plimsoll-operator", "-n", release.namespace)["spec"]  # noqa: E731
    wait_for(lambda: lease()["holderIdentity"] in names, "a leader", 90)


def assert_agents_watch_from_their_own_namespace(cluster, release: Release) -> None:
    """One on every node, which the kernel and the API server let do nothing but read."""
    agents = release.agents()
    kube_nodes = {each["metadata"]["name"] for each in cluster.items("nodes")}
    assert {each["spec"]["nodeName"] for each in agents} == kube_nodes
    assert Release(cluster).pods("agent") == []
    labels = cluster.get("namespace", AGENTS)["metadata"]["labels"]
    assert labels["pod-security.kubernetes.io/enforce"] == "privileged"
    for pod in agents:
        assert pod["spec"]["automountServiceAccountToken"] is False
        assert not pod["spec"].get("hostPID")
        assert_confined(cluster, pod, "agent")
        assert container_memory(cluster, pod, "agent").max_bytes == 128 * MIB
    (name,) = {each["spec"]["serviceAccountName"] for each in agents}
    account = f"--as=system:serviceaccount:{AGENTS}:{name}"
    for verb, kind in (("list", "pods"), ("patch", "pods"), ("list", "memorypolicies.plimsoll.dev")):
        with pytest.raises(CommandError, match="exit 1: no"):
            cluster.kube("auth", "can-i", verb, kind, "-A", account)


def assert_confined(cluster, pod, container: str) -> None:
    """No capability, no root, a seccomp filter, no new privileges: as the kernel has it."""
    fields = process_status(cluster, pod, container)
    assert {fields[name] for name in ("CapPrm", "CapEff", "CapBnd", "CapAmb")} == {NO_CAPABILITY}
    assert set(fields["Uid"].split()) == {"65532"}
    assert (fields["Seccomp"], fields["NoNewPrivs"]) == ("2", "1")
