"""`check` names the field of everything the API server refuses, and of what it cannot see."""

from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from builders.crds import policy
from builders.policies import body
from plimsoll.api.check import Severity, check

EXAMPLES = sorted((Path(__file__).parents[4] / "docs" / "examples").glob("*.yaml"))


def findings(*documents, models=()) -> dict[str, str]:
    return {each.path: each.message for each in check(documents, models) if each.severity is Severity.ERROR}


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_the_examples_of_the_docs_are_clean(path: Path):
    assert findings(*yaml.safe_load_all(path.read_text("utf-8"))) == {}


@pytest.mark.parametrize(
    ("spec", "path", "message"),
    [
        ({"colour": "red"}, "spec.colour", "unknown field; there are mode"),
        ({"limits": {"maxx": "1Gi"}}, "spec.limits.maxx", "did you mean max?"),
        ({"mode": False}, "spec.mode", 'YAML reads a bare Off as false: write "Off" in quotes'),
        (
            {"mode": "Auto"},
            "spec.mode",
            "must be 'Off', 'Recommend', 'Initial', 'InPlace' or 'InPlaceOrRecreate'",
        ),
        ({"updates": {"cooldown": 30}}, "spec.updates.cooldown", "write it with a unit, for example 15m"),
        ({"limits": {"min": 5}}, "spec.limits.min", "5 must be of type string: write it with a unit"),
        (
            {"limits": {"min": "2Gi", "max": "1Gi"}},
            "spec.limits.min",
            "must not be above limits.max (2Gi > 1Gi)",
        ),
        ({"limits": {"max": "-1Gi"}}, "spec.limits.max", "negative"),
        ({"limits": {"max": "lots"}}, "spec.limits.max", "'lots' is not a memory quantity"),
        ({"limits": {"max": "512m"}}, "spec.limits.max", "not a memory quantity"),
        (
            {"limits": {"max": "4096"}},
            "spec.limits.max",
            "4Ki must be at least 16Mi; a number without a unit",
        ),
        ({"limits": {"max": 4096}}, "spec.limits.max", "write it with a unit, for example 512Mi"),
        ({"leak": {"cap": "1"}}, "spec.leak.cap", "1 must be at least 16Mi"),
        (
            {"containers": [{"name": "a", "limits": {"max": "16777215"}}]},
            "spec.containers[0].limits.max",
            "16777215 must be at least 16Mi",
        ),
        ({"limits": {"oomPrice": "5"}}, "spec.limits.oomPrice", "must be of type number"),
        ({"limits": {"oomPrice": 5, "objective": "oom:3"}}, "spec.limits.objective", "not both"),
        ({"limits": {"buffer": {"min": 2, "max": 1}}}, "spec.limits.buffer.min", "must not be above"),
        (
            {"limits": {"objective": "slack:2"}},
            "spec.limits.objective",
            "objective 'slack:2': want balanced, slack:X with 0 < X < 1, or oom:X with X > 0",
        ),
        ({"limits": {"objective": "oom:0"}}, "spec.limits.objective", "oom:X with X > 0"),
        ({"limits": {"objective": "oom:0.00"}}, "spec.limits.objective", "oom:X with X > 0"),
        ({"limits": []}, "spec.limits", "must be of type object"),
        ({"updates": {"cooldown": "8d"}}, "spec.updates.cooldown", "8d must lie between 0s and 7d"),
        (
            {"updates": {"window": "10:00-11:00 Mars/Olympus"}},
            "spec.updates.window",
            "no time zone is called",
        ),
        (
            {"forecast": {"model": "magic"}},
            "spec.forecast.model",
            "policies know no forecast model 'magic'; there are auto",
        ),
        ({"selector": {}}, "spec.targetRef", "set exactly one of"),
        ({"containers": [{}]}, "spec.containers[0].name", "required"),
        ({"containers": [{"name": "a"}, {"name": "a"}]}, "spec.containers[1]", "a second override"),
        ({"containers": [{"name": "a", "mod": "Off"}]}, "spec.containers[0].mod", "did you mean mode?"),
    ],
)
def test_names_the_field(spec: dict, path: str, message: str):
    body = policy(**({"targetRef": {"kind": "Deployment", "name": "web"}} | spec))
    found = findings(body, models=("auto", "seasonal"))
    assert message in found[path]
    assert len(found) == 1


def test_labels_must_be_text():
    found = findings(policy(selector={"matchLabels": {"version": 1.1}}))
    assert found == {"spec.selector.matchLabels.version": "1.1 must be of type string: write it in quotes"}


def test_one_wrong_field_does_not_hide_the_others():
    spec = {
        "limits": {"min": "lots", "max": "1Gi", "buffer": {"min": 2, "max": 1}},
        "selector": {},
        "targetRef": {"kind": "X", "name": "x"},
    }
    assert findings(policy(**spec)).keys() == {"spec.limits.min", "spec.limits.buffer.min", "spec.targetRef"}


@pytest.mark.parametrize(
    ("document", "path"),
    [
        ([1], ""),
        (policy() | {"apiVersion": "plimsol.dev/v1"}, "apiVersion"),
        ({"kind": "Deployment"}, "apiVersion"),
        (policy() | {"kind": "MemoryPolice"}, "kind"),
        (policy() | {"metadata": {}}, "metadata.name"),
        (policy() | {"metadata": "web"}, "metadata"),
        (policy() | {"kind": ["MemoryPolicy"]}, "kind"),
        ({"apiVersion": "v1"}, "kind"),
        (policy() | {"metadata": {"name": 5}}, "metadata.name"),
        (policy() | {"metadata": {"name": "web", "generation": "1"}}, "metadata.generation"),
        (policy() | {"metadata": {"name": "web", "label": {}}}, "metadata.label"),
        (policy() | {"spec": []}, "spec"),
        (policy() | {"spec": 0}, "spec"),
        (policy() | {"specs": {}}, "specs"),
        (policy() | {"spec": None}, "spec.targetRef"),
        (policy() | {"spec": "all"}, "spec"),
    ],
)
def test_names_what_is_wrong_with_a_document(document: object, path: str):
    assert path in findings(document)


def test_other_kinds_are_passed_over_with_a_note():
    (note,) = check([{"apiVersion": "apps/v1", "kind": "Deployment"}])
    assert note.severity is Severity.NOTE
    assert "was not checked" in note.message


def test_what_is_not_built_yet_is_a_note(monkeypatch):
    assert check([policy(placement={"numa": "Bind"})]) == []
    monkeypatch.setattr("plimsoll.api.engines.ACTIVE_ENGINES", frozenset())
    (note,) = check([policy(placement={"numa": "Bind"})])
    assert (note.severity, note.path) == (Severity.NOTE, "spec.placement.numa: Bind")


def test_needed_memory_that_no_agent_tells_is_a_note():
    (note,) = check([policy(limits={"basis": "needed"})])
    assert (note.severity, note.path) == (Severity.NOTE, "spec.limits.basis")
    assert "reclaim.mode is Off" in note.message
    assert check([policy(limits={"basis": "needed"}, reclaim={"mode": "Cold"})]) == []


@pytest.mark.parametrize(
    ("mode", "node", "notes"),
    [("InPlaceOrRecreate", "Prefer", 0), ("InPlaceOrRecreate", "Off", 1), ("InPlace", "Require", 1)],
)
def test_relief_that_cannot_evict_is_a_note(mode, node, notes):
    found = check([policy(mode=mode, placement={"node": node, "relief": "Evict"})])
    assert [(each.severity, each.path) for each in found] == [
        (Severity.NOTE, "spec.placement.relief")
    ] * notes


def test_huge_pages_of_memory_that_is_not_known_by_address_are_a_note():
    (note,) = check([policy(reclaim={"mode": "Cold", "hugePages": True})])
    assert (note.severity, note.path) == (Severity.NOTE, "spec.reclaim.hugePages")
    assert "mode Cold" in note.message
    assert check([policy(reclaim={"mode": "Predictive", "hugePages": True})]) == []
    own = [{"name": "app", "reclaim": {"hugePages": True}}]
    (note,) = check([policy(containers=own)])
    assert note.path == "spec.containers[0].reclaim.hugePages"


def test_placement_in_a_mode_that_changes_no_pod_is_a_note():
    (note,) = check([policy(mode="Recommend", placement={"node": "Require"})])
    assert (note.severity, note.path) == (Severity.NOTE, "spec.placement.node")
    assert "mode Recommend" in note.message
    assert list(check([policy(mode="Initial", placement={"node": "Require"})])) == []


WEB, DB = {"matchLabels": {"app": "web"}}, {"matchLabels": {"app": "db"}}
TO_WEB = {"targetRef": {"kind": "Deployment", "name": "web"}}
CLUSTER = {"kind": "ClusterMemoryPolicy"}


@pytest.mark.parametrize(
    ("one", "two", "path"),
    [
        (TO_WEB, TO_WEB, "spec.targetRef"),
        (TO_WEB, {"selector": {}}, None),
        (TO_WEB, {"targetRef": {"kind": "Deployment", "name": "db"}}, None),
        (TO_WEB, TO_WEB | {"namespace": "other"}, None),
        ({"selector": WEB}, {"selector": {}}, "spec.selector"),
        ({"selector": WEB}, {"selector": {"matchLabels": {"tier": "front"}}}, "spec.selector"),
        ({"selector": WEB}, {"selector": DB}, None),
        (CLUSTER, CLUSTER, "spec"),
        (CLUSTER, CLUSTER | {"selector": WEB}, None),
        (CLUSTER | {"selector": WEB}, CLUSTER | {"selector": {}}, "spec.selector"),
        (CLUSTER | {"selector": WEB}, CLUSTER | {"namespaces": ["a"]}, "spec.selector"),
        (CLUSTER | {"namespaces": ["a", "b"]}, CLUSTER | {"namespaces": ["b"]}, "spec.selector"),
        (CLUSTER | {"namespaces": ["a"]}, CLUSTER | {"namespaces": ["b"]}, None),
        (CLUSTER | {"namespaceSelector": WEB}, CLUSTER | {"namespaceSelector": DB}, None),
        (CLUSTER | {"selector": {}}, {"selector": {}}, None),
    ],
)
def test_policies_that_could_tie_are_found(one: dict, two: dict, path: str | None):
    found = findings(body("one", **one), body("two", **two))
    assert list(found) == ([path] if path else [])
    assert all("one" in message for message in found.values())


def test_the_same_name_twice_is_found():
    found = findings(policy("a"), policy("a", selector={}))
    assert "is the name of an earlier document too" in found["metadata.name"]


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-5, 5)
    | st.floats(allow_nan=False)
    | st.sampled_from(["", "app", "1Gi", "Off"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["limits", "min", "max", "selector", "matchLabels", "containers", "name"]),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(JSON)
def test_any_spec_gets_findings_never_an_exception(spec: object):
    check([policy() | {"spec": spec}])
    check([policy() | {"metadata": spec}, spec])
