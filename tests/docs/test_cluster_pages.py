"""Every command in a `sh` block of the pages about installing, upgrading, uninstalling and rights is run.

Run as they stand, each page from its top to its end, on a real kube-apiserver with etcd: `kubectl` (the real
one), `helm` (Helm's own library behind a command line, builders/shown/helm.py), `plimsoll`, `kind/up.sh`,
`kind/values.sh`, `kind/down.sh`. Pods are created through the API server's admission and are Ready only if
their images were loaded or pushed before, but nothing runs in them: builders/played_nodes.py plays kubelet
and controllers, so `kubectl rollout status` waits for a status that the test writes, and `helm test` for a
pod that is said to have succeeded (what it says is asked in tests/contract/test_chart.py and tests/e2e).

Only checked, not done: `docker` and `kind` (builders/shown/container_tools.py: Dockerfile, what it copies,
build arguments, images' names from build to pod, cluster configuration). `make e2e-kind` does them for real.
"""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from builders.apiserver import running_apiserver
from builders.chart import CHART, older, render
from builders.crds import policy
from builders.shown.cluster import ROOT, SHOWN, Page, ShownCluster, shown_cluster, shown_commands
from builders.waiting import wait_for
from plimsoll.api.v1alpha1 import KINDS

DOCS = ROOT / "docs"
HERE = ("install", "install-cloud", "install-kind", "rbac", "uninstall", "upgrade")
ELSEWHERE = ("cli",)  # tests/docs/test_cluster_commands.py
# The first word of every command in a pipeline, and what answers it.
PROGRAMS = {
    "helm": "Helm's library",
    "kubectl": "the real one",
    "plimsoll": "the real one",
    "kind/up.sh": "the real one, with the stand-ins for docker and kind",
    "kind/down.sh": "the real one, with the stand-ins for docker and kind",
    "kind/values.sh": "the real one",
    "docker": "a stand-in that checks",
    "kind": "a stand-in that checks",
    "export": "the shell, kept for the commands after it",
    "sort": "the system's",
    "xargs": "the system's",
}
PROFILE = {
    "apiVersion": "plimsoll.dev/v1alpha1",
    "kind": "MemoryProfile",
    "spec": {"targetRef": {"apiVersion": "apps/v1", "kind": "Deployment"}},
}
ORIGINAL = {"containers": [{"name": "main", "originalResources": {"limit": "512Mi", "request": "400Mi"}}]}
API = "/apis/plimsoll.dev/v1alpha1"
MERGE = {"Content-Type": "application/merge-patch+json"}
INSTALL = "helm install plimsoll {} -n plimsoll-system --create-namespace"


# -- nothing is left out ------------------------------------------------------------------------------------


def test_every_page_with_a_command_has_its_test():
    pages = {page.stem for page in DOCS.rglob("*.md") if "```sh\n" in page.read_text()}
    assert pages == {*HERE, *ELSEWHERE}
    others = re.compile(r"^```(bash|shell|zsh)", re.MULTILINE)
    found = [page for page in DOCS.rglob("*.md") if others.search(page.read_text())]
    assert found == [], "write shell commands in `sh` blocks, which are run"


@pytest.mark.parametrize("page", HERE)
def test_every_command_is_one_that_something_answers(page: str):
    commands = shown_commands(DOCS / f"{page}.md")
    assert commands
    for command in commands:
        for part in re.sub(r"'[^']*'", "", command).split("|"):
            assert part.split()[0] in PROGRAMS, f"{page}.md: nobody runs `{part.strip()}`: {command}"


@pytest.mark.parametrize(
    ("command", "refusal"),
    [
        ("helm.py install plimsoll charts/plimsoll --atomic", "unrecognized arguments: --atomic"),
        ("helm.py upgrade plimsoll charts/plimsoll --reuse", "unrecognized arguments: --reuse"),
        ("container_tools.py docker build -t x --no-cache .", "unrecognized arguments: --no-cache"),
        ("container_tools.py docker build -t x -f nodeagent/Dockerfile --build-arg BAS=y .", "no ARG BAS"),
        (
            "container_tools.py docker build -t x -f nodeagent/Dockerfile docs",
            "copies requirements/build.lock",
        ),
        ("container_tools.py docker push plimsoll/agent:0.1.0", "there is no image plimsoll/agent:0.1.0"),
        ("container_tools.py kind load docker-image plimsoll/agent:0.1.0", "there is no cluster kind"),
    ],
)
def test_a_stand_in_refuses_what_it_does_not_know(command: str, refusal: str, tmp_path: Path):
    script, *arguments = command.split()
    done = subprocess.run(
        [sys.executable, SHOWN / script, *arguments],
        cwd=ROOT,
        env={**os.environ, "PLIMSOLL_SHOWN_STATE": str(tmp_path / "state")},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode != 0
    assert refusal in done.stderr


# -- what the pages name exists -----------------------------------------------------------------------------


@cache
def values() -> dict[str, Any]:
    read: dict[str, Any] = yaml.safe_load((CHART / "values.yaml").read_text())
    return read


def named_values(page: Path) -> set[str]:
    """Dotted names that begin like a value of the chart, in code."""
    code = re.findall(r"`[^`\n]+`", page.read_text()) + shown_commands(page)
    name = re.compile(rf"(?<![\w./-])(?:{'|'.join(values())})(?:\.\w+)+(?![\w/])")
    return {
        each for text in code for each in name.findall(text) if not each.endswith((".md", ".yaml", ".py"))
    }


def is_value(name: str) -> bool:
    """Whether values.yaml has it; below an empty map or a list everything may be."""
    found: Any = values()
    for part in name.split("."):
        if not found or not isinstance(found, dict):
            return found in ({}, []) or isinstance(found, list)
        if part not in found:
            return False
        found = found[part]
    return True


@pytest.mark.parametrize("page", HERE)
def test_values_that_a_page_names_are_the_charts(page: str):
    named = named_values(DOCS / f"{page}.md")
    assert {each for each in named if not is_value(each)} == set()
    assert named or page == "uninstall"
    assert not is_value("operator.settings.nothing")


@pytest.mark.parametrize("page", sorted(ROOT.glob("*.md")), ids=lambda page: page.name)
def test_links_between_files_lead_somewhere(page: Path):
    links = re.findall(r"\]\((?!https?://|#)([^)#\s]+)", page.read_text())
    assert [each for each in links if not (page.parent / each).exists()] == []


def test_image_names_in_the_pages_are_the_charts():
    known = {f"{part['repository']}:{chart()['appVersion']}" for part in images()}
    for page in HERE:
        shown = set(re.findall(r"plimsoll/(?:operator|agent):[\w.]+", (DOCS / f"{page}.md").read_text()))
        assert shown <= known, page


def images() -> list[dict[str, str]]:
    return [values()[part]["image"] for part in ("operator", "agent")]


@cache
def chart() -> dict[str, str]:
    read: dict[str, str] = yaml.safe_load((CHART / "Chart.yaml").read_text())
    return read


def default_images() -> list[str]:
    return [f"{each['repository']}:{chart()['appVersion']}" for each in images()]


# -- the pages, from top to end -----------------------------------------------------------------------------


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


def knows_importance(cluster: ShownCluster) -> bool:
    crd = cluster.get("crd", "memorypolicies.plimsoll.dev")
    schema = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    return "importance" in schema["properties"]["spec"]["properties"]


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
    refused = subprocess.run(
        ["bash", "-c", INSTALL.format("charts/plimsoll") + " && kubectl -n plimsoll-system rollout status"
         " daemonset/plimsoll-agent --timeout=3s"],
        cwd=ROOT, env=cluster.environment, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert "timed out" in refused.stderr, refused.stderr
    assert "violates PodSecurity" in str(cluster.nodes.problems)
    cluster.run("helm uninstall plimsoll -n plimsoll-system")
    page.through("kubectl -n plimsoll-agents rollout status")

    monitoring_kinds(cluster)
    page.rest()
    for kind, name in (("servicemonitor", "operator"), ("podmonitor", "agent"), ("prometheusrule", "")):
        assert [each for each in cluster.names(kind, "-A") if name in each], kind
    assert cluster.names("daemonset", "-n", "plimsoll-agents") == ["plimsoll-agent"]


def monitoring_kinds(cluster: ShownCluster) -> None:
    """The Prometheus operator's kinds, without their schemas."""
    http = cluster.api.client()
    group = "monitoring.coreos.com"
    for kind in ("ServiceMonitor", "PodMonitor", "PrometheusRule"):
        plural = f"{kind.lower()}s"
        schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
        version = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}
        names = {"kind": kind, "plural": plural, "singular": kind.lower()}
        spec = {"group": group, "scope": "Namespaced", "names": names, "versions": [version]}
        about = {"name": f"{plural}.{group}", "labels": {"plimsoll-test": "yes"}}
        body = {
            "apiVersion": "apiextensions.k8s.io/v1",
            "kind": "CustomResourceDefinition",
            "metadata": about,
            "spec": spec,
        }
        http.post("/apis/apiextensions.k8s.io/v1/customresourcedefinitions", json=body).raise_for_status()
    for plural in ("servicemonitors", "podmonitors", "prometheusrules"):
        wait_for(lambda plural=plural: http.get(f"/apis/{group}/v1/{plural}").is_success, plural)


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
    page.rest()
    assert cluster.tools_state["clusters"]["kind"]["images"] == default_images()
    assert settings(cluster).items() >= of_kind.items()


@pytest.mark.apiserver
@pytest.mark.slow
def test_page_install_cloud(page: Page, cluster: ShownCluster):
    cluster.images = lambda: cluster.tools_state["pushed"]
    page.through("helm test")
    assert sorted(cluster.images()) == sorted(f"registry.example/{each}" for each in default_images())
    page.rest()
    pod = operator(cluster)["template"]["spec"]
    assert pod["imagePullSecrets"] == [{"name": "plimsoll-pull"}]
    assert pod["containers"][0]["image"].startswith("registry.example/")
    assert settings(cluster)["PLIMSOLL_PROMETHEUS_URL"] == "http://prometheus-server.monitoring.svc"


@pytest.mark.apiserver
@pytest.mark.slow
def test_page_upgrade(page: Page, cluster: ShownCluster, tmp_path: Path):
    cluster.run(f"{INSTALL.format(older(tmp_path))} --set operator.replicas=3")
    uid = remember(cluster)
    page.through("helm upgrade")  # the dry run
    assert not knows_importance(cluster)
    page.through("helm test")
    assert knows_importance(cluster)
    assert operator(cluster)["replicas"] == 3

    page.through("helm upgrade")
    assert (operator(cluster)["replicas"], settings(cluster)["PLIMSOLL_LOG_LEVEL"]) == (3, "debug")
    history = page.through("helm history")
    assert history.count('"revision"') == 3
    page.through("helm rollback")
    assert settings(cluster)["PLIMSOLL_LOG_LEVEL"] == "info"
    cluster.run("helm rollback plimsoll 1 -n plimsoll-system")
    assert not knows_importance(cluster)

    before = certificate(cluster)
    page.through("helm upgrade")
    assert certificate(cluster) != before
    assert knows_importance(cluster)
    assert profile(cluster)["metadata"]["uid"] == uid

    cluster.run("helm uninstall plimsoll -n plimsoll-system")
    labels = " ".join(f"{kind.plural}.plimsoll.dev" for kind in KINDS)
    cluster.run(f"kubectl label crd {labels} app.kubernetes.io/managed-by-")
    with pytest.raises(AssertionError, match="invalid ownership metadata"):
        cluster.run(INSTALL.format("charts/plimsoll"))
    page.rest()
    assert profile(cluster)["metadata"]["uid"] == uid


def certificate(cluster: ShownCluster) -> str:
    """The authority that the webhook's registration trusts, and the Secret has."""
    secret = cluster.get("secret", "plimsoll-operator-webhook", "-n", "plimsoll-system")
    (hook,) = cluster.get("mutatingwebhookconfiguration", "plimsoll-operator")["webhooks"]
    assert secret["data"]["ca.crt"] == hook["clientConfig"]["caBundle"]
    return str(secret["data"]["ca.crt"])


@pytest.mark.apiserver
@pytest.mark.slow
def test_page_uninstall(page: Page, cluster: ShownCluster):
    cluster.run(INSTALL.format("charts/plimsoll"))
    remember(cluster)
    remember(cluster, original=False, name="untouched")
    page.through("plimsoll status")
    assert profile(cluster)["spec"]["restore"] is True
    assert not profile(cluster, "untouched")["spec"].get("restore")
    page.through("helm uninstall")
    assert "plimsoll-operator" not in cluster.names("mutatingwebhookconfiguration")
    assert "finalizers" not in profile(cluster)["metadata"]
    page.rest()
    assert [each for each in cluster.names("crd") if "plimsoll" in each] == []
    assert [each for each in cluster.names("namespace") if "plimsoll" in each] == []
    assert [each for each in cluster.names("clusterrole") if "plimsoll" in each] == []


def test_the_file_that_is_left_on_nodes_is_the_charts():
    (container,) = render().one("DaemonSet")["spec"]["template"]["spec"]["containers"]
    profile_path = container["securityContext"]["seccompProfile"]["localhostProfile"]
    assert f"`/var/lib/kubelet/seccomp/{profile_path}`" in (DOCS / "uninstall.md").read_text()


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
