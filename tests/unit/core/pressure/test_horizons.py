"""Forecasts of many scopes, judged when their horizon is over and not before."""

import math

import numpy as np
import pytest

from plimsoll.pressure.bank import LEARNED, BankForecast, PressureBank
from plimsoll.pressure.horizons import BankOutcomes
from plimsoll.pressure.sample import ScopeKind

ROWS = np.array([0, 3])
CALM, UNKNOWN = np.zeros(2), np.full(2, math.nan)


def forecast(now: float, probability: float = 0.2) -> BankForecast:
    return BankForecast(now, ROWS, np.full(2, probability), np.zeros(2, bool), np.zeros((2, 8)))


def watched(outcomes: BankOutcomes, begin: int, end: int, step: int = 1) -> None:
    for now in range(begin, end, step):
        outcomes.note(ROWS, CALM, float(now))


def test_pressure_within_the_horizon_is_what_came_in_that_scope_alone():
    outcomes = BankOutcomes()
    watched(outcomes, 0, 10)
    outcomes.expect(forecast(10.0))
    outcomes.note(ROWS, np.array([0.0, 1.0]), 12.0)
    watched(outcomes, 13, 15)
    assert outcomes.matured(14.9) == []
    outcomes.note(ROWS, CALM, 15.0)
    ((_, came),) = outcomes.matured(15.0)
    assert came.tolist() == [0.0, 1.0]
    assert outcomes.score.judged == 2
    assert outcomes.score.brier == pytest.approx((0.2**2 + 0.8**2) / 2)
    assert outcomes.score.right_ratio == 0.5


def test_pressure_before_the_forecast_is_not_its_merit():
    outcomes = BankOutcomes()
    watched(outcomes, 0, 10)
    outcomes.note(ROWS, np.ones(2), 10.0)
    outcomes.expect(forecast(10.0))
    watched(outcomes, 11, 16)
    ((_, came),) = outcomes.matured(15.0)
    assert came.tolist() == [0.0, 0.0]


@pytest.mark.parametrize("gap", ["unseen", "unknown", "never"])
def test_what_was_not_watched_is_not_called_calm(gap: str):
    outcomes = BankOutcomes()
    watched(outcomes, 0, 10)
    outcomes.expect(forecast(10.0))
    if gap == "unseen":
        outcomes.note(ROWS, CALM, 11.0)
        outcomes.note(ROWS, CALM, 15.0)
    elif gap == "unknown":
        watched(outcomes, 11, 13)
        outcomes.note(ROWS, UNKNOWN, 13.0)
        watched(outcomes, 14, 16)
    ((_, came),) = outcomes.matured(15.0)
    assert np.isnan(came).all()
    assert outcomes.score.judged == 0


def test_a_forecast_that_nobody_judged_in_time_says_nothing():
    outcomes = BankOutcomes()
    watched(outcomes, 0, 10)
    outcomes.expect(forecast(10.0))
    outcomes.note(ROWS, np.ones(2), 11.0)
    ((_, came),) = outcomes.matured(30.0)
    assert np.isnan(came).all()


def test_a_clock_that_goes_back_forgets_what_was_pending():
    outcomes = BankOutcomes()
    watched(outcomes, 100, 110)
    outcomes.expect(forecast(110.0))
    outcomes.note(ROWS, CALM, 50.0)
    assert outcomes.matured(200.0) == []


def test_a_row_that_is_given_back_is_not_judged_by_its_next_owner():
    outcomes = BankOutcomes()
    watched(outcomes, 0, 10)
    outcomes.expect(forecast(10.0))
    outcomes.forget(ROWS[1:])
    outcomes.note(ROWS, np.ones(2), 12.0)
    watched(outcomes, 13, 16)
    ((_, came),) = outcomes.matured(15.0)
    assert came[0] == 1.0
    assert math.isnan(came[1])


def test_what_rows_have_learned_is_carried_to_other_rows():
    bank = PressureBank(None)
    rows = bank.add([ScopeKind.CONTAINER] * 2)
    learned = bank.learned(rows)
    assert learned.shape == (2, LEARNED)
    learned[0, 0] = 1.25
    bank.teach(rows[1:], learned[:1])
    assert bank.learned(rows)[1, 0] == 1.25
    assert bank.learned(rows)[0, 0] != 1.25


@pytest.mark.parametrize("bad", [math.nan, math.inf, -1e9])
def test_what_cannot_have_been_learned_is_refused(bad: float):
    bank = PressureBank(None)
    rows = bank.add([ScopeKind.CONTAINER])
    learned = bank.learned(rows)
    for column in range(LEARNED):
        wrong = learned.copy()
        wrong[0, column] = bad
        with pytest.raises(ValueError, match="pressure rows have learned"):
            bank.teach(rows, wrong)
    with pytest.raises(ValueError, match="numbers a row"):
        bank.teach(rows, learned[:, 1:])
    assert (bank.learned(rows) == learned).all()
