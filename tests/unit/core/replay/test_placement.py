"""In: a fleet of made pods. Out: where each way of placing puts them, and which nodes run short."""

from dataclasses import replace

import numpy as np
import pytest

from plimsoll.replay.placement import (
    MOST_PODS,
    NOWHERE,
    Fleet,
    KubeScheduler,
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


def shortages(made, nodes, **settings):
    capacity = 1.1 * made.usage_bytes.sum(axis=0).max() / nodes
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
