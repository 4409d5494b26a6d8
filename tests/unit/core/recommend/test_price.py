"""The price by tables: where the limit falls, what the band is, and what floors and missing data do."""

import numpy as np
import pytest

from plimsoll.forecast.protocol import PeakDistribution
from plimsoll.recommend.price import Priced, cheapest, exceedance_at

# Peak above 100 half of the time, above 200 once in ten, above 400 once in a hundred, 800 once in a thousand.
DISTRIBUTION = PeakDistribution(np.array([0.5, 0.9, 0.99, 0.999]), np.array([[100.0, 200.0, 400.0, 800.0]]))


def price(price: float, floor: float = 0.0, usage: float = 90.0, **gains: float) -> Priced:
    return cheapest(DISTRIBUTION, np.array([usage]), np.array([price]), np.array([floor]), **gains)


@pytest.mark.parametrize(("limit", "chance"), [(100, 0.5), (200, 0.1), (800, 1e-3), (50, 0.5), (9999, 1e-3)])
def test_exceedance_is_read_off_the_quantiles(limit: float, chance: float):
    assert exceedance_at(DISTRIBUTION, np.array([limit]))[0] == pytest.approx(chance)


def test_exceedance_between_quantiles_is_interpolated_in_logs():
    assert exceedance_at(DISTRIBUTION, np.array([np.sqrt(200 * 400)]))[0] == pytest.approx(
        np.sqrt(0.1 * 0.01)
    )


def test_a_higher_price_never_lowers_the_limit():
    targets = [price(p).target_bytes[0] for p in (0.01, 0.1, 1, 10, 100, 1000)]
    assert targets == sorted(targets)
    assert targets[0] == pytest.approx(100)
    assert targets[-1] == pytest.approx(800)


def test_the_target_is_cheapest_of_all_limits():
    found = price(3.0).target_bytes[0]
    limits = np.linspace(100, 800, 2000)
    chance = np.array([exceedance_at(DISTRIBUTION, np.array([limit]))[0] for limit in limits])
    cost = 3.0 * chance + 1 - 90 / limits
    mine = 3.0 * exceedance_at(DISTRIBUTION, np.array([found]))[0] + 1 - 90 / found
    assert mine <= cost.min() + 0.01


@pytest.mark.parametrize("floor", [150.0, 500.0, 5000.0])
def test_nothing_goes_below_the_floor(floor: float):
    priced = price(0.01, floor)
    assert priced.lower_bytes[0] >= floor
    assert priced.target_bytes[0] >= floor


def test_the_band_holds_the_target_and_widens_with_what_a_change_must_gain():
    narrow, wide = price(3.0, lower_gain=0.02, raise_gain=0.02), price(3.0, lower_gain=0.2, raise_gain=0.2)
    for band in (narrow, wide):
        assert band.lower_bytes[0] <= band.target_bytes[0] <= band.upper_bytes[0]
    assert wide.lower_bytes[0] < narrow.lower_bytes[0]
    assert wide.upper_bytes[0] > narrow.upper_bytes[0]


def test_the_band_ends_where_slack_costs_more_than_a_change():
    priced = price(1000.0, lower_gain=0.05)
    risk = 1000.0 * 1e-3
    least = risk + 1 - 90 / 800
    assert 1 - 90 / priced.upper_bytes[0] + risk == pytest.approx(least + 0.05)


@pytest.mark.parametrize("usage", [np.nan, np.inf])
def test_unknown_usage_gives_no_limit(usage: float):
    assert np.isnan(price(1.0, usage=usage).target_bytes[0])


def test_an_unknown_distribution_gives_no_limit_and_leaves_others_alone():
    values = np.array([[np.nan] * 4, [100.0, 200.0, 400.0, 800.0]])
    two = PeakDistribution(DISTRIBUTION.levels, values)
    priced = cheapest(two, np.array([90.0, 90.0]), np.ones(2), np.zeros(2))
    assert np.isnan(priced.target_bytes[0])
    assert priced.target_bytes[1] == price(1.0).target_bytes[0]
