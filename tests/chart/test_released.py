"""The last release's chart is the one that was released, differs from today's, and can start today's images.

In: tests/e2e/released. Out: what tests/e2e/test_upgrade.py takes for granted when it installs that chart
with the images of this checkout, since the nodes of a test cluster have no others.
"""

import gzip
import json
import re
from pathlib import Path
from typing import Any

import helm_python
import pytest
import yaml

from builders.chart import CHART, NAMESPACE, RELEASE, Object, Rendered, render
from builders.e2e.cluster import Cluster
from builders.e2e.release import cluster_values
from builders.released import ReleasedChart, git, has_commit, known, packed, patient, tree_id
from plimsoll_nodeagent.main import parser
from plimsoll_operator.settings import settings_from

PREVIOUS = ReleasedChart()
IMAGES = {part: f"localhost/plimsoll/{part}:x" for part in ("operator", "agent")}
VALUES = cluster_values(
    Cluster("vm", "c", "kubeconfig", "kubectl", "run", ("n",), IMAGES, "localhost/load:1"), "http://p:9090"
)


@pytest.fixture(scope="module")
def chart(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return PREVIOUS.unpacked(tmp_path_factory.mktemp("released"))


@pytest.fixture(scope="module", params=["defaults", "the test cluster's values"])
def rendered(chart: Path, request: pytest.FixtureRequest) -> Rendered:
    values = {} if request.param == "defaults" else known(VALUES, chart)
    with helm_python.Chart.load(chart) as loaded:
        return Rendered(loaded.render(values, name=RELEASE, namespace=NAMESPACE))


def container(rendered: Rendered, kind: str) -> Object:
    (found,) = rendered.one(kind)["spec"]["template"]["spec"]["containers"]
    return dict(found)


def test_the_archive_holds_the_tree_that_it_was_packed_from():
    assert tree_id(PREVIOUS.archive) == PREVIOUS.origin["tree"]


def test_that_tree_is_the_one_of_the_commit_that_released_it():
    commit = PREVIOUS.origin["commit"]
    if not has_commit(commit):
        pytest.skip(f"this clone does not reach back to {commit}; the archive's own tree is compared above")
    assert git("rev-parse", f"{commit}:charts/plimsoll").decode().strip() == PREVIOUS.origin["tree"]
    assert gzip.decompress(PREVIOUS.archive.read_bytes()) == packed(commit)
    heading = f"## [{PREVIOUS.version}] - "
    changelogs = [git("show", f"{each}:CHANGELOG.md").decode() for each in (commit, f"{commit}^")]
    assert [heading in each for each in changelogs] == [True, False]


def test_it_is_the_version_before_this_one(chart: Path):
    about = yaml.safe_load((chart / "Chart.yaml").read_text())
    assert about["version"] == about["appVersion"] == PREVIOUS.version
    today = yaml.safe_load((CHART / "Chart.yaml").read_text())["version"]
    changelog = (CHART.parents[1] / "CHANGELOG.md").read_text()
    before = [each for each in re.findall(r"^## \[([0-9.]+)\] - ", changelog, re.MULTILINE) if each != today]
    assert before[0] == PREVIOUS.version, f"`make released-chart` for {before[0]}, and name it in released.py"


def placement(chart: Path) -> Any:
    crd = yaml.safe_load((chart / "files/crds/memorypolicies.yaml").read_text())
    spec = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]
    return spec["placement"]["properties"]


def test_a_field_and_a_template_came_since(chart: Path, rendered: Rendered):
    assert "relief" in placement(CHART).keys() - placement(chart).keys()
    kind = "ValidatingAdmissionPolicy"
    assert rendered.of_kind(kind) == []
    assert render(VALUES).one(kind)["metadata"]["name"] == "plimsoll-agent-own-node"
    assert not (chart / "templates/rbac/agent.yaml").exists()


def test_all_values_of_the_test_cluster_but_what_came_since_are_known_to_it(chart: Path):
    kept = known(VALUES, chart)
    act = VALUES["agent"].pop("act")
    try:
        assert kept == VALUES, "cluster_values has a value more that the last release did not know"
    finally:
        VALUES["agent"]["act"] = act
    with helm_python.Chart.load(chart) as loaded, pytest.raises(helm_python.HelmError, match="act"):
        loaded.render(json.loads(json.dumps(VALUES)), name=RELEASE, namespace=NAMESPACE)


def test_todays_agent_takes_its_arguments(rendered: Rendered):
    agent = container(rendered, "DaemonSet")
    assert "env" not in agent
    options = parser().parse_args(agent["args"])
    assert (options.command, options.port, options.cgroup_root) == ("run", 9477, "/host/cgroup")


def test_todays_operator_takes_its_environment(rendered: Rendered):
    operator = container(rendered, "Deployment")
    assert "args" not in operator
    # What the kubelet fills in.
    fields = {"metadata.name": "plimsoll-operator-0", "metadata.namespace": NAMESPACE}
    environment = {
        each["name"]: each["value"] if "value" in each else fields[each["valueFrom"]["fieldRef"]["fieldPath"]]
        for each in operator["env"]
    }
    settings = settings_from([], environment)
    ports = {each["name"]: each["containerPort"] for each in operator["ports"]}
    assert (settings.metrics_port, settings.webhook_port) == (ports["metrics"], ports["webhook"])
    assert settings.namespace == NAMESPACE
    # Each of ours is a setting, but for the pod's name.
    ours = {each.removeprefix("PLIMSOLL_").lower() for each in environment if each.startswith("PLIMSOLL_")}
    assert ours <= type(settings).model_fields.keys()
    with pytest.raises(SystemExit):
        settings_from(["--no-such-setting", "1"], environment)


def test_on_emulated_nodes_it_differs_by_the_start_up_probe_alone(rendered: Rendered, tmp_path: Path):
    chart = PREVIOUS.unpacked(tmp_path)
    before = {path: path.read_text() for path in chart.rglob("*") if path.is_file()}
    patient(chart)
    changed = [path for path, text in before.items() if path.read_text() != text]
    assert [str(path.relative_to(chart)) for path in changed] == ["templates/operator/deployment.yaml"]
    with helm_python.Chart.load(chart) as loaded:
        slow = Rendered(loaded.render({}, name=RELEASE, namespace=NAMESPACE))
    today = container(render(), "Deployment")["startupProbe"]
    probes = [container(each, "Deployment")["startupProbe"] for each in (slow, rendered)]
    assert [each["failureThreshold"] for each in probes] == [today["failureThreshold"], 90]
    assert {**probes[0], "failureThreshold": 90} == probes[1]


def test_its_watching_agent_has_the_profile_that_todays_is_tried_under(chart: Path):
    name = "files/agent-seccomp.json"
    assert json.loads((chart / name).read_text()) == json.loads((CHART / name).read_text())
