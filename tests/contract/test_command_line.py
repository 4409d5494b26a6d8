"""The command line against the sandbox's API and a real API server: what it reads, writes and is refused.

Nothing is mocked: kubeconfigs with client certificates, RBAC, CRDs with their schema.
"""

import json

import pytest
from typer.testing import CliRunner

from builders.apiserver import ApiServer
from builders.manifests import deployment, pod, running
from plimsoll_cli.main import app

GROUP = "plimsoll.dev/v1alpha1"
MERGE = "merge"
ORIGINAL = {"name": "app", "originalResources": {"request": "64Mi", "limit": "128Mi"}}
HELD = {"kind": "hold", "reason": "NoHistory", "message": "not yet", "to": "128Mi"}


@pytest.fixture
def plimsoll(cluster, monkeypatch):
    """`plimsoll ...` at the cluster under test."""
    monkeypatch.setenv("KUBECONFIG", str(cluster.kubeconfig))

    def run(*arguments):
        return CliRunner().invoke(app, list(arguments))

    return run


@pytest.fixture
def web(cluster, ns):
    """Deployment `web` with a running pod and a profile that remembers its resources."""
    cluster.install_crds()
    made = ns.create("apps/v1/deployments", deployment("web")).raise_for_status().json()
    replica_set = deployment("web-6d4cf9b7f5") | {"kind": "ReplicaSet"}
    replica_set["metadata"]["ownerReferences"] = [owner(made)]
    made = ns.create("apps/v1/replicasets", replica_set).raise_for_status().json()
    body = pod("web-6d4cf9b7f5-x7k2p", labels={"app": "web"})
    body["metadata"]["ownerReferences"] = [owner(made)]
    created = ns.create("pods", body).raise_for_status().json()
    ns.patch("pods", created["metadata"]["name"], running(created), "status").raise_for_status()
    profile = {
        "apiVersion": GROUP,
        "kind": "MemoryProfile",
        "metadata": {"name": "deployment-web"},
        "spec": {"targetRef": {"kind": "Deployment", "name": "web"}},
    }
    ns.create(f"{GROUP}/memoryprofiles", profile).raise_for_status()
    status = {"status": {"mode": "InPlace", "containers": [ORIGINAL | {"lastDecision": HELD}]}}
    ns.patch(f"{GROUP}/memoryprofiles", "deployment-web", status, "status", kind=MERGE).raise_for_status()
    return ns


def owner(made):
    metadata = made["metadata"]
    return {
        "apiVersion": "apps/v1",
        "kind": made["kind"],
        "name": metadata["name"],
        "uid": metadata["uid"],
        "controller": True,
    }


def test_pause_and_resume_write_the_switch(plimsoll, ns):
    for command, expected in (("pause", "true"), ("resume", "false")):
        result = plimsoll(command, "--operator-namespace", ns.namespace)
        assert result.exit_code == 0, result.stderr
        assert ns.get("configmaps", "plimsoll-control").json()["data"] == {"paused": expected}


def test_a_namespace_that_is_not_there_is_named(plimsoll):
    result = plimsoll("pause", "--operator-namespace", "nowhere")
    assert (result.exit_code, "namespace nowhere does not exist" in result.stderr) == (2, True)


def test_restore_passes_the_schema_and_undo_takes_it_back(plimsoll, web):
    for flags, expected in (((), True), (("--undo",), False)):
        result = plimsoll("restore", f"{web.namespace}/Deployment/web", *flags)
        assert result.exit_code == 0, result.stderr
        spec = web.get(f"{GROUP}/memoryprofiles", "deployment-web").json()["spec"]
        assert spec["restore"] is expected


def test_status_and_explain_read_what_the_schema_kept(plimsoll, web):
    document = json.loads(plimsoll("status", "-n", web.namespace, "-o", "json").stdout)
    (row,) = document["containers"]
    assert (row["name"], row["decision"], row["limit_bytes"]) == ("web", "hold", 128 * 2**20)
    explained = plimsoll("explain", "web", "-n", web.namespace).stdout
    assert "request 64.0Mi, limit 128.0Mi before Plimsoll" in explained


def test_recommend_reads_pods_and_owners_before_it_asks_prometheus(plimsoll, web):
    result = plimsoll("recommend", "-n", web.namespace, "--prometheus", "http://127.0.0.1:1")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "cannot reach Prometheus" in result.stderr  # so the cluster itself could be read


@pytest.mark.apiserver
def test_a_cluster_without_metrics_server_is_told_apart(apiserver: ApiServer, monkeypatch):
    monkeypatch.setenv("KUBECONFIG", str(apiserver.kubeconfig()))
    body = pod("alone")
    apiserver.client().post("/api/v1/namespaces/default/pods", json=body)
    result = CliRunner().invoke(app, ["recommend", "-n", "default"])
    apiserver.client().delete("/api/v1/namespaces/default/pods/alone", params={"gracePeriodSeconds": 0})
    assert result.exit_code == 2
    assert "is metrics-server installed?" in result.stderr


@pytest.mark.apiserver
@pytest.mark.parametrize("command", [("recommend",), ("status",), ("pause",), ("restore", "web")])
def test_rbac_refusals_name_who_may_not_do_what(apiserver: ApiServer, monkeypatch, command):
    monkeypatch.setenv("KUBECONFIG", str(apiserver.kubeconfig("nobody")))
    result = CliRunner().invoke(app, list(command))
    assert (result.exit_code, result.stdout) == (2, "")
    assert "not allowed (403)" in result.stderr
    assert 'User "' in result.stderr
