"""Where the price of an OOM kill comes from: price before objective before importance."""

import pytest

from builders.policies import memory_policy
from plimsoll.api.effective import Importance
from plimsoll.recommend.objective import oom_price_of, price_of

BALANCED = oom_price_of()


def price(importance: str = "Normal", **limits) -> float:
    return price_of(memory_policy("p", importance=importance, limits=limits).container("app"))


def test_a_plain_policy_is_balanced():
    assert price() == BALANCED


def test_importance_orders_the_price():
    prices = [price(importance=each) for each in Importance]
    assert prices == sorted(prices)
    assert len(set(prices)) == len(prices)


@pytest.mark.parametrize("importance", Importance)
def test_a_price_or_an_objective_leaves_importance_no_say(importance: str):
    assert price(importance, oomPrice=7.5) == 7.5
    assert price(importance, objective="oom:50") == oom_price_of("oom:50")


def test_less_slack_and_more_kills_mean_a_lower_price():
    assert price(objective="slack:0.2") < price(objective="slack:0.4")
    assert price(objective="oom:100") < price(objective="oom:20")
