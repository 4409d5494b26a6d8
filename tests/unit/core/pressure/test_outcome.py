"""A forecast is judged when its horizon is over, by what was seen in it, or not at all."""

import math

import pytest

from builders.pressure import sample
from plimsoll.pressure.outcome import Outcomes, PressureRule, under_pressure
from plimsoll.pressure.protocol import PressureForecast, nothing_known


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, 0.0),
        ({"psi_some_ratio": 0.05}, 1.0),
        ({"compactions": 1.0}, 1.0),
        ({"oom_kills": 1.0, "psi_some_ratio": math.nan}, 1.0),
        ({"events_max": 500.0, "free_ratio": 0.0}, 0.0),
        ({"psi_some_ratio": math.nan}, math.nan),
    ],
)
def test_pressure_is_what_costs_time(changes, expected):
    assert under_pressure(sample(**changes), PressureRule()) == pytest.approx(expected, nan_ok=True)


def judged(stalls, period_seconds=1.0):
    """One forecast at 100 s, then samples with these stalls."""
    outcomes = Outcomes()
    outcomes.see(sample(100.0))
    outcomes.expect(PressureForecast(100.0, 0.7))
    done = []
    for number, stall in enumerate(stalls, 1):
        done += outcomes.see(sample(100.0 + number * period_seconds, psi_some_ratio=stall))
    return [each.pressure for each in done]


@pytest.mark.parametrize(
    ("stalls", "expected"),
    [
        ([0, 0, 0, 0], []),
        ([0, 0, 0, 0, 0], [0.0]),
        ([0, 0.5, 0, 0, 0], [1.0]),
        ([0.5, 0, 0, 0], []),
        ([0, 0, 0, 0, 0.5], [1.0]),
        ([0, 0, 0, 0, 0, 0.5], [0.0]),
        ([0, math.nan, 0, 0, 0], []),
        ([0.5, math.nan, 0, 0, 0], [1.0]),
    ],
)
def test_a_horizon_is_judged_once_it_is_over(stalls, expected):
    assert judged(stalls) == expected


def test_what_nobody_watched_is_not_called_calm():
    assert judged([0, 0], period_seconds=4.0) == []
    assert judged([0], period_seconds=3600.0) == []


def test_a_clock_that_goes_back_forgets_what_was_asked():
    outcomes = Outcomes()
    outcomes.see(sample(100.0))
    outcomes.expect(PressureForecast(100.0, 0.7))
    assert outcomes.see(sample(50.0)) == []
    assert not [done for second in range(51, 120) for done in outcomes.see(sample(float(second)))]


def test_who_said_nothing_is_not_judged():
    outcomes = Outcomes()
    outcomes.expect(nothing_known(100.0))
    assert not [done for second in range(100, 120) for done in outcomes.see(sample(float(second)))]
