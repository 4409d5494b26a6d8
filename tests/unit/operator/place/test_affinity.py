"""Patches of a pod's affinity: what it has stays, what is added says where and why."""

import copy
import json

import pytest

from builders.placing import new_pod, patched, placed, preferred
from plimsoll_operator.parse.needs import REQUIRED
from plimsoll_operator.parse.pods import pod as parsed
from plimsoll_operator.place.affinity import PREFERRED, Verdict, placement_patch

VERDICT = Verdict(("n2", "n5"), 0.00012, 0.00071, "abc123")
OURS = {"key": "kubernetes.io/hostname", "operator": "NotIn", "values": ["n1"]}
THEIRS = {"key": "zone", "operator": "In", "values": ["a"]}
FIELD = {"key": "metadata.name", "operator": "In", "values": ["n9"]}


def after(pod, verdict=VERDICT):
    before = copy.deepcopy(pod)
    made = patched(pod, json.loads(json.dumps(list(placement_patch(pod, verdict)))))
    assert pod == before
    return made


@pytest.mark.parametrize("affinity", [None, {}, {"nodeAffinity": None}, {"podAntiAffinity": {PREFERRED: []}}])
def test_a_pod_without_node_affinity_gets_a_preference_and_keeps_the_rest(affinity):
    pod = new_pod(affinity=affinity) if affinity is not None else new_pod()
    made = after(pod)
    assert preferred(made) == ["n2", "n5"]
    nodes = made["spec"]["affinity"].pop("nodeAffinity")
    assert nodes.keys() == {PREFERRED}
    assert [each["weight"] for each in nodes[PREFERRED]] == [100, 75]
    rest = {key: value for key, value in (affinity or {}).items() if key != "nodeAffinity"}
    assert made["spec"]["affinity"] == rest


def test_terms_of_a_person_come_first_and_unchanged():
    theirs = {"weight": 3, "preference": {"matchExpressions": [THEIRS]}}
    required = {"nodeSelectorTerms": [{"matchExpressions": [THEIRS]}]}
    made = after(new_pod(affinity={"nodeAffinity": {PREFERRED: [theirs], REQUIRED: required}}))
    nodes = made["spec"]["affinity"]["nodeAffinity"]
    assert nodes[PREFERRED][0] == theirs
    assert len(nodes[PREFERRED]) == 3
    assert nodes[REQUIRED] == required


@pytest.mark.parametrize(
    ("terms", "then"),
    [
        (None, [{"matchExpressions": [OURS]}]),
        ([{"matchExpressions": [THEIRS]}], [{"matchExpressions": [THEIRS, OURS]}]),
        ([{"matchFields": [FIELD]}], [{"matchFields": [FIELD], "matchExpressions": [OURS]}]),
        ([{"matchExpressions": [THEIRS]}, {}], [{"matchExpressions": [THEIRS, OURS]}, {}]),
    ],
)
def test_what_is_excluded_is_excluded_from_every_term(terms, then):
    verdict = Verdict(("n2",), 0.0, 0.0, "x", ("n1",))
    affinity = {} if terms is None else {"nodeAffinity": {REQUIRED: {"nodeSelectorTerms": terms}}}
    made = after(new_pod(affinity=affinity), verdict)
    assert made["spec"]["affinity"]["nodeAffinity"][REQUIRED]["nodeSelectorTerms"] == then


def test_the_annotation_says_why_and_is_read_back():
    pod = new_pod()
    pod["metadata"]["annotations"] = {"theirs": "stays"}
    made = after(pod)
    assert made["metadata"]["annotations"]["theirs"] == "stays"
    said = made["metadata"]["annotations"]["plimsoll.dev/placement"]
    assert said == (
        "n2: chance of being short of memory within a day 0.01% before, "
        "0.07% with this pod, or one of 1 others (abc123)"
    )
    assert (placed(made).kube_node, placed(made).decision) == ("n2", "abc123")


@pytest.mark.parametrize("value", ["", "n1", ":", 7, None, "n1: (", "x" * 1000])
def test_what_others_write_into_the_annotation_breaks_nothing(value):
    record = parsed({"metadata": {"annotations": {"plimsoll.dev/placement": value}}})
    assert record.placed is None or isinstance(record.placed.kube_node, str)
