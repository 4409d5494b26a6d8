"""Who may do what, asked of the real API server with real tokens."""

import json

import pytest

from builders.e2e.cluster import CommandError
from builders.e2e.workloads import MIB, deployment, policy, running_pod


def test_a_user_of_one_namespace_writes_policies_there_and_nothing_else_of_ours(cluster, release, namespace):
    token = account_with_edit(cluster, namespace)
    mine = policy(namespace, "mine", "anything")
    send(cluster, token, mine)
    assert [each["metadata"]["name"] for each in cluster.items("memorypolicies", "-n", namespace)] == ["mine"]

    elsewhere = {**mine, "metadata": {"name": "mine", "namespace": "default"}}
    everywhere = {
        **mine,
        "kind": "ClusterMemoryPolicy",
        "metadata": {"name": "mine"},
        "spec": {"mode": "Off"},
    }
    learned = {**mine, "kind": "MemoryProfile", "spec": {"restore": True}}
    kube_node = {**mine, "kind": "NodeMemory", "metadata": {"name": "mine"}, "spec": {}}
    control = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "plimsoll-control", "namespace": release.namespace},
        "data": {"paused": "true"},
    }
    for other in (elsewhere, everywhere, learned, kube_node, control):
        with pytest.raises(CommandError, match="orbidden"):
            send(cluster, token, other)

    # Asked in the namespace even of what has none: there it is the role `edit` that answers.
    may = lambda *asked: as_token(cluster, token, "-n", namespace, "auth", "can-i", *asked)  # noqa: E731
    for verb in ("patch", "delete"):
        assert may(verb, "memorypolicies.plimsoll.dev").strip() == "yes"
        for kind in ("memoryprofiles", "clustermemorypolicies", "nodememories"):
            with pytest.raises(CommandError, match="exit 1: no"):
                may(verb, f"{kind}.plimsoll.dev")
    for kind in ("memorypolicies", "memoryprofiles", "clustermemorypolicies", "nodememories"):
        with pytest.raises(CommandError, match="exit 1: no"):
            may("patch", f"{kind}.plimsoll.dev", "--subresource=status")


def test_the_agents_token_cannot_patch_pods(cluster, release, namespace):
    cluster.apply(deployment(cluster, namespace, "safe", mib=8, limit="64Mi", request="32Mi"))
    pod = running_pod(cluster, namespace, "safe")
    (name,) = {each["spec"]["serviceAccountName"] for each in release.agents()}
    token = cluster.kube("-n", release.namespace, "create", "token", name).strip()
    patch = json.dumps(
        {"spec": {"containers": [{"name": "app", "resources": {"limits": {"memory": str(96 * MIB)}}}]}}
    )
    for subresource in ((), ("--subresource=resize",)):
        with pytest.raises(CommandError, match="orbidden"):
            as_token(
                cluster,
                token,
                "-n",
                namespace,
                "patch",
                "pod",
                pod["metadata"]["name"],
                *subresource,
                "-p",
                patch,
            )
    # One that acts lists pods and policies, to know whom it may touch, and nothing more.
    refused = [("pods", verb) for verb in ("get", "watch", "create", "update", "patch", "delete")]
    for kind, verb in (*refused, ("secrets", "list"), ("nodes", "list"), ("memoryprofiles", "list")):
        with pytest.raises(CommandError, match="exit 1: no"):
            as_token(cluster, token, "auth", "can-i", verb, kind, "-A")
    (kube_node, *_) = sorted(each["spec"]["nodeName"] for each in release.agents())
    stolen = {"apiVersion": "plimsoll.dev/v1alpha1", "kind": "NodeMemory", "metadata": {"name": kube_node}}
    with pytest.raises(CommandError, match="own node only"):  # no pod of that node holds this token
        send(cluster, token, stolen)


def account_with_edit(cluster, namespace: str) -> str:
    """A token of an account that has the built-in role `edit` in one namespace."""
    subject = {"kind": "ServiceAccount", "name": "person", "namespace": namespace}
    cluster.apply(
        {
            "apiVersion": "v1",
            "kind": "ServiceAccount",
            "metadata": {"name": "person", "namespace": namespace},
        },
        {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "RoleBinding",
            "metadata": {"name": "person", "namespace": namespace},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "edit"},
            "subjects": [subject],
        },
    )
    return cluster.kube("-n", namespace, "create", "token", "person").strip()


def send(cluster, token: str, manifest) -> None:
    """Create an object as the token's bearer."""
    as_token(cluster, token, "create", "-f", "-", given=json.dumps(manifest))


def as_token(cluster, token: str, *arguments: str, given: str = "") -> str:
    """Run kubectl as the token's bearer: without the administrator's certificate."""
    config = json.loads(cluster.kube("config", "view", "--raw", "-o", "json"))
    (server,) = (each["cluster"]["server"] for each in config["clusters"])
    plain = ["--kubeconfig=/dev/null", f"--server={server}", "--insecure-skip-tls-verify", f"--token={token}"]
    return cluster.plain_kube(*plain, *arguments, given=given)
