"""Bad policies: refused by the API server itself, with a sentence."""

import pytest

from builders.e2e.cluster import CommandError
from builders.e2e.workloads import policy

SPECS = {
    "neither": ({"targetRef": None}, "set exactly one of spec.targetRef and spec.selector"),
    "both": ({"targetRef": {"kind": "Deployment", "name": "x"}, "selector": {}}, "set exactly one of"),
    "min-above-max": ({"limits": {"min": "2Gi", "max": "1Gi"}}, "limits.min must not be above limits.max"),
    "two-prices": (
        {"limits": {"objective": "balanced", "oomPrice": 3}},
        "set limits.objective or limits.oomPrice, not both",
    ),
    "no-quantity": ({"limits": {"max": "lots"}}, "limits.max"),
    "no-mode": ({"mode": "Sometimes"}, 'Unsupported value: "Sometimes"'),
}


@pytest.mark.parametrize(("spec", "sentence"), SPECS.values(), ids=SPECS)
def test_a_bad_policy_is_refused_with_a_sentence(cluster, release, namespace, spec, sentence):
    asked = policy(namespace, "bad", "x")
    asked["spec"] = {name: value for name, value in (asked["spec"] | spec).items() if value is not None}
    with pytest.raises(CommandError) as refused:
        cluster.apply(asked)
    assert sentence in str(refused.value)
    assert cluster.items("memorypolicies", "-n", namespace) == []
