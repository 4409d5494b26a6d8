"""The CRDs say what the models say, in the words the API server wants. (tests/contract has a real one
judge them.)"""

from collections.abc import Iterator
from pathlib import Path

import pytest

from plimsoll.api.crd import crd, crds
from plimsoll.api.v1alpha1 import KINDS
from plimsoll_operator.crds import rendered, shipped
from plimsoll_operator.crds.__main__ import write

CRDS = {kind.name: crd(kind) for kind in KINDS}


def nodes(schema: dict, path: str = "") -> Iterator[tuple[str, dict]]:
    yield path, schema
    for name, inner in schema.get("properties", {}).items():
        yield from nodes(inner, f"{path}.{name}")
    if "items" in schema:
        yield from nodes(schema["items"], f"{path}[]")


def fields(kind: str) -> dict[str, dict]:
    """Every node of a kind's spec and status, by path."""
    whole = CRDS[kind]["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    return {path: node for path, node in nodes(whole) if path.startswith((".spec", ".status"))}


def policy_spec(kind: str = "MemoryPolicy") -> dict:
    return CRDS[kind]["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]


def test_the_shipped_yaml_is_what_the_models_say():
    assert shipped() == rendered(), "run `make crds`"


def test_make_crds_writes_every_kind_and_removes_what_is_gone(tmp_path: Path):
    (tmp_path / "old.yaml").write_text("gone: true")
    write(tmp_path)
    assert {each.name: each.read_text() for each in tmp_path.iterdir()} == rendered()


def test_four_kinds_with_their_names():
    names = {
        name: (made["spec"]["names"]["shortNames"], made["spec"]["scope"]) for name, made in CRDS.items()
    }
    assert names == {
        "MemoryPolicy": (["mempol"], "Namespaced"),
        "ClusterMemoryPolicy": (["cmempol"], "Cluster"),
        "MemoryProfile": (["memprof"], "Namespaced"),
        "NodeMemory": (["nodemem"], "Cluster"),
    }
    assert [name for name, _ in crds()] == [f"{kind.plural}.yaml" for kind in KINDS]


@pytest.mark.parametrize("kind", CRDS)
def test_every_node_is_structural(kind: str):
    for path, node in fields(kind).items():
        assert node["type"] in {"object", "array", "string", "integer", "number", "boolean"}, path
        assert not node.keys() & {"$ref", "anyOf", "allOf", "title", "const", "$defs"}, path
        assert node["type"] != "array" or node["items"]["type"], path


@pytest.mark.parametrize("kind", CRDS)
def test_every_text_and_list_is_bounded_so_that_rules_can_be_costed(kind: str):
    for path, node in fields(kind).items():
        assert node["type"] != "array" or "maxItems" in node, path
        assert node["type"] != "string" or node.keys() & {"enum", "maxLength"}, path


@pytest.mark.parametrize("kind", CRDS)
def test_every_field_is_described(kind: str):
    assert [
        path for path, node in fields(kind).items() if not path.endswith("[]") and not node.get("description")
    ] == []


def test_defaults_are_text_as_people_write_them():
    properties = policy_spec()["properties"]
    assert properties["mode"]["default"] == "Recommend"
    assert properties["updates"]["default"] == {}
    assert properties["updates"]["properties"]["cooldown"]["default"] == "10m"
    assert properties["forecast"]["properties"]["history"]["default"] == "28d"


def test_an_override_has_no_defaults_for_they_would_hide_the_policys():
    override = policy_spec()["properties"]["containers"]["items"]["properties"]
    assert not [
        path for path, node in nodes({"properties": override}) if "default" in node and ".buffer." not in path
    ]


def test_exclusive_bounds_are_openapi_3_0():
    price = policy_spec()["properties"]["limits"]["properties"]["oomPrice"]
    assert (price["minimum"], price["exclusiveMinimum"]) == (0, True)


def test_a_cluster_policy_takes_no_target():
    assert "targetRef" not in policy_spec("ClusterMemoryPolicy")["properties"]
