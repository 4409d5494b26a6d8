"""An API server takes what admission says of a pod's place; the same on fake and real.

In: pods as placement patches them. Out: 201, with every term as it was put. A real API server validates
affinities: one value a line for metadata.name, no empty terms of ours.
"""

import pytest

from builders.manifests import container, pod
from builders.placing import patched, preferred
from plimsoll_operator.parse.needs import REQUIRED
from plimsoll_operator.place.affinity import MOST_EXCLUDED, Verdict, placement_patch

MANY = tuple(f"ip-10-0-{number // 256}-{number % 256}.ec2.internal" for number in range(MOST_EXCLUDED))
THEIRS = {"matchExpressions": [{"key": "zone", "operator": "In", "values": ["a", "b"]}]}
FIELD = {"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["n9"]}]}


@pytest.mark.parametrize(
    ("name", "terms", "excluded"),
    [
        ("plain", None, ()),
        ("required", None, ("n1", "n3")),
        ("merged", [THEIRS, FIELD], ("n1",)),
        ("largest", [THEIRS], MANY),
    ],
)
def test_a_placed_pod_is_taken_as_it_is(ns, name, terms, excluded):
    body = pod(name, container("app"))
    if terms is not None:
        body["spec"]["affinity"] = {"nodeAffinity": {REQUIRED: {"nodeSelectorTerms": terms}}}
    verdict = Verdict(tuple(f"n{at}" for at in range(32)), 0.0001, 0.0009, "abc", excluded)
    made = ns.create("pods", patched(body, list(placement_patch(body, verdict))))
    assert made.status_code == 201, made.text
    stored = made.json()
    assert preferred(stored) == [f"n{at}" for at in range(32)]
    required = stored["spec"]["affinity"]["nodeAffinity"].get(REQUIRED, {"nodeSelectorTerms": []})
    lines = [line for term in required["nodeSelectorTerms"] for line in term.get("matchExpressions", ())]
    ours = [line for line in lines if line["operator"] == "NotIn"]
    assert [line["values"] for line in ours] == [list(excluded)] * (
        max(len(terms or ()), 1) if excluded else 0
    )
