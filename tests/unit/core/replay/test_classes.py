"""Every class once, made so that it is plain to the eye."""

import numpy as np
import pytest

from builders.series import MIB
from plimsoll.replay.classes import classify, hourly_maxima

BINS = 4 * 288
K = np.arange(BINS)
NOISE = 1 + 0.002 * np.random.default_rng(5).standard_normal(BINS)
SPIKE = np.where(K % 500 == 250, 900.0, 200.0)

SHAPES = {
    "flat": np.full(BINS, 200.0),
    "growth": 100 + K * 0.2,
    "diurnal": 300 + 100 * np.sin(2 * np.pi * K / 288),
    "sawtooth": 100.0 + (K % 400) * 0.5,
    "bursty": SPIKE,
    "drift": 200 + 15 * np.sin(2 * np.pi * K / 700),
    "idle": np.full(BINS, 10.0),
}


@pytest.mark.parametrize("name", SHAPES)
def test_each_shape_is_known(name):
    assert classify(SHAPES[name] * NOISE * MIB) == name


@pytest.mark.parametrize("name", SHAPES)
def test_a_few_missing_bins_change_nothing(name):
    usage = SHAPES[name] * NOISE * MIB
    usage[np.random.default_rng(6).random(BINS) < 0.05] = np.nan
    assert classify(usage) == name


@pytest.mark.parametrize("bins", [0, 35])
def test_too_little_is_idle(bins):
    assert classify(np.full(bins, 200 * MIB)) == "idle"


@pytest.mark.parametrize("bins", [36, 60, 300])
def test_a_short_series_is_told_by_its_spread_and_peak(bins):
    usage = np.full(bins, 200.0 * MIB)
    usage[bins // 2] *= 1.4
    assert classify(usage) == "drift"
    usage[bins // 2] *= 2
    assert classify(usage) == "bursty"


def test_an_hour_without_a_bin_is_missing():
    usage = np.concatenate([np.full(12, np.nan), np.arange(12.0), [5.0]])
    np.testing.assert_array_equal(hourly_maxima(usage), [np.nan, 11.0])
