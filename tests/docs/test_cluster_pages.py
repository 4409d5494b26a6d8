"""Every command in a `sh` block of the pages about installing, upgrading, uninstalling and rights is run.

Run as they stand, each page from its top to its end, on a real kube-apiserver with etcd: `kubectl` (the real
one), `helm` (Helm's own library behind a command line, builders/shown/helm.py), `plimsoll`, `kind/up.sh`,
`kind/values.sh`, `kind/down.sh`. Pods are created through the API server's admission and are Ready only if
their images were loaded or pushed before, but nothing runs in them: builders/played_nodes.py plays kubelet
and controllers, so `kubectl rollout status` waits for a status that the test writes, and `helm test` for a
pod that is said to have succeeded (what it says is asked in tests/contract/test_chart.py and tests/e2e).

Only checked, not done: `docker`, `podman` and `kind` (builders/shown/container_tools.py: Dockerfile, what it
copies, build arguments, images' names from build to pod, cluster configuration). `make images-podman` builds.
"""

import base64
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from builders.apiserver import running_apiserver
from builders.chart import default_images, render
from builders.crds import CRDS, policy
from builders.others_tools import MissingError, foreign_crds
from builders.released import ReleasedChart
from builders.shell import COMMAND_SECONDS
from builders.shown.cluster import DOCS, PAGES, Page, ShownCluster, shown_cluster, shown_commands
from builders.waiting import wait_for
from plimsoll.api.v1alpha1 import KINDS

PROFILE = {
    "apiVersion": "plimsoll.dev/v1alpha1",
    "kind": "MemoryProfile",
    "spec": {"targetRef": {"apiVersion": "apps/v1", "kind": "Deployment"}},
}
ORIGINAL = {"containers": [{"name": "main", "originalResources": {"limit": "512Mi", "request": "400Mi"}}]}
API = "/apis/plimsoll.dev/v1alpha1"
MERGE = {"Content-Type": "application/merge-patch+json"}
INSTALL = "helm install plimsoll {} -n plimsoll-system --create-namespace"


def test_every_page_has_its_test():
    tests = {name.removeprefix("test_page_") for name in globals() if name.startswith("test_page_")}
    assert tests == {page.replace("-", "_") for page in PAGES}


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ShownCluster]:
    with (
        running_apiserver(tmp_path_factory.mktemp("apiserver")) as api,
        shown_cluster(api, tmp_path_factory.mktemp("shell")) as cluster,
    ):
        yield cluster


@pytest.fixture
def cluster(shared: ShownCluster) -> ShownCluster:
    """Without Plimsoll; its nodes have the images that the chart asks for."""
    shared.clean()
    shared.images = default_images
    return shared


@pytest.fixture
def page(cluster: ShownCluster, request: pytest.FixtureRequest) -> Iterator[Page]:
    """The page that the test is named after; no command may be left at the end."""
    path = DOCS / f"{request.node.originalname.removeprefix('test_page_').replace('_', '-')}.md"
    made = Page(path, cluster, shown_commands(path))
    yield made
    assert made.left == []


def remember(cluster: ShownCluster, *, original: bool = True, name: str = "web") -> str:
    """A policy and a profile in namespace demo; returns the profile's uid."""
    http = cluster.api.client()
    http.post("/api/v1/namespaces", json={"metadata": {"name": "demo"}})
    root = f"{API}/namespaces/demo"
    http.post(f"{root}/memorypolicies", json=policy(name)).raise_for_status()
    body = {**PROFILE, "metadata": {"name": f"deployment-{name}"}}
    body["spec"] = {"targetRef": {**PROFILE["spec"]["targetRef"], "name": name}}
    made = http.post(f"{root}/memoryprofiles", json=body).raise_for_status().json()
    if original:
        path = f"{root}/memoryprofiles/deployment-{name}/status"
        http.patch(path, json={"status": ORIGINAL}, headers=MERGE).raise_for_status()
    return str(made["metadata"]["uid"])


def profile(cluster: ShownCluster, name: str = "web") -> dict[str, Any]:
    return cluster.get("memprof", f"deployment-{name}", "-n", "demo")


def settings(cluster: ShownCluster) -> dict[str, str]:
    """The operator's environment."""
    (container,) = operator(cluster)["template"]["spec"]["containers"]
    return {each["name"]: each.get("value", "") for each in container["env"]}


def operator(cluster: ShownCluster) -> dict[str, Any]:
    spec: dict[str, Any] = cluster.get("deployment", "plimsoll-operator", "-n", "plimsoll-system")["spec"]
    return spec


def knows_relief(cluster: ShownCluster) -> bool:
    crd = cluster.get("crd", "memorypolicies.plimsoll.dev")
    schema = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    return "relief" in schema["properties"]["spec"]["properties"]["placement"]["properties"]


@pytest.mark.apiserver
@pytest.mark.slow
def test_page_install(page: Page, cluster: ShownCluster):
    assert "successfully rolled out" in page.through("kubectl -n plimsoll-system rollout status daemonset")
    page.through("kubectl apply")
    assert cluster.get("cmempol", "everywhere")["spec"]["mode"] == "Recommend"
    remember(cluster)  # the operator's part
    assert "deployment-web" in page.through("kubectl get memprof")

    cluster.clean()
    page.through("kubectl label namespace")
    cluster.run(INSTALL.format("charts/plimsoll"))
    refused = lambda: "violates PodSecurity" in str(cluster.nodes.problems)  # noqa: E731
    wait_for(refused, "the agents' pod to be refused", COMMAND_SECONDS)
    with pytest.raises(AssertionError, match="timed out"):
        cluster.run("kubectl -n plimsoll-system rollout status daemonset/plimsoll-agent --timeout=3s")
    cluster.run("helm uninstall plimsoll -n plimsoll-system")
    page.through("kubectl -n plimsoll-agents rollout status")

    monitoring_kinds(page, cluster)
    page.rest()
    for kind, name in (("servicemonitor", "operator"), ("podmonitor", "agent"), ("prometheusrule", "")):
        assert [each for each in cluster.names(kind, "-A") if name in each], kind
    assert cluster.names("daemonset", "-n", "plimsoll-agents") == ["plimsoll-agent"]


def monitoring_kinds(page: Page, cluster: ShownCluster) -> None:
    """The Prometheus operator's kinds, as it ships them."""
    http, group = cluster.api.client(), "monitoring.coreos.com"
    try:
        crds = [each for each in foreign_crds() if each["spec"]["group"] == group]
    except MissingError as missing:
        page.left.clear()
        pytest.skip(str(missing))
    for crd in crds:
        crd["metadata"].setdefault("labels", {})["plimsoll-test"] = "yes"
        http.post(CRDS, json=crd).raise_for_status()
    for plural in [each["spec"]["names"]["plural"] for each in crds]:
        wait_for(lambda plural=plural: http.get(f"/apis/{group}/v1/{plural}").is_success, plural)


@pytest.mark.apiserver
@pytest.mark.slow
def test_what_the_charts_notes_give_to_be_pasted(cluster: ShownCluster):
    cluster.run(INSTALL.format("charts/plimsoll"))
    remember(cluster)
    for each in render().shown_commands:
        cluster.run(each, "NOTES.txt: ")
    assert cluster.get("cmempol", "everywhere")["spec"]["mode"] == "Recommend"
    labels = cluster.get("namespace", "plimsoll-system")["metadata"]["labels"]
    assert labels["pod-security.kubernetes.io/enforce"] == "privileged"


@pytest.mark.apiserver
@pytest.mark.slow
def test_page_install_kind(page: Page, cluster: ShownCluster):
    cluster.images = lambda: [
        image for each in cluster.tools_state["clusters"].values() for image in each["images"]
    ]
    page.through("kind/up.sh")
    (made,) = cluster.tools_state["clusters"].values()
    assert len(made["nodes"]) == 3
    page.through("helm test")
    (container,) = operator(cluster)["template"]["spec"]["containers"]
    assert container["image"] in made["images"]
    of_kind = {"PLIMSOLL_USAGE_SOURCE": "kubelet", "PLIMSOLL_KUBELET_INSECURE": "true"}
    assert settings(cluster).items() >= of_kind.items()
    page.through("kind/down.sh")
    assert cluster.tools_state["clusters"] == {}

    cluster.clean()
    page.through("kind load")
    assert made_with(cluster) == ("docker", default_images())
    cluster.run("kind delete cluster")
    page.through("kind load")
    assert made_with(cluster) == ("podman", default_images())
    page.rest()
    assert settings(cluster).items() >= of_kind.items()


def made_with(cluster: ShownCluster) -> tuple[str, list[str]]:
    """The tool that the reader's own cluster was made with, and the images that its nodes have."""
    (made,) = cluster.tools_state["clusters"].values()
    return made["tool"], made["images"]


@pytest.mark.apiserver
@pytest.mark.slow
def test_page_install_cloud(page: Page, cluster: ShownCluster):
    cluster.images = lambda: cluster.tools_state["pushed"]
    cluster.private.add("registry.example")
    pods_are_measured(cluster)
    assert "41Mi" in page.through("kubectl top")
    page.through("helm test")  # Ready, so the nodes had a password when they were asked to pull
    assert sorted(cluster.images()) == sorted(default_images("registry.example"))
    page.rest()
    pod = operator(cluster)["template"]["spec"]
    assert pod["imagePullSecrets"] == [{"name": "plimsoll-pull"}]
    assert pod["containers"][0]["image"].startswith("registry.example/")
    assert settings(cluster)["PLIMSOLL_PROMETHEUS_URL"] == "http://prometheus-server.monitoring.svc"


def pods_are_measured(cluster: ShownCluster) -> None:
    """The metrics API with one pod in it, as objects that the API server keeps itself."""
    http, group = cluster.api.client(), "metrics.k8s.io"
    names = {"plural": "pods", "singular": "pod", "kind": "PodMetrics", "listKind": "PodMetricsList"}
    schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    version = {"name": "v1beta1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}
    metadata = {
        "name": f"pods.{group}",
        "labels": {"plimsoll-test": "yes"},
        "annotations": {"api-approved.kubernetes.io": "unapproved, stands for metrics-server"},
    }
    spec = {"group": group, "scope": "Namespaced", "names": names, "versions": [version]}
    body = {"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition"}
    http.post(CRDS, json={**body, "metadata": metadata, "spec": spec}).raise_for_status()
    root = f"/apis/{group}/v1beta1"
    wait_for(lambda: http.get(f"{root}/pods").is_success, "the metrics API")
    measured = {"timestamp": "2026-01-01T00:00:00Z", "window": "15s"}
    used = {"name": "main", "usage": {"cpu": "5m", "memory": "41Mi"}}
    pod = {"apiVersion": f"{group}/v1beta1", "kind": "PodMetrics", "metadata": {"name": "web"}}
    http.post(f"{root}/namespaces/default/pods", json={**pod, **measured, "containers": [used]})


@pytest.mark.apiserver
@pytest.mark.slow
def test_page_upgrade(page: Page, cluster: ShownCluster, tmp_path: Path):
    cluster.run("kind create cluster --config kind/cluster.yaml")
    # Only what was loaded: the chart asks for no registry here.
    cluster.images = lambda: [
        image for each in cluster.tools_state["clusters"].values() for image in each["images"]
    ]
    assert cluster.images() == []
    cluster.run(f"{INSTALL.format(ReleasedChart().unpacked(tmp_path))} --set operator.replicas=3")
    before = operator(cluster)["template"]["spec"]["containers"][0]["image"]
    assert before.endswith("plimsoll/operator:0.1.0")
    uid = remember(cluster)
    page.through("kind load")
    assert cluster.images() == default_images()
    page.through("docker push")
    page.through("docker push")
    assert cluster.tools_state["pushed"] == default_images("registry.example")
    page.through("helm upgrade")  # the dry run
    assert not knows_relief(cluster)
    page.through("helm test")  # Ready, so the nodes have what the new pods ask for
    assert knows_relief(cluster)
    assert operator(cluster)["replicas"] == 3
    assert operator(cluster)["template"]["spec"]["containers"][0]["image"] == default_images()[0]

    page.through("kind/values.sh")
    image = operator(cluster)["template"]["spec"]["containers"][0]["image"]
    assert image in cluster.tools_state["clusters"]["plimsoll"]["images"]
    assert image not in default_images()
    assert operator(cluster)["replicas"] == 3

    page.through("helm upgrade")
    assert (operator(cluster)["replicas"], settings(cluster)["PLIMSOLL_LOG_LEVEL"]) == (3, "debug")
    history = page.through("helm history")
    assert history.count('"revision"') == 4
    page.through("helm rollback")
    assert settings(cluster)["PLIMSOLL_LOG_LEVEL"] == "info"
    cluster.run("helm rollback plimsoll 1 -n plimsoll-system")
    assert not knows_relief(cluster)

    values_in_the_way_are_cleared(page, cluster)
    before = certificate(cluster)
    page.through("helm upgrade")
    assert certificate(cluster) != before
    assert knows_relief(cluster)
    assert profile(cluster)["metadata"]["uid"] == uid

    cluster.run("helm uninstall plimsoll -n plimsoll-system")
    labels = " ".join(f"{kind.plural}.plimsoll.dev" for kind in KINDS)
    cluster.run(f"kubectl label crd {labels} app.kubernetes.io/managed-by-")
    with pytest.raises(AssertionError, match="invalid ownership metadata"):
        cluster.run(INSTALL.format("charts/plimsoll"))
    page.rest()
    assert profile(cluster)["metadata"]["uid"] == uid


def values_in_the_way_are_cleared(page: Page, cluster: ShownCluster) -> None:
    tags = "--set operator.image.tag=old --set agent.image.tag=old"
    cluster.run(f"helm upgrade plimsoll charts/plimsoll -n plimsoll-system --reset-then-reuse-values {tags}")
    page.through("helm upgrade")
    assert operator(cluster)["template"]["spec"]["containers"][0]["image"] == default_images()[0]
    assert "replicas: 3" in page.through("helm get values")
    Path(cluster.environment["HOME"], "plimsoll-values.yaml").write_text("operator: {replicas: 4}")  # edited
    page.through("helm upgrade")
    assert (operator(cluster)["replicas"], settings(cluster)["PLIMSOLL_KUBELET_INSECURE"]) == (4, "false")


def certificate(cluster: ShownCluster) -> str:
    """The authority that the webhook's registration trusts, and the Secret has."""
    secret = cluster.get("secret", "plimsoll-operator-webhook", "-n", "plimsoll-system")
    (hook,) = cluster.get("mutatingwebhookconfiguration", "plimsoll-operator")["webhooks"]
    assert secret["data"]["ca.crt"] == hook["clientConfig"]["caBundle"]
    return str(secret["data"]["ca.crt"])


@pytest.mark.apiserver
@pytest.mark.slow
def test_page_coordination(page: Page, cluster: ShownCluster):
    cluster.run(INSTALL.format("charts/plimsoll") + " --set coordination.enabled=true")
    old_authority, old_pair = agents_identity(cluster)
    page.through("helm upgrade")
    both, pair = agents_identity(cluster)
    assert (both.count("BEGIN CERTIFICATE"), pair) == (2, old_pair)
    assert old_authority.strip() in both
    page.through("helm upgrade")
    still_both, new_pair = agents_identity(cluster)
    assert (still_both, new_pair != old_pair) == (both, True)
    page.through("helm upgrade")
    new_authority, kept = agents_identity(cluster)
    assert kept == new_pair
    assert (new_authority.count("BEGIN CERTIFICATE"), old_authority.strip() in new_authority) == (1, False)


def agents_identity(cluster: ShownCluster) -> tuple[str, str]:
    """Authorities that an agent trusts, and its own certificate."""
    data = cluster.get("secret", "plimsoll-agent-identity", "-n", "plimsoll-system")["data"]
    authority, pair = (base64.b64decode(data[name]).decode() for name in ("ca.crt", "tls.crt"))
    return authority, pair


@pytest.mark.apiserver
@pytest.mark.slow
def test_page_uninstall(page: Page, cluster: ShownCluster):
    cluster.run(INSTALL.format("charts/plimsoll") + " --set placement.gates.enabled=true")
    remember(cluster)
    remember(cluster, original=False, name="untouched")
    page.through("plimsoll status")
    assert profile(cluster)["spec"]["restore"] is True
    assert not profile(cluster, "untouched")["spec"].get("restore")
    assert "plimsoll-sweeper" in cluster.names("deployment", "-n", "plimsoll-system")
    page.through("kubectl -n plimsoll-system delete deployments")
    assert cluster.names("deployment", "-n", "plimsoll-system") == ["plimsoll-operator"]
    page.through("helm uninstall")
    assert "plimsoll-operator" not in cluster.names("mutatingwebhookconfiguration")
    assert "finalizers" not in profile(cluster)["metadata"]
    gone = {"apiVersion": "plimsoll.dev/v1alpha1", "kind": "NodeMemory", "metadata": {"name": "gone"}}
    made = cluster.api.client().post(f"{API}/nodememories", json=gone | {"spec": {}})
    assert made.is_success, made.text
    page.through("kubectl delete nodememories")
    assert cluster.names("nodememories") == []
    page.through("kubectl get memprof")
    assert profile(cluster)["spec"].get("restore", False) is False
    page.rest()
    assert [each for each in cluster.names("crd") if "plimsoll" in each] == []
    assert [each for each in cluster.names("namespace") if "plimsoll" in each] == []
    assert [each for each in cluster.names("clusterrole") if "plimsoll" in each] == []


@pytest.mark.apiserver
@pytest.mark.slow
def test_page_rbac(page: Page, cluster: ShownCluster):
    cluster.run(INSTALL.format("charts/plimsoll"))
    assert page.through("kubectl auth can-i create").strip() == "yes"
    of_operator = page.through("kubectl auth can-i --list")
    assert "pods/resize" in of_operator
    of_agent = page.through("kubectl auth can-i --list")
    for resource in ("pods", "secrets", "plimsoll.dev"):
        assert resource not in of_agent
