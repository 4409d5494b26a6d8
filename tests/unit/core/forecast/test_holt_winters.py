"""Holt-Winters by its textbook recursion, and on shapes whose next hour is known."""

import numpy as np
import pytest

from builders.histories import MIB, window_of
from builders.shapes import daily, hourly, ramp
from plimsoll.forecast.holt_winters import GRID, HoltWinters, _Smoothing


def textbook(values, alpha, beta, gamma, period=24):
    """One-step forecasts of a series by the component form, one number at a time."""
    level, trend, season, said = None, 0.0, [0.0] * period, []
    for t, value in enumerate(values):
        said.append(np.nan if level is None else level + trend + season[t % period])
        if np.isnan(value):
            continue
        if level is None:
            level = value
            continue
        old, before = level, season[t % period]
        level = alpha * (value - before) + (1 - alpha) * (old + trend)
        season[t % period] = gamma * (value - old - trend) + (1 - gamma) * before
        trend = beta * (level - old) + (1 - beta) * trend
    return np.array(said)


@pytest.mark.parametrize("missing", [0.0, 0.2])
def test_every_choice_of_parameters_follows_the_textbook(missing):
    random = np.random.default_rng(4)
    values = 1 + 0.3 * np.sin(np.arange(100) * 2 * np.pi / 24) + 0.1 * random.random(100)
    values[random.random(100) < missing] = np.nan
    state, said = _Smoothing(1), []
    for hour, value in enumerate(values):
        said.append(state._all(hour)[0])
        state.update(hour, np.array([value]))
    for i, parameters in enumerate(GRID):
        assert np.array(said)[:, i] == pytest.approx(textbook(values, *parameters), nan_ok=True, abs=1e-12)


def test_each_row_has_the_parameters_that_erred_least():
    random = np.random.default_rng(5)
    values = np.stack([100 + random.normal(0, 10, 300), 100 + np.cumsum(random.normal(0, 10, 300))])
    state = _Smoothing(2)
    for hour in range(300):
        state.update(hour, values[:, hour])
    best = GRID[np.argmin(state._error, axis=1)]
    assert best[0, 0] < best[1, 0]  # noise is smoothed away, a walk is followed


def point_mib(usage):
    return HoltWinters().fit(window_of(usage)).hindcast().point_bytes[0] / MIB


def test_a_daily_rise_is_expected():
    usage = daily(12)
    assert point_mib(usage) == pytest.approx(100, rel=0.1)  # midnight: down
    assert point_mib(usage[: -12 * 12]) == pytest.approx(300, rel=0.1)  # noon: up


def test_a_trend_is_followed():
    assert point_mib(ramp(10, 2)) == pytest.approx((ramp(10, 2)[-1] / MIB) + 2, rel=0.01)


def test_an_hour_without_a_sample_leaves_the_state_as_it_is():
    flat = np.full(24 * 5, 100.0)
    assert point_mib(hourly(np.concatenate([flat, np.full(30, np.nan)]))) == pytest.approx(100)


def test_a_running_hour_that_is_above_its_forecast_is_learned_from():
    usage = np.concatenate([np.full(5 * 288, 100 * MIB), [150 * MIB]])
    assert point_mib(usage) >= 150


def test_there_are_no_errors_before_a_day_has_passed():
    fitted = HoltWinters().fit(window_of(hourly(np.linspace(100, 120, 30))))
    assert np.isfinite(fitted.hindcast().log_error).sum() == 30 - 24


def test_a_forecast_never_falls_to_nothing():
    falling = hourly(np.concatenate([np.linspace(1000, 30, 80), [5.0]]))
    assert point_mib(falling) >= 0.5
