"""Policies for a sandbox: what an API server would refuse ends the run with the reason."""

from pathlib import Path

import pytest
import yaml

from builders.crds import policy
from plimsoll_cli.failure import CommandError
from plimsoll_cli.sandbox.objects import DEFAULT_POLICY
from plimsoll_cli.sandbox.policies import read_policies

POD = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "web"}}
EXAMPLES = sorted((Path(__file__).parents[4] / "docs" / "examples").glob("*.yaml"))


def written(path: Path, *documents: object) -> Path:
    file = path / "policy.yaml"
    file.write_text(yaml.safe_dump_all(documents))
    return file


def test_none_given_resizes_everything():
    assert read_policies(None) == [DEFAULT_POLICY]


def test_a_policy_without_a_namespace_is_the_demos(tmp_path: Path):
    (found,) = read_policies(written(tmp_path, policy("web", mode="Recommend")))
    assert found["metadata"] == {"name": "web", "namespace": "demo"}
    assert found["spec"]["mode"] == "Recommend"


@pytest.mark.parametrize(
    ("documents", "reasons"),
    [
        ([policy("web", mode="Wild")], ["policy.yaml#1: spec.mode"]),
        (
            [policy("good"), policy("web", limits={"min": "2Gi", "max": "1Gi"})],
            ["policy.yaml#2: spec.limits"],
        ),
        ([policy("web", mood="InPlace")], ["policy.yaml#1: spec.mood unknown field; did you mean mode?"]),
        ([policy("web"), policy("web")], ["policy.yaml#2: metadata.name", "an earlier document"]),
        ([POD], ["policy.yaml#1: kind v1 Pod is not a policy"]),
        ([["web"]], ["policy.yaml#1: not a policy"]),
        ([], ["policy.yaml: there is no policy in this file"]),
        (
            [{**policy("web"), "metadata": {"name": "web", "namespace": "shop"}}],
            ["policy.yaml#1: metadata.namespace is shop; the sandbox's workloads are in demo"],
        ),
    ],
)
def test_what_an_api_server_would_refuse_is_refused_with_the_reason(tmp_path: Path, documents, reasons):
    with pytest.raises(CommandError) as refused:
        read_policies(written(tmp_path, *documents))
    assert all(reason in str(refused.value) for reason in reasons), refused.value


@pytest.mark.parametrize("text", ["a: [", "a: 1\na: 2\n"])
def test_what_is_no_yaml_is_named(tmp_path: Path, text: str):
    file = tmp_path / "broken.yaml"
    file.write_text(text)
    with pytest.raises(CommandError, match=r"broken\.yaml is not YAML") as refused:
        read_policies(file)
    assert refused.value.status == 2


def test_a_file_that_is_not_there_is_named(tmp_path: Path):
    with pytest.raises(CommandError, match=r"none\.yaml: No such file"):
        read_policies(tmp_path / "none.yaml")
