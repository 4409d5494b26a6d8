"""Conditions: who gets which, with which sentence, and that nothing moves where nothing changes."""

import pytest

from builders.policies import body, memory_policy, targeting
from plimsoll.api.conditions import policy_conditions
from plimsoll.api.engines import ACTIVE_ENGINES, Engine, asked_engines, inactive_engines
from plimsoll.api.precedence import PolicySet, read_policy
from plimsoll.forecast.registry import POLICY_MODELS
from plimsoll.workload import WorkloadRef

NOW = 1_800_000_000.0
NOON = "2027-01-15T08:00:00Z"


def conditions(policy, conflicts=(), before=(), now=NOW):
    return {each.type: each for each in policy_conditions(policy, conflicts, before, now, POLICY_MODELS)}


CANNOT = [
    ({"horizon": "6h"}, "HorizonNotSupported", "spec.forecast.horizon: 6h is not supported"),
    ({"horizon": "5m"}, "HorizonNotSupported", "forecast 1h ahead"),
    (
        {"model": "windowed"},
        "ModelUnknown",
        "there are auto, hazard, seasonal, vpa, moving-windows, autopilot-ml, holt-winters, growth, ensemble",
    ),
    ({"model": "seasonl"}, "ModelUnknown", "spec.forecast.model: policies know no forecast model 'seasonl'"),
    ({"holidays": ["CH"]}, "HolidaysIgnored", "spec.forecast.holidays: only the model prophet looks at"),
]


@pytest.mark.parametrize(("forecast", "kind", "words"), CANNOT)
def test_what_a_forecast_cannot_honour_is_said(forecast, kind, words):
    made = conditions(memory_policy("p", forecast=forecast))
    assert list(made) == ["Conflict", kind]
    assert made[kind].status == "True"
    assert words in made[kind].message


PROPHET = {"model": "prophet", "holidays": ["CH", "2026-12-24"]}


@pytest.mark.parametrize("forecast", [{"horizon": "60m"}, {"history": "1h"}, {"model": "vpa"}, PROPHET])
def test_what_a_forecast_can_honour_needs_no_word(forecast):
    assert list(conditions(memory_policy("p", forecast=forecast))) == ["Conflict"]


def test_a_model_that_cannot_work_here_is_said_and_only_where_it_is_asked_for():
    why = {"prophet": "the package is not installed; auto stands in"}
    asks, asks_not = (memory_policy("p", forecast={"model": name}) for name in ("prophet", "auto"))
    made = policy_conditions(asks, (), (), NOW, POLICY_MODELS, why)
    assert [each.type for each in made] == ["Conflict", "ModelUnavailable"]
    assert made[1].message == "spec.forecast.model: the package is not installed; auto stands in"
    assert [each.type for each in policy_conditions(asks_not, (), (), NOW, POLICY_MODELS, why)] == [
        "Conflict"
    ]


REACH = {"slack": (0.181666, 0.473804), "oom": (3.82734, 122.475)}


@pytest.mark.parametrize(
    ("objective", "known", "instead"),
    [
        ("slack:0.1", "slack:0.182 to slack:0.473", "slack:0.182"),
        ("slack:0.6", "slack:0.182 to slack:0.473", "slack:0.473"),
        ("oom:1", "oom:3.83 to oom:122", "oom:3.83"),
        ("oom:500", "oom:3.83 to oom:122", "oom:122"),
    ],
)
def test_an_operating_point_that_no_price_is_known_for_is_said_with_those_that_are(objective, known, instead):
    asks = memory_policy("p", limits={"objective": objective})
    made = {each.type: each for each in policy_conditions(asks, (), (), NOW, reach=REACH)}
    said = made["ObjectiveOutOfReach"]
    assert (said.status, said.reason) == ("True", "NotMeasured")
    assert said.message == (
        f"spec.limits.objective: {objective} is out of reach: prices are known from {known};"
        f" that of {instead} stands for it, and is moved from there by what comes of it"
    )
    named = memory_policy("p", limits={"objective": instead})
    assert [each.type for each in policy_conditions(named, (), (), NOW, reach=REACH)] == ["Conflict"]


@pytest.mark.parametrize(
    "limits", [{"objective": "balanced"}, {"objective": "slack:0.25"}, {"oomPrice": 900}]
)
def test_what_is_within_reach_needs_no_word(limits):
    made = policy_conditions(memory_policy("p", limits=limits), (), (), NOW, reach=REACH)
    assert [each.type for each in made] == ["Conflict"]


def test_a_containers_own_operating_point_is_judged_too():
    asks = memory_policy("p", containers=[{"name": "app", "limits": {"objective": "oom:1"}}])
    (said,) = policy_conditions(asks, (), (), NOW, reach=REACH)[1:]
    assert said.message.startswith("spec.containers[0].limits.objective: oom:1 is out of reach")


def test_a_plain_policy_has_no_conflict_and_asks_for_nothing():
    made = conditions(memory_policy("p", mode="InPlace"))
    assert list(made) == ["Conflict"]
    assert made["Conflict"].status == "False"
    assert made["Conflict"].to_api()["lastTransitionTime"] == NOON


@pytest.mark.parametrize(
    ("spec", "engine"),
    [
        ({"reclaim": {"mode": "Cold"}}, Engine.RECLAIM),
        ({"reclaim": {"mode": "Predictive"}}, Engine.RECLAIM),
        ({"containers": [{"name": "a", "reclaim": {"mode": "Cold"}}]}, Engine.RECLAIM),
        ({"placement": {"node": "Prefer"}}, Engine.PLACEMENT_NODE),
        ({"placement": {"numa": "Prefer"}}, Engine.PLACEMENT_NUMA),
        ({"placement": {"numa": "Bind"}}, Engine.PLACEMENT_BIND),
        ({"leak": {"action": "Raise"}}, Engine.LEAK),
        ({"leak": {"action": "Restart"}}, Engine.LEAK),
        ({"limits": {"basis": "needed"}}, Engine.NEEDED),
        ({"containers": [{"name": "a", "limits": {"basis": "needed"}}]}, Engine.NEEDED),
        ({"forecast": {"model": "prophet", "holidays": ["CH"]}}, Engine.HOLIDAYS),
    ],
)
def test_only_an_explicit_wish_is_not_yet_active(spec, engine):
    policy = memory_policy("p", **spec)
    assert list(asked_engines(policy.spec)) == [engine]
    if engine not in ACTIVE_ENGINES:
        assert f"spec.{engine}" in conditions(policy)["NotYetActive"].message


@pytest.mark.parametrize(
    "spec",
    [
        {"reclaim": {"mode": "Off", "maxPressure": 5}},
        {"placement": {"node": "Off", "numa": "Off"}},
        {"leak": {"action": "Alert"}},
        {"leak": {"action": "Leave"}},
        {"containers": [{"name": "a"}, {"name": "b", "limits": {"basis": "usage"}}]},
    ],
)
def test_defaults_written_out_ask_for_nothing(spec):
    assert inactive_engines(memory_policy("p", **spec).spec) == ()
    assert "NotYetActive" not in conditions(memory_policy("p", **spec))


@pytest.mark.parametrize(
    ("spec", "which"),
    [
        ({"limits": {"basis": "needed"}}, "for it"),
        ({"limits": {"basis": "needed"}, "reclaim": {"mode": "Cold"}}, ""),
        ({"containers": [{"name": "a", "limits": {"basis": "needed"}}]}, "for containers a"),
        (
            {"containers": [{"name": "a", "limits": {"basis": "needed"}, "reclaim": {"mode": "Cold"}}]},
            "",
        ),
        (
            {
                "limits": {"basis": "needed"},
                "reclaim": {"mode": "Cold"},
                "containers": [{"name": "db", "reclaim": {"mode": "Off"}}],
            },
            "for containers db",
        ),
    ],
)
def test_needed_memory_is_told_only_of_what_may_be_reclaimed(spec, which):
    found = conditions(memory_policy("p", **spec)).get("NeedNotTold")
    assert (found is not None) == bool(which)
    if found is not None:
        assert f"reclaim.mode is Off {which}:" in found.message


def test_both_policies_of_a_tie_carry_the_conflict_and_the_third_does_not():
    one, two, three = targeting("one", "web"), targeting("two", "web"), targeting("three", "api")
    found = PolicySet([one, two, three], {"own"}).resolve(WorkloadRef("shop", "Deployment", "web"), {}, {})
    for policy in (one, two):
        made = conditions(policy, [found])["Conflict"]
        assert made.status == "True"
        assert "MemoryPolicy shop/one" in made.message
        assert "MemoryPolicy shop/two" in made.message
    assert conditions(three, [found])["Conflict"].status == "False"


def test_a_conflict_over_many_workloads_names_one_and_counts_the_rest():
    one, two = memory_policy("one"), memory_policy("two")
    policies = PolicySet([one, two], {"own"})
    found = [
        policies.resolve(WorkloadRef("shop", "Deployment", name), {}, {})
        for name in ("web", "api", "db", "api")
    ]
    message = conditions(one, found)["Conflict"].message
    assert "shop/Deployment/api" in message
    assert "2 more" in message


def test_a_policy_that_cannot_be_read_says_where():
    policy = read_policy(body("p", selector={}, limits={"max": "lots"}))
    made = conditions(policy)["Invalid"]
    assert made.status == "True"
    assert "spec.limits.max: 'lots' is not a memory quantity" in made.message


def test_a_max_of_four_kibibytes_that_stands_in_a_cluster_is_said_to_be_invalid():
    policy = read_policy(body("p", selector={}, mode="InPlace", limits={"max": "4096"}))
    made = conditions(policy)["Invalid"]
    assert made.status == "True"
    assert "spec.limits.max: 4Ki must be at least 16Mi; a number without a unit means bytes" in made.message
    assert not policy.container("app").mode.admits
    assert not policy.container("app").mode.resizes


def test_the_time_of_a_condition_moves_only_with_its_status():
    one, two = memory_policy("one"), memory_policy("two")
    conflict = PolicySet([one, two], {"own"}).resolve(WorkloadRef("shop", "Deployment", "web"), {}, {})
    first = policy_conditions(one, [conflict], (), NOW)
    assert policy_conditions(one, [conflict], first, NOW + 60) == first
    changed = policy_conditions(one, [], first, NOW + 60)
    assert changed[0].last_transition_time_seconds == NOW + 60
