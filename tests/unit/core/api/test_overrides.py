"""What a policy says about one container: defaults, overrides by name, price, contradictions."""

import pytest

from builders.policies import memory_policy
from plimsoll.api.effective import Basis, Controlled, EffectiveContainerPolicy, Importance, Mode
from plimsoll.api.policy import MemoryPolicySpec

MI = 2**20


def effective(container: str = "app", **spec) -> EffectiveContainerPolicy:
    return memory_policy("p", **spec).container(container)


def test_defaults_of_the_dataclass_are_those_of_the_models():
    made = effective()
    assert made == EffectiveContainerPolicy(policy=made.policy, container="app")


def test_every_field_reaches_the_container():
    made = effective(
        mode="InPlace",
        importance="High",
        limits={
            "objective": "slack:0.25",
            "basis": "needed",
            "controlled": "LimitsOnly",
            "buffer": {"min": 0.1, "max": 0.5},
            "min": "64Mi",
            "max": "1Gi",
        },
        forecast={"model": "seasonal", "horizon": "2h", "history": "7d", "holidays": ["CH"]},
        updates={
            "cooldown": "30m",
            "minChange": 0.2,
            "window": "22:00-06:00",
            "budget": {"resizesPerHour": 5, "evictionsPerHour": 1},
        },
    )
    assert (made.mode, made.importance, made.objective, made.oom_price) == (
        Mode.IN_PLACE,
        Importance.HIGH,
        "slack:0.25",
        None,
    )
    assert (made.basis, made.controlled) == (Basis.NEEDED, Controlled.LIMITS_ONLY)
    assert (made.buffer_min_fraction, made.buffer_max_fraction) == (0.1, 0.5)
    assert (made.min_bytes, made.max_bytes) == (64 * MI, 1024 * MI)
    assert (made.model_name, made.horizon_seconds, made.history_seconds) == ("seasonal", 7200, 604_800)
    assert (made.holidays, made.cooldown_seconds, made.min_change_fraction) == (("CH",), 1800, 0.2)
    assert (made.window.text, made.resizes_per_hour, made.evictions_per_hour) == ("22:00-06:00", 5, 1)


OVERRIDES = [
    {"name": "*", "limits": {"max": "100Mi"}},
    {"name": "log-*", "limits": {"max": "200Mi"}},
    {"name": "log-ship*", "limits": {"max": "300Mi"}},
    {"name": "log-shipper", "limits": {"max": "400Mi"}},
    {"name": "ab?", "limits": {"max": "500Mi"}},
    {"name": "?bc", "limits": {"max": "600Mi"}},
]


@pytest.mark.parametrize(
    ("container", "max_mib"),
    [
        ("app", 100),
        ("log-reader", 200),
        ("log-shipping", 300),
        ("log-shipper", 400),
        ("abd", 500),
        ("abc", 600),
        ("xbc", 600),
    ],
)
@pytest.mark.parametrize("order", [1, -1])
def test_the_override_that_fits_best_counts_whatever_the_order(container: str, max_mib: int, order: int):
    assert effective(container, containers=OVERRIDES[::order]).max_bytes == max_mib * MI


def test_an_override_changes_only_what_it_says():
    spec = {"mode": "InPlace", "limits": {"min": "64Mi", "max": "1Gi", "controlled": "LimitsOnly"}}
    override = {"name": "istio-proxy", "limits": {"max": "256Mi"}}
    made = effective("istio-proxy", **spec, containers=[override])
    assert (made.mode, made.min_bytes, made.max_bytes) == (Mode.IN_PLACE, 64 * MI, 256 * MI)
    assert made.controlled is Controlled.LIMITS_ONLY


def test_an_override_may_say_everything():
    limits = {
        "basis": "needed",
        "controlled": "RequestsOnly",
        "buffer": {"min": 0.2},
        "min": "1Mi",
        "oomPrice": 9,
    }
    made = effective(containers=[{"name": "app", "mode": "Off", "importance": "Low", "limits": limits}])
    assert (made.mode, made.importance, made.basis) == (Mode.OFF, Importance.LOW, Basis.NEEDED)
    assert (made.controlled, made.min_bytes, made.oom_price) == (Controlled.REQUESTS_ONLY, MI, 9)
    assert (made.buffer_min_fraction, made.buffer_max_fraction) == (0.2, None)


@pytest.mark.parametrize(
    ("policy", "override", "objective", "price", "importance"),
    [
        ({}, {}, None, None, "Normal"),
        ({"oomPrice": 5}, {}, None, 5, "Normal"),
        ({"oomPrice": 5}, {"limits": {"objective": "oom:70"}}, "oom:70", None, "Normal"),
        ({"objective": "oom:70"}, {"limits": {"oomPrice": 5}}, None, 5, "Normal"),
        ({"objective": "oom:70"}, {"importance": "Critical"}, None, None, "Critical"),
        ({"objective": "oom:70"}, {"importance": "Critical", "limits": {"oomPrice": 5}}, None, 5, "Critical"),
        ({"objective": "oom:70"}, {"limits": {"max": "1Gi"}}, "oom:70", None, "Normal"),
    ],
)
def test_the_price_of_a_kill_comes_from_the_closest_place(policy, override, objective, price, importance):
    made = effective(limits=policy, containers=[{"name": "app"} | override])
    assert (made.objective, made.oom_price, made.importance) == (objective, price, importance)


def test_a_policy_that_contradicts_itself_acts_on_nothing():
    made = effective(
        mode="InPlace", limits={"max": "1Gi"}, containers=[{"name": "app", "limits": {"max": "32Mi"}}]
    )
    assert made.problem == ""
    broken = memory_policy(
        "p", mode="InPlace", limits={"min": "64Mi"}, containers=[{"name": "a*", "limits": {"max": "32Mi"}}]
    )
    assert broken.mode is Mode.OFF
    assert "must not be below spec.limits.min" in broken.container("app").problem


@pytest.mark.parametrize(
    ("mode", "admits", "resizes", "recreates"),
    [
        (Mode.OFF, False, False, False),
        (Mode.RECOMMEND, False, False, False),
        (Mode.INITIAL, True, False, False),
        (Mode.IN_PLACE, True, True, False),
        (Mode.IN_PLACE_OR_RECREATE, True, True, True),
    ],
)
def test_each_mode_includes_the_ones_before(mode: Mode, admits: bool, resizes: bool, recreates: bool):
    assert (mode.admits, mode.resizes, mode.recreates) == (admits, resizes, recreates)


@pytest.mark.parametrize(
    ("controlled", "limits", "requests"),
    [
        (Controlled.REQUESTS_AND_LIMITS, True, True),
        (Controlled.LIMITS_ONLY, True, False),
        (Controlled.REQUESTS_ONLY, False, True),
    ],
)
def test_what_is_controlled(controlled: Controlled, limits: bool, requests: bool):
    assert (controlled.limits, controlled.requests) == (limits, requests)


def test_a_spec_survives_the_way_to_the_cluster_and_back():
    spec = memory_policy("p", limits={"min": "1Mi"}, updates={"cooldown": "90s"}, containers=OVERRIDES).spec
    assert MemoryPolicySpec.model_validate(spec.to_api()) == spec
    assert spec.to_api()["limits"]["min"] == "1Mi"
    assert spec.to_api()["updates"]["cooldown"] == "90s"
