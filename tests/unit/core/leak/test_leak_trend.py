"""Trend tests against known slopes, ties, gaps and restarts."""

import numpy as np
import pytest

from plimsoll.leak.trend import kendall, sen_slope

ONE_LIFE = np.zeros((1, 24), dtype=np.int64)
TIME = np.arange(24.0)


def test_a_straight_rise_has_tau_one_and_its_slope() -> None:
    troughs = (1e8 + 5e6 * TIME)[None, :]
    assert kendall(troughs, ONE_LIFE).tau.tolist() == [1.0]
    slope = sen_slope(troughs, ONE_LIFE, 3600.0)
    assert slope.middle[0] == pytest.approx(5e6 / 3600)
    assert slope.low[0] <= slope.middle[0] <= slope.high[0]


def test_a_fall_has_tau_minus_one() -> None:
    assert kendall((1e9 - 5e6 * TIME)[None, :], ONE_LIFE).tau.tolist() == [-1.0]


def test_a_constant_is_all_ties() -> None:
    assert kendall(np.full((1, 24), 3e8), ONE_LIFE).tau.tolist() == [0.0]


def test_noise_has_no_trend_and_an_interval_around_zero() -> None:
    troughs = np.random.default_rng(3).normal(1e8, 1e6, (200, 24))
    life = np.zeros((200, 24), dtype=np.int64)
    assert np.abs(kendall(troughs, life).tau).max() < 0.6
    slope = sen_slope(troughs, life, 3600.0)
    assert ((slope.low <= 0) & (slope.high >= 0)).mean() > 0.95


def test_the_slope_is_not_moved_by_one_wild_block() -> None:
    troughs = (1e8 + 5e6 * TIME)[None, :]
    troughs[0, 20] = 1e12
    assert sen_slope(troughs, ONE_LIFE, 3600.0).middle[0] == pytest.approx(5e6 / 3600, rel=0.1)


def test_lives_are_compared_within_themselves() -> None:
    troughs = (1e8 + 5e6 * (TIME % 8))[None, :]
    life = (np.arange(24) // 8)[None, :]
    assert kendall(troughs, life).tau.tolist() == [1.0]
    assert sen_slope(troughs, life, 3600.0).middle[0] == pytest.approx(5e6 / 3600)
    assert kendall(troughs, ONE_LIFE).tau[0] < 0.5


def test_missing_blocks_are_left_out_and_nothing_at_all_is_nan() -> None:
    troughs = (1e8 + 5e6 * TIME)[None, :].repeat(2, axis=0)
    troughs[0, ::3] = np.nan
    troughs[1] = np.nan
    life = ONE_LIFE.repeat(2, axis=0)
    found, slope = kendall(troughs, life), sen_slope(troughs, life, 3600.0)
    assert found.tau[0] == 1.0
    assert np.isnan(found.tau[1])
    assert np.isnan(slope.middle[1])
    assert found.pairs.tolist() == [120, 0]
