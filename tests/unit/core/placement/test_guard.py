"""In: what nodes were said to use, and used. Out: how much wider sums are, and whether to speak at all."""

import numpy as np
import pytest

from plimsoll.placement.guard import MOST_INFLATION, LoadJudge


def told(judge, errors, of_requests=1.0, deviation=1.0):
    """An hour in which forecasts were wrong by `errors`, and requests by so much up and down."""
    errors = np.asarray(errors, dtype=float)
    came = np.full(len(errors), 100.0)
    wrong = of_requests * np.where(np.arange(len(errors)) % 2, 1.0, -1.0)
    judge.hour(came - errors, np.full(len(errors), deviation**2), 3.0 * (came + wrong), came)
    return judge


def test_before_anything_was_judged_there_is_no_opinion():
    assert not LoadJudge().trusted
    assert LoadJudge().inflation == 1.0
    assert not told(LoadJudge(), [np.nan, np.nan]).trusted


def test_forecasts_as_good_as_requests_are_trusted_and_worse_ones_are_not():
    assert told(LoadJudge(), [0.5, -0.5, 0.5, -1.0]).trusted
    assert not told(LoadJudge(), [3.0, -3.0, 2.0, 1.0]).trusted


def test_trust_comes_back_within_days():
    judge = told(LoadJudge(), [9.0] * 10)
    hours = 0
    while not judge.trusted and hours < 200:
        told(judge, [0.5] * 10)
        hours += 1
    assert 24 <= hours < 120


def test_inflation_is_the_realised_variance_over_the_promised():
    judge, rng = LoadJudge(), np.random.default_rng(1)
    for _ in range(200):
        told(judge, rng.normal(0, 2.0, 20), deviation=1.0)
    assert judge.inflation == pytest.approx(4.0, rel=0.2)
    for _ in range(40):
        told(judge, [1e6] * 5)
    assert judge.inflation == MOST_INFLATION


def test_a_node_that_is_wild_is_widened_and_calm_ones_far_less():
    judge, rng, names = LoadJudge(), np.random.default_rng(4), [f"n{at}" for at in range(10)]
    said, variance = np.full(10, 100.0), np.ones(10)
    for _ in range(72):
        came = said + rng.normal(0, np.where(np.arange(10) == 3, 4.0, 1.0))
        judge.hour(said, variance, said, came, names)
    found = dict(zip(names, judge.inflation_of(names), strict=True))
    assert found["n3"] > 9.0
    assert max(each for name, each in found.items() if name != "n3") < 2.5
    assert judge.inflation_of(["new"]).tolist() == [judge.inflation]
    for _ in range(300):
        judge.hour(said[:1], variance[:1], said[:1], said[:1], names[:1])
    assert list(judge.nodes) == names[:1]  # nodes that are gone are forgotten


def test_it_never_narrows():
    judge = LoadJudge()
    for _ in range(50):
        told(judge, [0.0] * 10)
    assert judge.inflation == 1.0


def test_a_hindcast_of_the_wrong_pods_is_found_out():
    rng = np.random.default_rng(2)
    level = rng.lognormal(5, 1, 50)
    came = level[:, None] * rng.lognormal(0, 0.05, (50, 24))
    requested = level * rng.lognormal(0, 0.3, 50)
    right, wrong, alike = LoadJudge(), LoadJudge(), LoadJudge()
    before = level[:, None] * rng.lognormal(0, 0.05, (50, 24))
    right.hindcast(np.broadcast_to(level[:, None], came.shape), requested, came, before)
    wrong.hindcast(np.broadcast_to(rng.permutation(level)[:, None], came.shape), requested, came, before)
    alike.hindcast(np.full(came.shape, came.mean()), requested, came, before)
    assert right.trusted
    assert not wrong.trusted
    assert not alike.trusted


def test_without_requests_forecasts_are_compared_with_nothing_known():
    judge = LoadJudge()
    judge.hindcast(np.full((2, 3), 5.0), np.zeros(2), np.full((2, 3), 5.0), np.full((2, 3), 5.0))
    assert judge.trusted


def test_requests_that_were_set_by_the_day_that_is_told_do_not_silence_a_forecast_made_before_it():
    """The level of each pod moves from day to day: who knows the second day tells it better than anybody."""
    rng = np.random.default_rng(4)
    before_level = rng.lognormal(5, 1, 200)
    came_level = before_level * rng.lognormal(0, 0.1, 200)
    spread = rng.lognormal(0, 0.2, (2, 200, 24))
    before, came = before_level[:, None] * spread[0], came_level[:, None] * spread[1]
    said = np.broadcast_to(before.mean(axis=1)[:, None], came.shape)
    by_hindsight = np.quantile(came, 0.9, axis=1)
    judge, wrong = LoadJudge(), LoadJudge()

    judge.hindcast(said, by_hindsight, came, before)
    wrong.hindcast(said[rng.permutation(200)], by_hindsight, came, before)

    scale = came.sum() / (24 * by_hindsight.sum())
    assert ((came - said) ** 2).sum() > ((came - scale * by_hindsight[:, None]) ** 2).sum()
    assert judge.trusted
    assert not wrong.trusted


def test_of_pods_without_a_day_before_requests_are_taken_as_they_are():
    judge, came = LoadJudge(), np.array([[4.0, 6.0], [5.0, 5.0]])
    judge.hindcast(np.full((2, 2), 5.5), np.array([5.0, 5.0]), came, np.full((2, 2), np.nan))
    assert not judge.trusted


def judged(nodes, seed, wrong_level=1.0):
    """Two days of hours: a daily wave over all nodes, forecasts by 5 % off, requests by 10 %."""
    rng, judge = np.random.default_rng(seed), LoadJudge()
    base = rng.uniform(20.0, 60.0, nodes)
    requested = base * rng.lognormal(0.0, 0.1, nodes)
    for hour in range(48):
        said = base * (1.0 + 0.3 * np.sin(hour / 24 * 2 * np.pi))
        came = said * (1.0 + 0.05 * rng.normal(size=nodes))
        judge.hour(said * wrong_level, np.full(nodes, 25.0), requested, came)
    return judge


def beside_the_level(level, hours=48, nodes=6):
    """Forecasts that tell nodes apart well, all of them so much above or below what comes."""
    rng, judge = np.random.default_rng(5), LoadJudge()
    base = rng.uniform(20.0, 60.0, nodes)
    requested = base * rng.lognormal(0.0, 0.03, nodes)
    for _ in range(hours):
        came = base * (1.0 + 0.01 * rng.normal(size=nodes))
        judge.hour(level * base, (0.01 * base) ** 2, requested, came)
    return judge


def test_a_little_too_much_for_all_nodes_is_no_reason_for_silence_and_widens_nothing():
    judge = beside_the_level(1.06)
    assert judge.trusted
    assert judge.inflation < 1.5


@pytest.mark.parametrize("level", [0.94, 1.2])
def test_too_little_for_all_nodes_is_and_so_is_far_too_much(level):
    judge = beside_the_level(level)
    assert not judge.trusted
    assert judge.inflation == MOST_INFLATION


def test_what_is_usual_is_of_the_hours_before_and_a_rise_is_an_error():
    judge, base = beside_the_level(1.1), np.full(6, 40.0)
    before = judge.error
    judge.hour(1.1 * base, np.full(6, 0.16), base, 1.1 * base)  # as said, but more than usual
    assert judge.error > before + 50.0


@pytest.mark.parametrize("nodes", [1, 2, 3, 10])
def test_in_small_clusters_good_forecasts_are_believed_too_and_bad_ones_are_not(nodes):
    assert all(judged(nodes, seed).trusted for seed in range(20))
    assert not any(judged(nodes, seed, wrong_level=1.6).trusted for seed in range(20))
