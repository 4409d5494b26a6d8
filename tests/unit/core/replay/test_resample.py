"""Intervals, paired differences and frontiers, against what can be worked out by hand."""

import numpy as np
import pytest

from plimsoll.replay.resample import (
    CHANGES,
    OOM,
    SLACK,
    draws,
    figures,
    frontier,
    groups_in,
    interval,
    oom_at_slack,
    slack_at_oom,
    unseen_kills,
)
from plimsoll.replay.score import SeriesScores, outcome

DAYS = 10


def scores(ooms, slack=0.2, names=None, scored=None):
    n = len(ooms)
    bins = np.full(n, DAYS * 288)
    return SeriesScores(
        source=("s",) * n,
        series_id=tuple(names or [f"x-{i}" for i in range(n)]),
        series_class=np.array(["flat"] * n),
        scored=np.ones(n, dtype=bool) if scored is None else np.array(scored),
        bins=bins,
        ooms=np.array(ooms),
        slack_sum=slack * (bins - np.array(ooms)),
        changes=np.array(ooms) * 2,
    )


def test_the_first_draw_is_what_was_measured():
    found = scores([0, 1, 2, 5])
    measured = figures(found, draws(found, 7))[0]
    assert measured[[OOM, SLACK, CHANGES]] == pytest.approx([1000 * 8 / 40, 0.2, 16 / 40])


def test_series_that_are_not_scored_or_not_asked_for_weigh_nothing():
    found = scores([0, 1, 2, 5], scored=[True, True, True, False])
    weights = draws(found, 7, np.array([True, False, True, True]))
    assert (weights[:, [1, 3]] == 0).all()
    assert figures(found, weights)[0, OOM] == pytest.approx(100.0)


def test_siblings_are_drawn_together():
    found = scores([1, 2, 3], names=["gcd-1234500001-d1", "gcd-1234500002-d4", "gcd-9999900001-d1"])
    weights = draws(found, 7)
    assert (weights[:, 0] == weights[:, 1]).all()
    assert (weights[1:, 0] + weights[1:, 2] == 2).all()


def test_siblings_widen_the_interval():
    ooms = [0, 0, 0, 0, 9, 9, 9, 9] * 3
    alone = scores(ooms)
    kin = scores(ooms, names=[f"gcd-{i // 4}0000{i:05}-d1" for i in range(len(ooms))])
    spread = [np.ptp([(f := interval(figures(s, draws(s, 7))[:, OOM])).low, f.high]) for s in (alone, kin)]
    assert spread[1] > 1.5 * spread[0]


def test_a_paired_difference_is_surer_than_its_parts():
    random = np.random.default_rng(3)
    ooms = random.poisson(3, 60)
    one, other = scores(ooms), scores(ooms + 1)
    weights = draws(one, 7)
    difference = interval(figures(other, weights)[:, OOM] - figures(one, weights)[:, OOM])
    assert difference.value == pytest.approx(1000 / DAYS)
    assert difference.low == pytest.approx(difference.high)
    alone = interval(figures(one, weights)[:, OOM])
    assert alone.high - alone.low > 30


def test_nothing_drawn_is_no_number():
    found = scores([1, 2], scored=[False, False])
    with np.errstate(invalid="raise"):
        assert np.isnan(interval(figures(found, draws(found, 7))[:, OOM]).value)


def test_between_two_settings_a_frontier_is_a_line():
    loose, tight = scores([2, 2], slack=0.4), scores([10, 10], slack=0.2)
    curve = frontier([loose, tight], draws(loose, 7))
    assert curve[0] == pytest.approx(np.array([[1000.0, 0.2], [200.0, 0.4]]))
    assert oom_at_slack(curve[:1], 0.3) == pytest.approx([600.0])
    assert slack_at_oom(curve[:1], 600.0) == pytest.approx([0.3])
    assert slack_at_oom(curve[:1], 1000.0) == pytest.approx([0.2])


@pytest.mark.parametrize("slack", [0.19, 0.41])
def test_beyond_its_settings_a_frontier_says_nothing(slack):
    curve = np.array([[[100.0, 0.2], [20.0, 0.4]]])
    assert np.isnan(oom_at_slack(curve, slack)).all()


@pytest.mark.parametrize("oom", [19.0, 101.0])
def test_a_frontier_that_never_has_so_few_or_so_many_says_nothing(oom):
    curve = np.array([[[100.0, 0.2], [20.0, 0.4]]])
    assert np.isnan(slack_at_oom(curve, oom)).all()


def test_where_more_slack_brings_more_kills_the_least_slack_counts():
    curve = np.array([[[100.0, 0.1], [50.0, 0.2], [80.0, 0.3], [10.0, 0.4]]])
    assert slack_at_oom(curve, 75.0) == pytest.approx([0.15])


def test_intervals_hold_the_value_repeat_with_the_seed_and_narrow_with_more_series():
    found = scores(np.random.default_rng(3).poisson(3, 60).tolist())
    every, few = draws(found, 7), draws(found, 7, np.arange(60) < 10)
    oom = interval(figures(found, every)[:, OOM])
    assert oom.low < oom.value < oom.high
    assert interval(figures(found, draws(found, 7))[:, OOM]) == oom
    narrow = interval(figures(found, few)[:, OOM])
    assert narrow.high - narrow.low > oom.high - oom.low
    assert oom.value == pytest.approx(outcome(found).oom_per_1000cd)


def test_one_group_has_no_interval():
    found = scores([1, 2], names=["gcd-1234500001-d1", "gcd-1234500002-d4"])
    weights = draws(found, 7)
    assert groups_in(found, weights) == 1
    alone = interval(figures(found, weights)[:, OOM], groups_in(found, weights))
    assert alone.value == 150.0
    assert np.isnan([alone.low, alone.high]).all()


def test_no_kill_in_so_many_days_excludes_no_more_than_three_over_them():
    found = scores([0, 0, 0, 0])
    weights = draws(found, 7)
    rates = figures(found, weights)[:, OOM]
    seen = interval(rates, groups_in(found, weights), unseen_kills(found, weights))
    assert (seen.value, seen.low) == (0.0, 0.0)
    assert seen.high == pytest.approx(3000 / 40, rel=2e-3)
    some = scores([0, 0, 0, 1])
    assert interval(figures(some, weights)[:, OOM], 4, 1e9).high < 1e9


def test_draws_without_the_figure_are_told():
    assert interval(np.array([1.0, 1.0, np.nan, 3.0, np.nan])).finite == 0.5
    assert interval(np.array([1.0, np.nan, np.nan])).finite == 0.0
