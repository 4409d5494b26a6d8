"""In: loads and capacities. Out: how likely a node is short, against samples of known distributions."""

import math

import numpy as np
import pytest

from plimsoll.placement.fit import (
    deviate,
    empty_nodes,
    margin,
    need,
    needed_bytes,
    normal_power,
    short_probability,
)
from plimsoll.placement.lanes import LANES, Loads


def loaded(mean, deviation, skewness=0.0, capacity=1000.0, nodes=1):
    made = empty_nodes(np.full(nodes, capacity), LANES)
    made.mean_bytes[:] = mean
    made.variance[:] = deviation**2
    made.third[:] = skewness * deviation**3
    return made


def pod(mean, deviation=0.0):
    shape = (1, LANES)
    return Loads(np.full(shape, float(mean)), np.full(shape, deviation**2), np.zeros(shape))


def test_the_margin_of_a_normal_sum_is_its_deviations():
    assert margin(loaded(700.0, 100.0))[0] == pytest.approx(3.0)


@pytest.mark.parametrize("shape", [4.0, 16.0, 100.0])
@pytest.mark.parametrize("deviate_of_normal", [1.645, 2.326, 3.09])
def test_the_margin_of_a_skewed_sum_is_that_of_a_normal_as_likely(shape, deviate_of_normal):
    # Gamma variables: skewness 2 / sqrt(shape), quantiles by a large sample.
    sample = np.sort(np.random.default_rng(3).gamma(shape, 100.0 / shape, 2_000_000))
    chance = 0.5 * math.erfc(deviate_of_normal / math.sqrt(2))
    quantile = sample[int((1 - chance) * len(sample))]
    made = loaded(100.0, 100.0 / np.sqrt(shape), 2.0 / np.sqrt(shape), capacity=quantile)
    assert margin(made)[0] == pytest.approx(deviate_of_normal, abs=0.12)


def test_the_chance_falls_with_the_margin_as_it_did_on_recorded_nodes():
    chances = short_probability(np.array([-1.0, 0.0, 1.0, 4.605]))
    assert chances.tolist() == pytest.approx([1.0, 1.0, 0.3679, 0.01], rel=1e-3)
    assert deviate(0.01) == pytest.approx(4.605, rel=1e-3)


def test_the_worst_hour_counts():
    made = loaded(100.0, 10.0)
    made.mean_bytes[0, 7] = 980.0
    assert margin(made)[0] == pytest.approx(2.0)


def test_a_pod_is_added_first_and_only_where_asked():
    made = loaded(500.0, 50.0, nodes=3)
    few = np.array([2])
    assert margin(made, pod(300.0), few).shape == (1,)
    assert margin(made, pod(300.0))[0] == pytest.approx(4.0)
    assert margin(made, pod(300.0, 50.0))[0] == pytest.approx(200 / np.sqrt(5000))


def test_what_deviates_together_is_inflated():
    made = loaded(700.0, 100.0)
    made.inflation[:] = 4.0
    assert margin(made)[0] == pytest.approx(1.5)


def test_an_unknown_load_gives_no_margin_and_no_need():
    made = loaded(700.0, 100.0, nodes=2)
    made.mean_bytes[1, 3] = np.nan
    assert margin(made).tolist() == [pytest.approx(3.0), -np.inf]
    assert np.isnan(needed_bytes(made, 3.0)[1])


def test_nothing_at_all_fits_for_sure_and_too_much_does_not():
    assert margin(loaded(0.0, 0.0))[0] == np.inf
    assert margin(loaded(1001.0, 0.0))[0] == -np.inf
    assert short_probability(np.array([np.inf, -np.inf])).tolist() == [0.0, 1.0]


def test_the_need_is_the_capacity_at_which_the_margin_is_the_deviate():
    at = deviate(0.001)
    made = loaded(700.0, 100.0, 0.5)
    made.capacity_bytes[:] = needed_bytes(made, at)
    assert margin(made)[0] == pytest.approx(at, rel=0.05)
    assert need(*(np.full((1, LANES), each) for each in (700.0, 1e4, 0.0)), np.ones(1), 3.0)[0] == 1000.0


@pytest.mark.parametrize("bound", [0.0, -0.1, 0.6, float("nan")])
def test_a_bound_must_be_a_probability_of_the_upper_half(bound):
    with pytest.raises(ValueError, match="bound"):
        deviate(bound)


def test_skewness_never_adds_margin():
    z = np.linspace(0.0, 6.0, 50)
    for skewness in (0.01, 0.3, 1.0, 4.0):
        assert (normal_power(z, np.full(50, skewness)) <= z + 1e-9).all()
