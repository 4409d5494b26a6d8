"""Seasons by known answers: those that were put in are found, noise and growth are none."""

import numpy as np
import pytest

from builders.seasons import MIB, daily
from plimsoll.forecast.prophet_desk import worth_fitting
from plimsoll.forecast.seasonality import season

HOURS = 672
RNG = np.random.default_rng(3)
WALK = 500 * MIB * np.exp(0.01 * RNG.standard_normal(HOURS).cumsum())


def test_a_clean_day_is_foretold_nearly_whole_and_its_swing_is_known():
    found = season(daily(HOURS, swing=0.2, noise=0.0)[None], 24)
    assert found.strength[0] == pytest.approx(1.0, abs=0.05)
    assert found.swing[0] == pytest.approx(1.2 / 0.8 - 1, rel=0.05)


def test_a_week_is_found_where_no_day_differs_from_the_next_within_itself():
    steps = np.where(np.arange(HOURS) // 24 % 7 >= 5, 300.0, 500.0) * MIB
    assert season(steps[None], 168).strength[0] > 0.9
    assert season(steps[None], 24).strength[0] < 0.3


@pytest.mark.parametrize(
    ("what", "hourly"),
    [
        ("noise", 500 * MIB * np.exp(0.1 * RNG.standard_normal(HOURS))),
        ("a random walk", WALK),
        ("growth", np.linspace(100, 900, HOURS) * MIB),
        ("constant", np.full(HOURS, 500.0 * MIB)),
        ("constant zero", np.zeros(HOURS)),
        ("one spike", np.where(np.arange(HOURS) == 300, 1e12, 5e8)),
        ("one sample", np.where(np.arange(HOURS) == 300, 5e8, np.nan)),
        ("nothing", np.full(HOURS, np.nan)),
    ],
)
def test_what_does_not_come_again_is_no_season(what: str, hourly: np.ndarray):
    for period in (24, 168):
        found = season(hourly[None], period)
        assert np.isfinite(found.strength).all()
        assert found.strength[0] < 0.2
    assert worth_fitting(hourly[None]) == [False]


def test_two_weeks_of_a_season_are_worth_it_with_gaps_too_and_less_is_not():
    whole = daily(HOURS)
    gaps = np.where(RNG.random(HOURS) < 0.3, np.nan, whole)
    short = np.where(np.arange(HOURS) < HOURS - 335, np.nan, whole)
    enough = np.where(np.arange(HOURS) < HOURS - 336, np.nan, whole)
    tiny = daily(HOURS, swing=0.005, noise=0.0)
    assert worth_fitting(np.stack([whole, gaps, short, enough, tiny])) == [True, True, False, True, False]


def test_less_than_two_periods_know_no_season():
    assert season(daily(47)[None], 24).strength.tolist() == [0.0]
