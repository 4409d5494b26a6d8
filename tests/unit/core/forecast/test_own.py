"""A refit learns what differs in a cluster, leaves alone what does not; who judges it taught it nothing."""

from dataclasses import replace

import numpy as np
import pytest

from builders.lessons import lessons_of
from plimsoll.forecast.hazard import shipped_networks
from plimsoll.forecast.own import LEAST_JUDGES, Lessons, RefitTask, confirmed, dealt, refit


def test_a_cluster_whose_usage_rises_oftener_gets_weights_of_its_own():
    answer = refit(RefitTask(7, lessons_of(100, 20, moved=1.0)))
    assert answer.ticket == 7
    own = answer.own
    assert own is not None
    assert "kept" in answer.verdict
    assert own.evidence.own_loss < own.evidence.shipped_loss
    assert own.evidence.difference[1] < 0
    assert own.evidence.judges >= LEAST_JUDGES
    for mine, shipped in zip(own.networks(), shipped_networks(), strict=True):
        assert np.array_equal(mine.first, shipped.first)
        assert mine.bias[0] > shipped.bias[0]


@pytest.mark.parametrize("seed", range(3))
def test_shipped_weights_stay_where_they_are_right(seed):
    answer = refit(RefitTask(1, lessons_of(100, 20, seed=seed)))
    assert answer.own is None
    assert "shipped weights stay" in answer.verdict


def test_the_same_lessons_give_the_same_weights():
    first, again = (refit(RefitTask(1, lessons_of(80, 12, moved=1.5))).own for _ in range(2))
    assert first is not None
    for one, other in zip(first.layers, again.layers, strict=True):
        np.testing.assert_array_equal(one.third, other.third)
        np.testing.assert_array_equal(one.skip, other.skip)


def test_few_workloads_prove_nothing_however_many_hours_they_have():
    answer = refit(RefitTask(1, lessons_of(12, 150, moved=2.0)))
    assert answer.own is None
    assert "to judge by" in answer.verdict


def test_no_lessons_at_all_and_lessons_that_are_none_change_nothing():
    some = lessons_of(80, 12, moved=1.5)
    row = some.row.copy()
    row[:, 3] = np.nan
    for lessons in (some.take(np.zeros(len(some), dtype=bool)), replace(some, row=row)):
        assert refit(RefitTask(1, lessons)).own is None


def test_a_workload_is_on_one_side_and_stays_there():
    codes = np.repeat(np.arange(200), 3)
    parts = dealt(codes)
    assert np.array_equal(sum(part.astype(int) for part in parts), np.ones(len(codes)))
    for part in parts:
        assert len(set(codes[part]) & set(codes[~part])) == 0
    later = dealt(np.arange(400))
    for before, after in zip(parts, later, strict=True):
        assert set(codes[before]) == set(np.flatnonzero(after[:200]))
    shares = [part.mean() for part in later]
    assert shares == pytest.approx([0.5, 0.2, 0.3], abs=0.08)


def test_weights_made_for_other_networks_are_refused():
    own = refit(RefitTask(1, lessons_of(80, 12, moved=1.5))).own
    assert own is not None
    with pytest.raises(ValueError, match="other networks"):
        replace(own, fingerprint="0" * 32).networks()


def test_lessons_can_be_taken_by_mask():
    some = lessons_of(3, 2)
    part = some.take(some.workload == 1)
    assert isinstance(part, Lessons)
    assert (len(some), len(part), part.level.shape[0]) == (6, 2, 2)


def test_weights_that_somebody_else_made_pass_the_same_guard():
    task = RefitTask(4, lessons_of(100, 20, moved=1.0))
    honest = refit(task)
    seen = confirmed(replace(honest, evidence=None), task)
    assert (seen.ticket, seen.verdict) == (4, honest.verdict)
    for one, other in zip(seen.own.layers, honest.own.layers, strict=True):
        np.testing.assert_array_equal(one.third, other.third)
    assert seen.evidence.workloads == honest.evidence.workloads
    assert seen.evidence.own_loss == pytest.approx(honest.evidence.own_loss, rel=1e-6)


def spoiled(own, **changes):
    return replace(own, layers=tuple(replace(layer, **changes) for layer in own.layers))


@pytest.mark.parametrize(
    "forge",
    [
        lambda own: spoiled(own, bias=np.array([-9.0], dtype=np.float32)),
        lambda own: spoiled(own, third=-1e4 * np.ones_like(own.layers[0].third)),
        lambda own: replace(own, fingerprint="0" * 32),
        lambda own: replace(own, layers=own.layers[:1]),
    ],
    ids=["never a rise", "absurd", "of other networks", "too few"],
)
def test_what_a_worker_sends_is_used_only_where_it_is_better_here(forge):
    task = RefitTask(4, lessons_of(100, 20, moved=1.0))
    honest = refit(task)
    seen = confirmed(replace(honest, own=forge(honest.own)), task)
    assert seen.own is None
    assert "shipped weights stay" in seen.verdict


def test_weights_of_others_need_judges_as_well():
    made = refit(RefitTask(4, lessons_of(100, 20, moved=1.0)))
    seen = confirmed(made, RefitTask(4, lessons_of(12, 150, moved=1.0)))
    assert seen.own is None
    assert "to judge by" in seen.verdict
