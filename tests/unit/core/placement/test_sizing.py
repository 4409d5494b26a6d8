"""In: loads of pods, a node's size. Out: chances on as few nodes as keep the bound, and on a given number;
how much wider than promised sums were."""

import numpy as np
import pytest

from plimsoll.placement.fit import NodeLoads, margin, short_probability
from plimsoll.placement.lanes import LANES, Loads
from plimsoll.placement.sizing import (
    TooFewError,
    fewest,
    judged,
    on_nodes,
    rehearsed,
    sizing_of,
    spread,
    widened,
)

DAYS = 12


def steady(n, level=1.0, deviation=0.1, skewness=0.5):
    mean = np.full((n, LANES), level)
    variance = np.full_like(mean, (deviation * level) ** 2)
    return Loads(mean, variance, skewness * variance**1.5)


def test_the_fewest_keep_the_bound_and_one_less_does_not():
    pods = steady(40)
    made = fewest(pods, 6.0, 0.01)
    assert made.short.max() <= 0.01
    fewer = on_nodes(pods, made.nodes - 1, 6.0, 0.01, made)
    assert fewer.short.max() > 0.01
    assert made.nodes - 1 < made.filled_nodes <= made.nodes


def test_more_nodes_are_short_less_often():
    pods = steady(40)
    packed = fewest(pods, 6.0, 0.05)
    chances = [on_nodes(pods, packed.nodes + more, 6.0, 0.05, packed).any_short for more in range(-3, 4)]
    assert chances == sorted(chances, reverse=True)
    assert chances[0] > chances[-1]


def test_any_node_is_at_least_as_likely_short_as_the_worst():
    made = on_nodes(steady(30), 5, 6.5, 0.01, fewest(steady(30), 6.5, 0.01))
    assert made.worst_short <= made.any_short <= made.short.sum()


def test_all_nodes_get_their_share():
    places = spread(steady(40), 8, 6.0, 0.01, most_pods=110)
    assert np.bincount(places).tolist() == [5] * 8


def test_no_node_gets_more_pods_than_a_kubelet_takes():
    made = fewest(steady(300), 1e6, 0.01, most_pods=110)
    assert made.nodes == 3
    assert np.bincount(made.places).max() <= 110


def test_too_few_nodes_for_so_many_pods_are_told():
    with pytest.raises(TooFewError, match="2 nodes take 220 pods, there are 221"):
        spread(steady(221), 2, 1e6, 0.01, most_pods=110)


def test_need_lies_above_use_in_each_hour():
    made = fewest(steady(10), 6.0, 0.01)
    assert (made.need_bytes > made.mean_bytes).all()
    assert made.mean_bytes == pytest.approx(np.full(LANES, 10.0))


def test_nothing_needs_no_node():
    made = fewest(steady(0), 1.0, 0.01)
    assert (made.nodes, made.filled_nodes, made.any_short, made.worst_short) == (0, 0.0, 0.0, 0.0)


def test_widened_loads_are_inflated_sums():
    pods, places = steady(12), np.arange(12) % 3
    made = sizing_of(widened(pods, 2.5, 100.0, 0.01), places, 3, 5.0, 0.01)
    sums = [each.reshape(4, 3, LANES).sum(axis=0) for each in (pods.mean_bytes, pods.variance, pods.third)]
    inflated = NodeLoads(np.full(3, 5.0), *sums, np.full(3, 2.5))
    assert made.short == pytest.approx(short_probability(margin(inflated)))
    assert made.worst_short > sizing_of(pods, places, 3, 5.0, 0.01).worst_short


def test_a_pod_is_not_made_too_large_by_widening():
    pods = steady(2)
    made = widened(pods, 9.0, 1.5, 0.01)
    assert made.variance == pytest.approx(pods.variance)
    assert widened(pods, 9.0, 15.0, 0.01).variance == pytest.approx(9 * pods.variance)


def past(rng, n, together):
    """Hourly maxima of pods whose deviations are one's own, or in part everybody's."""
    common = rng.normal(0, 1, DAYS * LANES)
    own = rng.normal(0, 1, (n, DAYS * LANES))
    return 100 + 10 * (together * common + np.sqrt(1 - together**2) * own)


def test_sums_that_deviate_together_are_found_out():
    rng, places = np.random.default_rng(2), np.arange(40) % 4
    requests = np.full(40, 120.0)
    assert judged(past(rng, 40, 0.0), requests, places, 4).inflation < 1.5
    assert judged(past(rng, 40, 0.8), requests, places, 4).inflation > 3.0


def test_hours_that_nobody_saw_are_not_judged():
    rng, places = np.random.default_rng(2), np.arange(40) % 4
    hourly = past(rng, 40, 0.0)
    hourly[::2, -30:] = np.nan
    hourly[1] = np.nan
    assert judged(hourly, np.full(40, 120.0), places, 4).inflation < 1.6


def test_forecasts_that_know_less_than_requests_are_told():
    rng = np.random.default_rng(3)
    level = rng.uniform(50, 500, 30)
    hourly = np.repeat(level[:, None], 5 * LANES, axis=1)
    places = np.zeros(30, dtype=np.intp)
    assert judged(hourly, rng.permutation(level), places, 1).trusted
    wave = np.where(np.arange(5 * LANES) % LANES < LANES // 2, 1.5, 0.5)
    assert judged(hourly * wave, level, places, 1).trusted
    wave[-LANES:] = wave[-LANES:][::-1]  # day is night: worse than no forecast by the hour
    assert not judged(hourly * wave, level, places, 1).trusted


def test_a_day_that_is_not_there_is_not_judged():
    judge = judged(np.full((3, LANES), 5.0), np.full(3, 6.0), np.zeros(3, dtype=np.intp), 1)
    assert (judge.judged, judge.inflation) == (False, 1.0)


def test_plans_of_past_days_are_held_against_what_came():
    rng = np.random.default_rng(6)
    hourly = past(rng, 30, 0.0)
    made = rehearsed(hourly, np.full(30, 120.0), 1000.0, 0.05)
    assert made.days == 5
    assert made.short < 0.2 * made.node_days
    hourly[:, -LANES:] *= 1.3  # the last day came otherwise than any before
    after = rehearsed(hourly, np.full(30, 120.0), 1000.0, 0.05)
    assert after.short >= made.short + 3
    assert after.promised == pytest.approx(made.promised)


def test_what_is_too_young_is_not_rehearsed():
    young = rehearsed(np.full((4, 2 * LANES), 5.0), np.full(4, 6.0), 100.0, 0.05)
    assert (young.days, young.node_days, young.promised) == (0, 0, 0.0)
    never = np.full((2, 9 * LANES), np.nan)
    assert rehearsed(never, np.full(2, 6.0), 100.0, 0.05).days == 0


def test_a_past_day_that_had_no_plan_is_left_out():
    hourly = np.full((2, 4 * LANES), 5.0)
    hourly[0, : 3 * LANES] = 500.0  # larger than a node, until yesterday
    assert rehearsed(hourly, np.full(2, 6.0), 100.0, 0.05).days == 0
