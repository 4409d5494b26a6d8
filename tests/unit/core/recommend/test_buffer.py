"""Buffers: as thick as the forecast was wrong, shrunk to the prior where the past is short."""

import numpy as np
import pytest

from plimsoll.forecast.protocol import Hindcast, PeakDistribution
from plimsoll.recommend.buffer import calibrate, conformal_log_ratio

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
