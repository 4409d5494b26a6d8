"""From forecasts to few, limited actions; whatever is unknown acts on nothing."""

import math

import pytest

from builders.pressure import GIB, sample
from plimsoll.pressure.policy import ActionKind, PressurePolicy, ScopeView
from plimsoll.pressure.protocol import PressureForecast, Source, nothing_known
from plimsoll.pressure.sample import ScopeKind


def view(
    now, probability=0.9, scope="a", kind=ScopeKind.CONTAINER, source=Source.MODEL, reclaimable=GIB, **changes
):
    numbers = {"free_ratio": 0.02, "available_ratio": 0.1, **changes}
    return ScopeView(
        scope, kind, sample(now, **numbers), PressureForecast(now, probability, source), reclaimable
    )


def woken(now=100.0):
    """A policy that has been asked once, so that its clock runs."""
    policy = PressurePolicy()
    assert policy.plan([view(now)], now) == []
    return policy


def test_foreseen_pressure_is_met_by_reclaim_and_counted_as_proactive():
    policy = woken()
    (action,) = policy.plan([view(101.0)], 101.0)
    assert (action.kind, action.proactive) == (ActionKind.RECLAIM, True)
    assert 0 < action.reclaim_bytes <= 0.02 * GIB
    assert "within 5 s with probability 0.90" in action.reason
    assert (policy.counts.proactive, policy.counts.reactive) == (1, 0)


def test_pressure_that_is_there_already_is_counted_as_reactive():
    policy = woken()
    splintered = {"kind": ScopeKind.NUMA_NODE, "fragmentation_ratio": 0.9, "free_ratio": 0.1}
    (action,) = policy.plan([view(101.0, psi_some_ratio=0.3, **splintered)], 101.0)
    assert not action.proactive
    assert (policy.counts.proactive, policy.counts.reactive) == (0, 1)


@pytest.mark.parametrize("stall", [0.3, math.nan])
def test_nothing_is_reclaimed_where_tasks_stall_already_or_nobody_can_tell(stall):
    assert woken().plan([view(101.0, psi_some_ratio=stall)], 101.0) == []


@pytest.mark.parametrize(
    ("changes", "kind"),
    [
        ({"fragmentation_ratio": 0.8, "free_ratio": 0.1}, ActionKind.COMPACT),
        ({"fragmentation_ratio": 0.8, "free_ratio": 0.0}, ActionKind.RECLAIM),
        ({"fragmentation_ratio": 0.2}, ActionKind.RECLAIM),
        ({"fragmentation_ratio": math.nan}, ActionKind.RECLAIM),
    ],
)
def test_only_a_splintered_numa_node_with_room_is_compacted(changes, kind):
    (action,) = woken().plan([view(101.0, kind=ScopeKind.NUMA_NODE, **changes)], 101.0)
    assert action.kind is kind
    (other,) = woken().plan([view(101.0, kind=ScopeKind.CONTAINER, **changes)], 101.0) or [None]
    assert other is None or other.kind is ActionKind.RECLAIM


@pytest.mark.parametrize("probability", [math.nan, math.inf, -math.inf, -0.1, 1.1])
def test_what_is_no_probability_acts_on_nothing(probability):
    policy = woken()
    assert policy.plan([view(101.0, probability)], 101.0) == []
    assert policy.counts.held == 2


def test_a_missing_forecast_acts_on_nothing():
    missing = ScopeView("a", ScopeKind.CONTAINER, sample(101.0), nothing_known(101.0), GIB)
    assert woken().plan([missing], 101.0) == []


@pytest.mark.parametrize("reclaimable", [0.0, -1.0, math.nan])
def test_nothing_is_reclaimed_where_nothing_may_be(reclaimable):
    assert woken().plan([view(101.0, reclaimable=reclaimable)], 101.0) == []


@pytest.mark.parametrize("name", ["free_ratio", "allocation_bytes_per_second", "total_bytes"])
def test_an_unknown_need_reclaims_nothing(name):
    assert woken().plan([view(101.0, **{name: math.nan})], 101.0) == []


def test_an_old_forecast_or_one_of_the_future_acts_on_nothing():
    assert woken().plan([view(98.0)], 101.0) == []
    assert woken().plan([view(150.0)], 101.0) == []


def test_no_more_than_ten_actions_a_second_over_all_scopes():
    policy = woken()
    done = 0
    for tick in range(1, 31):
        now = 100.0 + tick / 10
        done += len(policy.plan([view(now, scope=str(number)) for number in range(200)], now))
    assert done <= 30
    assert policy.counts.rate_limited > 1000


def test_the_likeliest_pressure_comes_first():
    policy = woken()
    views = [view(100.15, probability, scope=str(probability)) for probability in (0.6, 0.95, 0.7)]
    assert [action.scope for action in policy.plan(views, 100.15)] == ["0.95"]


def test_one_scope_rests_between_two_actions():
    policy = woken()
    acted = [tick for tick in range(1, 41) if policy.plan([view(100.0 + tick / 10)], 100.0 + tick / 10)]
    assert len(acted) == 4


def test_an_alarm_ends_only_below_the_lower_bound():
    policy = woken()
    said = [0.45, 0.55, 0.3, 0.3, 0.2, 0.3, 0.49, 0.5]
    acted = [bool(policy.plan([view(102.0 + 2 * at, each)], 102.0 + 2 * at)) for at, each in enumerate(said)]
    assert acted == [False, True, True, True, False, False, False, True]


@pytest.mark.parametrize("leap", [-1.0, 11.0, 1e9, math.nan])
def test_the_watchdog_holds_after_a_leap_of_the_clock(leap):
    policy = woken()
    now = 100.0 + leap
    assert policy.plan([view(now)], now) == []
    if not math.isnan(now):
        assert len(policy.plan([view(now + 1)], now + 1)) == 1


def test_where_nothing_helps_nothing_is_done_for_a_while():
    policy = woken()
    acted = []
    for second in range(101, 160):
        for action in policy.plan([view(float(second))], float(second)):
            acted.append(second)
            policy.outcome(action.scope, False, float(second))
    assert acted[:5] == [101, 102, 103, 104, 105]
    assert acted[5] == 135
    assert policy.counts.futile == len(acted)


def test_an_outcome_of_a_scope_that_is_gone_is_no_error():
    policy = woken()
    policy.outcome("gone", False, 101.0)
    assert policy.counts.futile == 0


def test_scopes_that_are_gone_are_forgotten():
    policy = woken()
    for second in range(101, 400):
        policy.plan([view(float(second), scope=str(second))], float(second))
    assert len(policy._scopes) < 40
