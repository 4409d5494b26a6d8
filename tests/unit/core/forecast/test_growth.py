"""Growth: lines that are known, and what breaks them."""

import numpy as np
import pytest

from builders.histories import MIB, steady, window_of
from builders.shapes import hourly, ramp
from plimsoll.forecast.growth import LAGS, GrowthPeak, line_errors, trend_of
from plimsoll.forecast.protocol import LEVELS
from plimsoll.forecast.windowed import WindowedPeak

HOUR = 3600.0


def fit(usage):
    return GrowthPeak().fit(window_of(usage))


@pytest.mark.parametrize("mib_per_hour", [0.5, 2, 20])
def test_a_line_is_found_and_followed(mib_per_hour):
    fitted = fit(ramp(5, mib_per_hour))
    assert fitted.trend.slope[0] == pytest.approx(mib_per_hour * MIB, rel=1e-5)
    assert fitted.trend.deviation[0] == pytest.approx(0, abs=1e-4 * mib_per_hour * MIB)
    last = ramp(5, mib_per_hour)[-1]
    assert fitted.hindcast().point_bytes[0] == pytest.approx(last + mib_per_hour * MIB, rel=1e-6)


@pytest.mark.parametrize("usage", [steady(5), np.zeros(600), np.full(300, np.nan), ramp(5, -0.5, 900)])
def test_what_does_not_grow_has_the_windowed_peak(usage):
    window = window_of(usage)
    fitted = GrowthPeak().fit(window)
    assert not fitted.grows()[0]
    expected = WindowedPeak().fit(window)
    got = fitted.predict(HOUR, LEVELS).values_bytes
    assert np.array_equal(got, expected.predict(HOUR, LEVELS).values_bytes, equal_nan=True)
    assert np.array_equal(fitted.hindcast().log_error, expected.hindcast().log_error, equal_nan=True)


def test_a_restart_begins_anew():
    line = np.concatenate([np.linspace(100, 400, 60), np.linspace(100, 400, 30)])
    fitted = fit(hourly(line))
    assert fitted.trend.slope[0] == pytest.approx(300 / 29 * MIB, rel=1e-5)
    young = np.concatenate([np.linspace(100, 400, 60), np.linspace(100, 120, 5)])
    assert not fit(hourly(young)).grows()[0]


def test_a_few_jumps_do_not_bend_the_line():
    line = np.linspace(100, 200, 101)
    spiked = line.copy()
    spiked[[50, 61, 75, 82]] *= 1.35
    for values in (line, spiked):
        assert fit(hourly(values)).trend.slope[0] == pytest.approx(1 * MIB, rel=0.06)


def test_gaps_do_not_bend_the_line():
    line = np.linspace(100, 200, 101)
    line[np.arange(101) % 5 == 1] = np.nan
    assert fit(hourly(line)).trend.slope[0] == pytest.approx(1 * MIB, rel=1e-5)


def test_a_noisy_line_is_more_in_doubt_than_a_clean_one():
    random = np.random.default_rng(6)
    clean = np.linspace(100, 300, 100)
    noisy = clean * (1 + 0.05 * random.standard_normal(100))
    clean_trend, noisy_trend = (trend_of(hourly_row(values)) for values in (clean, noisy))
    assert noisy_trend.deviation[0] > 10 * clean_trend.deviation[0]
    assert noisy_trend.slope[0] == pytest.approx(clean_trend.slope[0], rel=0.5)


def test_a_longer_horizon_lies_further_up_the_line():
    fitted = fit(ramp(5, 2))
    hour, day = (fitted.predict(h * HOUR, LEVELS).values_bytes[0] for h in (1, 24))
    assert (day - hour)[0] == pytest.approx(23 * 2 * MIB, rel=0.01)
    assert (day > hour).all()


def test_the_interval_is_the_sign_tests():
    # Slopes of 1..12 over twelve hours; over six it falls, and the longest span has too little.
    y = np.concatenate([np.full(60, np.nan), np.full(12, 1000.0), 1000 + 12 * np.arange(12.0, 0.0, -1)])
    trend = trend_of(y[None, :])
    assert trend.slope[0] == pytest.approx(6.5)
    assert trend.deviation[0] == pytest.approx((10 - 3) / (2 * 1.959964), rel=1e-5)  # third from either end


def test_steady_noise_rarely_looks_like_growth():
    random = np.random.default_rng(7)
    hours = 100 * (1 + 0.05 * random.standard_normal((2000, 2 * max(LAGS))))
    grows = np.isfinite(trend_of(hours).slope).mean()
    assert 0.01 < grows < 0.08  # a sign test at 2.5 % for each of three spans


def test_line_errors_are_those_of_the_line_an_hour_before():
    window = window_of(ramp(6, 2)[None, :] * np.array([[1.0]]))
    errors = line_errors(window.hourly_bytes)[0]
    known = errors[np.isfinite(errors)]
    assert len(known) > 100
    assert known == pytest.approx(0, abs=1e-6)
    jumped = ramp(6, 2)
    jumped[-12:] *= 1.5
    assert line_errors(window_of(jumped).hourly_bytes)[0, -1] == pytest.approx(np.log(1.5), abs=0.01)


def hourly_row(values_mib):
    return np.asarray(values_mib)[None, :] * MIB
