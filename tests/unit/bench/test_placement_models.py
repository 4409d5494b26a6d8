"""The models of the placement benches: a batch is put right, figures add up, moves earn what they should."""

import numpy as np
import pytest

from builders.benches import bench_modules

B = bench_modules(placement="placement", model="placement_model", numa="placement_numa")
DAY_BINS = 288


@pytest.fixture(scope="module")
def drawn():
    """40 pods of a steady level, four days."""
    level = np.random.default_rng(1).lognormal(0.0, 0.5, (40, 1)) * 2.0**30
    usage = np.repeat(level, 4 * DAY_BINS, axis=1)
    return B.placement.Drawn(usage, 1.3 * level[:, 0], 1.2 * level[:, 0])


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
