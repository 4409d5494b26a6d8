"""What the past says of a row: the floor of past peaks goes with the price, without a step."""

import numpy as np
import pytest

from plimsoll.forecast.window import UsageWindow
from plimsoll.recommend.past import past_peak

NAN = np.nan
# 600 within the day, 300 within six hours, 100 in the present hour.
HOURLY = [900.0, *[100.0] * 3, 600.0, *[100.0] * 15, 300.0, *[100.0] * 5]
ODD = [*HOURLY[:4], 700.1, *HOURLY[5:]]


def window(*hourly: list[float]) -> UsageWindow:
    return UsageWindow(np.full((len(hourly), 288), 100.0), np.array(hourly))


@pytest.mark.parametrize(
    ("price", "expected"),
    [(0.01, 300.0), (0.5, 300.0), (1.0, np.sqrt(300.0 * 600.0)), (2.0, 600.0), (100.0, 600.0)],
)
def test_the_floor_is_the_last_hours_peak_or_the_days_by_the_price(price: float, expected: float) -> None:
    assert past_peak(window(HOURLY), np.array([price]))[0] == pytest.approx(expected)


def test_it_rises_without_a_step() -> None:
    prices = np.geomspace(0.25, 4.0, 400)
    floors = past_peak(window(*[HOURLY] * 400), prices)
    steps = floors[1:] / floors[:-1]
    assert steps.min() >= 1 - 1e-12
    assert steps.max() < 1.01


def test_what_is_dear_is_the_days_peak_to_the_bit_whoever_else_is_asked_about() -> None:
    alone = past_peak(window(ODD), np.array([3.0]))
    beside = past_peak(window(ODD, HOURLY), np.array([3.0, 0.7]))
    assert beside[0] == alone[0]


def test_an_outage_lets_no_peak_fall_out_and_nothing_seen_is_no_floor() -> None:
    outage = [*HOURLY[2:22], *[NAN] * 30, *HOURLY[22:]]
    found = past_peak(window(outage, [NAN] * len(outage)), np.array([3.0, 0.1]))
    assert found[0] == 600.0
    assert np.isnan(found[1])
