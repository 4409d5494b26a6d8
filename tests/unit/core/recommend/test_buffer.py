"""Buffers: as thick as the forecast was wrong, shrunk to the prior where the past is short."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plimsoll.forecast.protocol import Hindcast, PeakDistribution
from plimsoll.guard.limits import GuardSettings
from plimsoll.recommend.buffer import (
    LEAST_SHIFT,
    MOST_SHIFT,
    SHIFT_STEP,
    calibrate,
    conformal_log_ratio,
    next_shift,
    outcome,
)

LEVELS = np.array([0.5, 0.9, 0.99])


@pytest.mark.parametrize(
    ("errors", "level", "expected"),
    [
        (range(1, 10), 0.5, 5.0),  # rank ceil(10 * 0.5) = 5 of 9
        (range(1, 10), 0.9, 9.0),
        (range(1, 10), 0.99, 9.0),  # beyond what nine errors can say: the largest
        ([3.0], 0.5, 3.0),
        ([np.nan, 2.0, np.nan, 1.0], 0.5, 2.0),  # rank ceil(3 * 0.5) = 2 of 2
        ([np.nan, np.nan], 0.5, np.nan),
        ([], 0.5, np.nan),
    ],
)
def test_conformal_rank(errors: list[float], level: float, expected: float):
    got = conformal_log_ratio(np.array([list(errors)], dtype=float), np.array([level]))[0, 0]
    assert got == pytest.approx(expected, nan_ok=True)


def said(errors: list[float], strength: float = 3.0) -> np.ndarray:
    distribution = PeakDistribution(LEVELS, np.array([[100.0, 120.0, 150.0]]))
    return calibrate(distribution, Hindcast(np.array([100.0]), np.array([errors]), strength)).values_bytes[0]


def test_without_a_past_the_prior_stands():
    assert said([]) == pytest.approx([100, 120, 150])
    assert said([np.nan]) == pytest.approx([100, 120, 150])


def test_a_long_good_past_thins_the_buffer():
    assert said([0.0] * 5000) == pytest.approx([100, 100, 100], rel=0.03)


def test_a_bad_past_thickens_it():
    assert said([np.log(2)] * 5000)[1:] == pytest.approx([200, 200], rel=0.05)


def test_a_short_past_moves_the_middle_more_than_the_tail():
    middle, _, tail = said([np.log(2)] * 12) / np.array([100, 120, 150])
    assert middle > 1.5
    assert 1 < tail < 1.1


def test_strength_makes_a_model_trust_itself():
    assert said([np.log(2)] * 100, strength=1e9) == pytest.approx([100, 120, 150])


def test_quantiles_still_rise():
    assert (np.diff(said([-3.0] * 40 + [3.0])) >= 0).all()


def test_a_broken_promise_thickens_the_buffer_and_kept_ones_thin_it_slowly() -> None:
    shift = next_shift(np.zeros(3), np.array([0.01, 0.01, 0.01]), np.array([1.0, 0.0, np.nan]))
    assert shift == pytest.approx([SHIFT_STEP * 0.99, -SHIFT_STEP * 0.01, 0.0])


def test_realised_meets_promised_on_a_series_the_forecast_misjudges() -> None:
    """A limit's promised chance falls as the shift grows: control finds the shift at which both agree."""
    random = np.random.default_rng(3)
    shift, promised, came = np.zeros(1), [], []
    for _ in range(4000):
        chance = 0.02  # promised of a limit at 1.2 x e^shift; needs are exponential, a quarter of a power
        need = np.exp(random.exponential(0.1))
        broken = np.array([float(need > 1.2 * np.exp(shift[0]))])
        promised.append(chance)
        came.append(broken[0])
        shift = next_shift(shift, np.array([chance]), broken)
    assert np.mean(came[1000:]) == pytest.approx(np.mean(promised), abs=0.008)
    assert 0 < shift[0] < MOST_SHIFT


def test_the_shift_stays_within_its_bounds() -> None:
    worst = best = np.zeros(1)
    for _ in range(2000):
        worst = next_shift(worst, np.array([0.001]), np.array([1.0]))
        best = next_shift(best, np.array([0.01]), np.array([0.0]))
    assert (worst[0], best[0]) == (MOST_SHIFT, LEAST_SHIFT)


HOURS = st.lists(st.tuples(st.floats(0, 1), st.sampled_from([0.0, 1.0])), max_size=400)
MOST_OFF = (MOST_SHIFT - LEAST_SHIFT) / SHIFT_STEP  # exceedances


@settings(deadline=None)  # of a busy machine nothing is proved
@given(HOURS, st.floats(LEAST_SHIFT, MOST_SHIFT))
def test_exceedances_are_bounded_by_promises_on_the_side_on_which_the_shift_is_not_held(
    hours: list[tuple[float, float]], first: float
) -> None:
    shift, off, top, bottom = np.array([first]), 0.0, False, False
    for promised, came in hours:
        off += came - promised
        free = shift[0] + SHIFT_STEP * (came - promised)
        top, bottom = top or free > MOST_SHIFT, bottom or free < LEAST_SHIFT
        shift = next_shift(shift, np.array([promised]), np.array([came]))
    if not top:
        assert off <= MOST_OFF + 1e-6
    if not bottom:
        assert off >= -MOST_OFF - 1e-6


def test_a_row_that_exceeds_at_the_top_is_not_bounded() -> None:
    """What the record then shows is all that can be said."""
    shift, off = np.zeros(1), 0.0
    for _ in range(2000):
        off += 1 - 0.001
        shift = next_shift(shift, np.array([0.001]), np.ones(1))
    assert shift[0] == MOST_SHIFT
    assert off > 300 * MOST_OFF


@pytest.mark.parametrize(
    ("usage", "limit", "expected"),
    [
        ([100.0] * 12, 110.0, 0.0),
        ([100.0] * 11 + [120.0], 110.0, 1.0),
        ([103.0] * 11 + [114.0], 110.0, 0.0),  # at 103 of 110 the guard rose to 115 before 114 came
        ([100.0] * 5 + [np.nan] * 7, 110.0, np.nan),  # too little seen
        ([np.nan] * 11 + [120.0], 110.0, 1.0),  # what was seen is enough to break it
    ],
)
def test_an_hour_is_judged_with_the_guard_at_work(usage: list[float], limit: float, expected: float) -> None:
    judged = outcome(np.array([usage]), np.array([limit]), GuardSettings())
    np.testing.assert_equal(judged[0], expected)
