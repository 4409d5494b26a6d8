"""In: a fleet of made pods. Out: where each way of placing puts them, and which nodes run short."""

from dataclasses import replace

import numpy as np
import pytest

from plimsoll.replay.kube_scheduler import MOST_PODS, NOWHERE, KubeScheduler
from plimsoll.replay.placement import (
    Fleet,
    PlacementSettings,
    replay_placement,
)

HOURS = 96
PAST_HOURS = 48


def fleet(pods=120, seed=1, swing=0.6, request=0.55):
    """Pods whose day has its peak at noon or at midnight; requests are `request` of their own peak."""
    rng = np.random.default_rng(seed)
    level = rng.lognormal(0.0, 0.5, (pods, 1))
    phase = rng.integers(0, 2, (pods, 1)) * np.pi
    hour = np.arange(HOURS)[None]
    hourly = (
        level * (1 + swing * np.sin(2 * np.pi * hour / 24 + phase)) * rng.lognormal(0, 0.02, (pods, HOURS))
    )
    usage = np.repeat(hourly, 12, axis=1)
    return Fleet(usage, PAST_HOURS * 12, request * usage[:, : PAST_HOURS * 12].max(axis=1))


def shortages(made, nodes, room=1.1, **settings):
    capacity = room * made.usage_bytes.sum(axis=0).max() / nodes
    return replay_placement(made, nodes, capacity, replace(PlacementSettings(seed=3), **settings))


def test_placing_by_forecast_has_fewer_shortages_than_the_scheduler_alone():
    made = fleet()
    alone, placed = shortages(made, 8, placing=False), shortages(made, 8)
    assert alone.unplaced == placed.unplaced == 0
    assert placed.short_node_bins * 3 <= alone.short_node_bins > 0
    assert placed.unopinionated == 0


def test_with_the_forecasts_of_other_pods_it_is_the_scheduler_alone():
    made = fleet()
    alone, shuffled = shortages(made, 8, placing=False), shortages(made, 8, shuffled=True)
    assert shuffled == alone
    followed = shortages(made, 8, shuffled=True, guarded=False)
    assert followed.promised


def test_the_same_seed_gives_the_same_outcome():
    made = fleet()
    assert shortages(made, 8) == shortages(made, 8)


def test_pods_that_find_no_node_are_counted():
    made = fleet(pods=30, request=1.0)
    outcome = replay_placement(made, 2, float(made.request_bytes.sum() / 4), PlacementSettings(placing=False))
    assert 0 < outcome.unplaced < 30


@pytest.mark.parametrize("request_bytes", [0.3, 0.5])
def test_the_scheduler_spreads_by_requests_and_filters(request_bytes):
    scheduler = KubeScheduler(np.ones(4), np.random.default_rng(1))
    places = [scheduler.place(request_bytes) for _ in range(4)]
    assert sorted(places) == [0, 1, 2, 3]
    while (place := scheduler.place(request_bytes)) != NOWHERE:
        places.append(place)
    assert scheduler.requested_bytes.max() <= 1.0
    scheduler.remove(0, request_bytes)
    assert scheduler.place(request_bytes) == 0


def test_a_preferred_node_outweighs_the_spread_and_not_the_filter():
    scheduler = KubeScheduler(np.ones(3), np.random.default_rng(1))
    assert [scheduler.place(0.4, [2]), scheduler.place(0.4, [2])] == [2, 2]
    assert scheduler.place(0.4, [2]) in {0, 1}
    assert scheduler.place(0.4, [2, 1, 0]) == 1 or scheduler.pods[1] == 1


def test_a_node_holds_no_more_pods_than_the_kubelet_takes():
    scheduler = KubeScheduler(np.ones(1), np.random.default_rng(1))
    assert [scheduler.place(0.0) for _ in range(MOST_PODS + 1)] == [0] * MOST_PODS + [NOWHERE]


def test_of_many_nodes_only_some_are_scored_and_several_preferences_find_one():
    one, several = (KubeScheduler(np.ones(1000), np.random.default_rng(1)) for _ in range(2))
    wanted = list(range(995, 1000))
    hits = sum(one.place(0.001, [999]) == 999 for _ in range(60))
    assert 15 <= hits <= 40
    assert sum(several.place(0.001, wanted) in wanted for _ in range(60)) >= hits


def scored_as_in_go(before, request, pods):
    """kube-scheduler 1.37's integers: LeastAllocated of memory and 100m CPU, and the balance."""
    capacity, cpu = 1000, 32_000
    least = (capacity - before - request) * 100 // capacity + (cpu - (pods + 1) * 100) * 100 // cpu

    def balance(requested):
        return int((1 - abs(requested / capacity - 0.0) / 2) * 100)

    return least // 2 + 50 + (50 + balance(before + request) - balance(before)) // 2


@pytest.mark.parametrize("before", [0, 100, 490, 700])
@pytest.mark.parametrize("request_", [10, 100, 300])
@pytest.mark.parametrize("pods", [0, 7])
def test_the_score_is_that_of_the_scheduler(before, request_, pods):
    scheduler = KubeScheduler(np.array([1000.0]), np.random.default_rng(1))
    scheduler.requested_bytes[0], scheduler.pods[0] = before, pods
    assert scheduler._score(np.array([0]), request_)[0] == scored_as_in_go(before, request_, pods)


def replicas(workloads=30, each=4, seed=4, apart=0.0):
    """Each pod moves with its like, by day and from hour to hour."""
    rng, kin = np.random.default_rng(seed), np.repeat(np.arange(workloads), each)
    made = fleet(workloads, seed)
    together = np.repeat(rng.lognormal(0.0, 0.15, (workloads, HOURS)), 12, axis=1)
    usage = (made.usage_bytes * together)[kin] * rng.uniform(1.0 - apart, 1.0, (len(kin), 1))
    requests = 0.55 * usage[:, : PAST_HOURS * 12].max(axis=1)
    return Fleet(usage, PAST_HOURS * 12, requests, kin)


def test_replicas_that_move_together_are_said_to_be_short_more_often():
    made = replicas(3, 40)
    told, untold = (shortages(each, 2, guarded=False) for each in (made, replace(made, kin=None)))
    assert sum(told.promised) > 2.0 * sum(untold.promised)


@pytest.mark.parametrize("seed", [4, 5])
def test_rows_by_workload_are_told_the_largest_and_are_believed_until_it_tells_far_too_much(seed):
    alike, usual, apart = (
        shortages(replace(replicas(apart=each, seed=seed), by_workload=True), 10) for each in (0.0, 0.3, 0.9)
    )
    assert alike.unopinionated == usual.unopinionated == 0
    assert apart.placements > apart.unopinionated > 0


def growing(pods=120, request=0.4):
    """A quarter of the pods become two and a half times as large in the two days to live through."""
    made = fleet(pods, request=request)
    usage, bins = made.usage_bytes.copy(), (HOURS - PAST_HOURS) * 12
    usage[: pods // 4, PAST_HOURS * 12 :] *= np.linspace(1.0, 2.5, bins)
    return replace(made, usage_bytes=usage)


def test_relief_moves_pods_away_from_nodes_that_outgrow_what_was_forecast():
    made = growing()
    as_they_lie, relieved = (
        shortages(made, 8, room=1.15, recreated_an_hour=0.0, relieving=each) for each in (False, True)
    )
    assert relieved.short_node_bins < as_they_lie.short_node_bins / 4
    assert relieved.evictions > relieved.evictions_in_vain == as_they_lie.evictions == 0


def test_who_is_not_believed_evicts_nobody():
    made = growing()
    alone = shortages(made, 8, placing=False)
    wrong = shortages(made, 8, shuffled=True, relieving=True, holding=True, required=True, keeping=True)
    assert wrong == alone


def test_require_prefers_like_prefer_what_fits_nowhere_and_excludes_what_breaks_the_bound():
    made = growing()
    prefer, require = (shortages(made, 8, required=each) for each in (False, True))
    assert require.unopinionated == prefer.unopinionated
    assert max(require.promised) > 0.02, "some fit nowhere"
    scheduler = KubeScheduler(np.ones(3), np.random.default_rng(1))
    only = np.array([False, True, False])
    assert [scheduler.place(0.6, [2], only), scheduler.place(0.6, [2], only)] == [1, NOWHERE]


def by_the_clock(pods=120):
    """Each eighth pod is four times as large, and runs from 6 to 10 only."""
    made, hour = fleet(pods, request=0.4), np.arange(HOURS) % 24
    runs, large = np.ones((pods, HOURS), dtype=np.bool_), np.arange(pods) % 8 == 0
    runs[large] = (hour >= 6) & (hour < 10)
    usage = np.where(np.repeat(runs, 12, axis=1), made.usage_bytes * np.where(large, 4.0, 1.0)[:, None], 0.0)
    return replace(made, usage_bytes=usage, runs=runs)


def test_room_is_kept_for_who_comes_by_the_clock_and_made_where_there_is_none():
    made = by_the_clock()
    unkept, kept = (shortages(made, 8, keeping=each, recreated_an_hour=0.0) for each in (False, True))
    assert unkept.placements == 105 + 2 * 15  # who runs always, and each start of two days
    assert kept.held > 0
    assert kept.evictions >= kept.held
    assert unkept.evictions == 0


def test_rows_by_workload_do_not_run_by_the_clock():
    with pytest.raises(ValueError, match="always"):
        replace(by_the_clock(), by_workload=True)
