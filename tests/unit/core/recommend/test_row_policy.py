"""From a policy to what the pipeline is told of a row: every field arrives, what is unknown falls back."""

from math import inf

import pytest

from builders.policies import memory_policy
from plimsoll.recommend.objective import oom_price_of
from plimsoll.recommend.row_policy import RowPolicy, row_policy


def said(**spec) -> RowPolicy:
    return row_policy(memory_policy("p", **spec).container("app"))


def test_a_plain_policy_binds_nothing():
    assert said() == RowPolicy(oom_price_of(), "auto", 672, -inf, inf)


@pytest.mark.parametrize(
    ("spec", "field", "value"),
    [
        ({"limits": {"oomPrice": 7.5}}, "oom_price", 7.5),
        ({"limits": {"buffer": {"min": 0.1}}}, "buffer_min_fraction", 0.1),
        ({"limits": {"buffer": {"max": 0}}}, "buffer_max_fraction", 0.0),
        ({"forecast": {"model": "seasonal"}}, "model", "seasonal"),
        ({"forecast": {"model": "ensemble"}}, "model", "ensemble"),
        ({"forecast": {"model": "routed"}}, "model", "routed"),
        ({"forecast": {"model": "moving-windows"}}, "model", "moving-windows"),
        ({"forecast": {"model": "autopilot-ml"}}, "model", "autopilot-ml"),
        ({"forecast": {"model": "holt-winters"}}, "model", "holt-winters"),
        ({"forecast": {"model": "growth"}}, "model", "growth"),
        ({"forecast": {"model": "boosted"}}, "model", "auto"),  # needs LightGBM, which the image has not
        ({"forecast": {"model": "magic"}}, "model", "auto"),
        ({"forecast": {"model": "windowed"}}, "model", "auto"),  # there is one, but not for policies
        ({"forecast": {"history": "7d"}}, "history_hours", 168),
        ({"forecast": {"history": "90m"}}, "history_hours", 2),
        (
            {"containers": [{"name": "a*", "limits": {"buffer": {"max": 0.2}}}]},
            "buffer_max_fraction",
            0.2,
        ),
    ],
)
def test_a_field_arrives(spec, field, value):
    assert getattr(said(**spec), field) == value
