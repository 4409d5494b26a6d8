"""The models of the placement benches: a batch is put right, figures add up, moves earn what they should."""

import numpy as np
import pytest

from builders.benches import bench_modules
from plimsoll.placement.lanes import Loads
from plimsoll.replay.placement import PlacementOutcome

B = bench_modules(
    placement="placement",
    nodes="placement_nodes",
    pods="placement_pods",
    fates="placement_fates",
    moves="placement_moves",
    recorded="placement_recorded",
    model="placement_model",
    numa="placement_numa",
)
DAY_BINS = 288


@pytest.fixture(scope="module")
def drawn():
    """40 pods of a steady level, four days."""
    level = np.random.default_rng(1).lognormal(0.0, 0.5, (40, 1)) * 2.0**30
    usage = np.repeat(level, 4 * DAY_BINS, axis=1)
    return B.pods.Drawn(usage, 1.3 * level[:, 0], 1.2 * level[:, 0])


@pytest.mark.parametrize("arm", ["requests", "plimsoll"])
def test_pods_go_somewhere_and_figures_add_up(drawn, arm):
    capacity = B.model.capacity_for(drawn, 5, 0.5)
    places = B.model.in_process(drawn, arm, 5, capacity)
    outcome = B.model.figures_of(drawn, places, 5, capacity)
    figures = outcome.figures()
    assert figures["unplaced"][0] == np.count_nonzero(places == -1) == 0
    assert figures["short_node_bins"][0] == 0.0
    low, high = outcome.interval("requested_deviation")
    assert 0.0 <= low <= figures["requested_deviation"][0] * 1.5
    assert high >= low


def test_more_pods_than_series_use_them_again(drawn):
    capacity = B.model.capacity_for(drawn, 10, 0.5, pods=120)
    places = B.model.in_process(drawn, "plimsoll", 10, capacity, pods=120)
    assert len(places) == 120
    assert np.count_nonzero(places == -1) == 0


def test_a_guess_that_was_not_heeded_is_taken_back(drawn):
    capacity = B.model.capacity_for(drawn, 3, 0.5)
    webhook = B.model.Webhook(drawn, "plimsoll", 3, capacity)
    nothing = webhook._said._chooser.need_bytes.copy()
    wanted = webhook.batch([0, 1])
    assert all(wanted)
    webhook.settle([0, 1], wanted, [-1, -1])
    np.testing.assert_allclose(webhook._said._chooser.need_bytes, nothing, atol=1.0)
    np.testing.assert_allclose(webhook._requested, 0.0, atol=1.0)


def test_the_published_points_are_in_the_numa_model():
    assert [B.numa.cost(each) for each in (0.0, 0.5, 1.0)] == [1.26, 1.105, 1.0]
    assert B.numa.cost(0.75) == pytest.approx(1.0525)


def test_what_the_agent_moves_gains_and_what_it_leaves_gains_nothing(monkeypatch):
    monkeypatch.setattr(B.numa, "HOURS", 1.0)
    moved = B.numa.run(np.random.default_rng(1))
    assert 0.5 < moved.local / moved.accesses <= moved.reachable / moved.accesses <= 1.0
    assert moved.work_anywhere < moved.work < moved.work_local
    monkeypatch.setattr(B.numa, "look", lambda *_: None)
    left = B.numa.run(np.random.default_rng(1))
    assert left.work == pytest.approx(left.work_anywhere)
    assert left.local / left.accesses == pytest.approx(0.5)


def recorded(job, first_day, days, level=1.0):
    """A series whose every bin tells which day it is of."""
    day = np.repeat(np.arange(first_day, first_day + days, dtype=float), DAY_BINS)
    return B.pods.Recorded(job, first_day, level + 1000.0 * day)


def test_jobs_come_whole_and_all_of_a_source_has_the_same_days():
    bank = [[recorded("a", 0, 9, 0.1), recorded("a", 2, 5, 0.2), recorded("b", 0, 9, 0.3)]]
    jobs = B.pods.jobs_of(bank, np.random.default_rng(1))
    for _ in range(8):
        some = [next(jobs), next(jobs)]  # of one window: a, of as many tasks as were recorded then, and b
        days = {round(float(task[0]) // 1000) for tasks in some for task in tasks}
        assert len(days) == 1
        (day,) = days
        kinds = sorted(sorted(round(float(task[0]) % 1000, 1) for task in tasks) for tasks in some)
        assert kinds == ([[0.1, 0.2], [0.3]] if 2 <= day <= 3 else [[0.1], [0.3]])
        assert all(len(task) == B.pods.DAYS * DAY_BINS for tasks in some for task in tasks)


def test_a_source_of_many_tasks_gives_no_more_pods_than_others():
    bank = [[recorded("many", 0, 4, at / 100) for at in range(10)], [recorded("one", 0, 4)]]
    jobs = B.pods.jobs_of(bank, np.random.default_rng(2))
    sizes = [len(next(jobs)) for _ in range(44)]
    assert sizes.count(10) == 4


@pytest.mark.parametrize(
    ("series_id", "job"),
    [
        ("g19-113812204462-115", "g19-113812204462"),
        ("nezha-adservice-5f6585d649-fnmft-0", "nezha-adservice"),
        ("gcd-1297383150-d3", "gcd-1297383150-d3"),  # the same job on another day is no other task
        ("rnd7-6", "rnd7-6"),
    ],
)
def test_what_is_a_task_of_what(series_id, job):
    assert B.pods.job_of(series_id) == job


def test_the_share_without_an_opinion_is_told_of_each_way_of_counting(monkeypatch):
    """Replicas that are unlike; requests that tell their use well enough."""
    rng = np.random.default_rng(3)
    job = np.repeat(np.arange(12), 5)
    wave = 1.0 + 0.4 * np.sin(np.arange(4 * DAY_BINS) * 2 * np.pi / DAY_BINS + rng.uniform(0, 6, (12, 1)))
    level = rng.lognormal(0.0, 0.4, (12, 1))[job] * rng.uniform(0.1, 1.0, (60, 1)) * 2.0**34
    usage = level * wave[job] * rng.lognormal(0.0, 0.02, (60, 4 * DAY_BINS))
    peak = usage.max(axis=1)
    drawn = B.pods.Drawn(usage, 1.3 * peak, 1.2 * peak, job)
    monkeypatch.setattr(B.fates, "whole_jobs", lambda *_: [drawn, drawn])
    rows = {row.name: row.value for row in B.fates.fate_rows(None, 60, 2)}
    own, by_workload = (
        rows[f"placement.fates.{arm}.no_opinion_percent"] for arm in ("plimsoll", "rows_by_workload")
    )
    assert own < by_workload <= 100.0
    assert rows["placement.fates.plimsoll.nodes_saved_percent"] >= 0.0


def test_shortages_are_compared_where_every_pod_has_a_place_and_nodes_have_room_for_all(monkeypatch):
    rng, seen = np.random.default_rng(6), []
    level = rng.uniform(0.02, 0.25, 40) * B.nodes.NODE_BYTES
    usage = level[:, None] * rng.uniform(0.9, 1.0, (40, 4 * DAY_BINS))
    drawn = B.pods.Drawn(usage, 2.0 * level, 1.5 * level)
    outcome_of = B.nodes.outcome_of

    def noted(*arguments):
        seen.append(outcome_of(*arguments))
        return seen[-1]

    monkeypatch.setattr(B.nodes, "outcome_of", noted)
    short = B.nodes.equally_packed(drawn)
    assert len(seen) == 2 * len(B.nodes.FILLED)
    assert [each.unplaced for each in seen] == [0] * len(seen)
    assert min(each.nodes for each in seen) * B.nodes.NODE_BYTES >= usage.sum(axis=0).max()
    assert sum(short.values()) == sum(each.short_node_bins for each in seen)


def test_an_arm_that_is_short_on_any_number_of_nodes_counts_with_the_most(monkeypatch):
    usage = np.full((4, 4 * DAY_BINS), 0.2 * B.nodes.NODE_BYTES)
    drawn = B.pods.Drawn(usage, usage[:, 0], usage[:, 0] * 5)  # four nodes by requests
    always = lambda _, arm, nodes: PlacementOutcome(nodes, 0, 1, 100, 1)  # noqa: E731
    monkeypatch.setattr(B.nodes, "outcome_of", always)
    assert B.nodes.fewest(drawn, B.pods.PLACED, 0).nodes == 9
    assert B.nodes.fewest(drawn, B.pods.PLACED, 1).nodes == 4


def test_pods_one_by_one_use_as_many_nodes_as_their_peaks_need_and_never_fewer_than_all_at_once():
    level = np.array([6.0, 6.0, 4.0, 4.0])[:, None] * np.ones((1, 24))
    steady = Loads(level, 0.0 * level, 0.0 * level)
    assert B.placement.one_by_one(steady, 10.0) == 2  # 6 and 4 on each: a 6 finds no room beside a 6
    day = np.arange(24) < 12
    wave = np.where(np.array([day, day, ~day, ~day]), 6.0, 1.0)
    apart = Loads(wave, 0.0 * wave, 0.0 * wave)
    assert B.placement.one_by_one(apart, 7.5) == 2
    assert B.placement.one_by_one(apart, 6.5) == 4
    order = np.array([[4.0], [4.0], [6.0], [6.0]]) * np.ones((1, 24))
    early = Loads(order, 0.0 * order, 0.0 * order)
    assert B.placement.one_by_one(early, 10.0) == 3  # both fours are together when the sixes come
    assert B.placement.in_best_order(early, 10.0, least=2) == 2  # the sixes first
    assert B.placement.in_best_order(steady, 10.0, least=1) == 2  # never fewer than there can be


def test_a_series_counts_where_it_was_seen_for_days_on_end():
    usage = np.repeat(np.arange(20.0), DAY_BINS)
    usage[4 * DAY_BINS : 6 * DAY_BINS] = np.nan  # days 0 to 3 stay, and 6 to 19 without 12
    usage[12 * DAY_BINS : 12 * DAY_BINS + 100] = np.nan
    usage[8 * DAY_BINS : 8 * DAY_BINS + 20] = np.nan  # as much as may be missing
    assert B.pods.runs_of(np.isfinite(usage)) == [(0, 4), (6, 12), (13, 20)]
    part = B.pods.filled(usage[6 * DAY_BINS : 12 * DAY_BINS])
    assert part[2 * DAY_BINS : 2 * DAY_BINS + 20].tolist() == [7.0] * 20
    assert B.pods.filled(np.array([np.nan, 2.0, np.nan])).tolist() == [2.0] * 3


def test_each_eighth_pod_runs_four_hours_a_day_and_uses_nothing_else(drawn):
    fleet = B.moves.by_clock(drawn, drawn.fleet("requests"))
    assert fleet.runs[::8].sum(axis=1).tolist() == [16] * 5  # of four days
    assert fleet.runs[1:8].all()
    used = fleet.usage_bytes[0].reshape(-1, 12) > 0
    np.testing.assert_array_equal(used.all(axis=1), fleet.runs[0])
    np.testing.assert_array_equal(used.any(axis=1), fleet.runs[0])


def test_evictions_are_told_by_pod_days_and_those_in_vain_as_a_share():
    found = [B.moves.Sum(5, 8, 2, 0, 0), B.moves.Sum(5, 12, 3, 1, 0)]
    preferred = [B.moves.Sum(20, 0, 0, 0, 0)] * 2
    short, evictions, vain = B.moves._of_way("relief", found, preferred, pods=200, days=8.0)
    assert short.value == 0.25
    assert evictions.value == pytest.approx(12.5)  # 20 of 200 pods' eight days
    assert vain.value == 25.0


def test_what_ways_do_on_recordings_adds_up_over_draws_and_counts_where_they_are_worse():
    def of(*bins, evictions=0):
        return [B.moves.Sum(each, evictions, 0, 0, 0) for each in bins]

    found = {"requests": of(10, 2), "prefer": of(4, 2), "relief": of(1, 3, evictions=5)}
    rows = {each.name.removeprefix("placement.recorded."): each for each in B.recorded.figures(found, 600)}
    assert rows["requests.short_bins"].value == 12.0
    assert rows["prefer.short_bins_ratio"].value == 0.5
    assert (rows["prefer.draws_worse"].value, rows["relief.draws_worse"].value) == (0, 1)
    assert rows["relief.short_bins_averted"].value == 2.0
    assert rows["relief.evictions"].value == 10.0
    assert rows["relief.short_bins"].low <= 4.0 <= rows["relief.short_bins"].high
