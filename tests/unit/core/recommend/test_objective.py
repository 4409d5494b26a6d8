"""Objectives: more slack or fewer kills asked for is a higher price; nonsense is refused by name."""

import pytest

from plimsoll.api.effective import Importance
from plimsoll.forecast.prior import document
from plimsoll.recommend.objective import DEFAULT_OBJECTIVE, oom_price_of, reachable


def test_balanced_is_the_default_objective():
    assert oom_price_of("balanced") == oom_price_of(DEFAULT_OBJECTIVE) == oom_price_of()


def test_more_slack_is_a_higher_price():
    prices = [oom_price_of(f"slack:{slack}") for slack in (0.2, 0.22, 0.25, 0.268, 0.3)]
    assert prices == sorted(prices)
    assert prices[0] < prices[-1]


def test_more_kills_allowed_is_a_lower_price():
    prices = [oom_price_of(f"oom:{kills}") for kills in (30, 50, 76, 100)]
    assert prices == sorted(prices, reverse=True)
    assert prices[0] > prices[-1]


def test_what_is_asked_for_is_what_was_measured():
    table = document()["objectives"]
    index = table["oom_price"].index(2.0)
    assert oom_price_of(f"slack:{table['measured_slack'][index]}") == pytest.approx(2.0)
    assert oom_price_of(f"oom:{table['measured_oom_per_1000_cd'][index]}") == pytest.approx(2.0)


@pytest.mark.parametrize("extreme", ["slack:0.001", "slack:0.999", "oom:0.1", "oom:1e9"])
def test_beyond_the_table_its_ends_answer(extreme: str):
    prices = document()["objectives"]["oom_price"]
    assert oom_price_of(extreme) in (pytest.approx(min(prices)), pytest.approx(max(prices)))


def test_what_is_within_reach_is_what_a_price_was_measured_for():
    table, reach = document()["objectives"], reachable()
    assert reach["slack"] == (table["slack"][0], table["slack"][-1])
    assert reach["oom"] == (table["oom_per_1000_cd"][-1], table["oom_per_1000_cd"][0])
    least, most = (oom_price_of(f"slack:{slack}") for slack in reach["slack"])
    assert (least, most) == (pytest.approx(table["oom_price"][0]), pytest.approx(table["oom_price"][-1]))


def test_importance_scales_the_price():
    prices = [oom_price_of("balanced", importance) for importance in Importance]
    assert prices == sorted(prices)
    assert prices[3] == pytest.approx(16 * prices[0])


@pytest.mark.parametrize(
    "nonsense",
    [
        *("slack", "slack:", "slack:x", "slack:0", "slack:1", "slack:-1"),
        *("oom:-1", "oom:0", "oom:nan", "speed:3", ""),
    ],
)
def test_nonsense_is_refused_by_name(nonsense: str):
    with pytest.raises(ValueError, match=f"objective '{nonsense}'"):
        oom_price_of(nonsense)
