"""Rules that every forecast model keeps, whatever it is fed: never NaN where ready, rising, row by row."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from builders.histories import MIB, steady, window_of
from builders.shapes import BAD_INPUT, alike, daily, ramp, rows_of
from plimsoll.forecast.autopilot_ml import AutopilotMl
from plimsoll.forecast.growth import GrowthPeak
from plimsoll.forecast.holt_winters import HoltWinters
from plimsoll.forecast.moving_windows import MovingWindows, OomTolerance
from plimsoll.forecast.protocol import LEVELS
from plimsoll.forecast.usage_grid import STEP
from plimsoll.forecast.window import HISTORY_HOURS, UsageWindow
from plimsoll.recommend.buffer import calibrate

HOUR = 3600.0
MODELS = [
    *(MovingWindows(tolerance) for tolerance in OomTolerance),
    AutopilotMl(),
    HoltWinters(),
    GrowthPeak(),
]
NAMES = [
    *(f"moving-windows-{tolerance}" for tolerance in OomTolerance),
    "autopilot-ml",
    "holt-winters",
    "growth",
]
every_model = pytest.mark.parametrize("model", MODELS, ids=NAMES)


def forecast(model, window, horizon_seconds=HOUR):
    """Distribution as the pipeline has it: with the row's own errors."""
    fitted = model.fit(window)
    return calibrate(fitted.predict(horizon_seconds, LEVELS), fitted.hindcast())


@every_model
@pytest.mark.parametrize("shape", [name for name in BAD_INPUT if name != "nothing"])
def test_what_was_seen_has_a_rising_distribution(model, shape):
    window = window_of(BAD_INPUT[shape])
    for horizon in (HOUR, 24 * HOUR):
        for answer in (model.fit(window).predict(horizon, LEVELS), forecast(model, window, horizon)):
            assert answer.ready().all()
            assert (np.diff(answer.values_bytes, axis=1) >= 0).all()
            assert (answer.values_bytes >= 0).all()


@every_model
def test_nothing_seen_gives_no_distribution_and_no_errors(model):
    fitted = model.fit(window_of(BAD_INPUT["nothing"]))
    assert not fitted.predict(HOUR, LEVELS).ready()[0]
    assert np.isnan(fitted.hindcast().log_error).all()


@every_model
def test_a_row_is_answered_alike_to_the_bit_whatever_is_asked_with_it(model):
    window = window_of(alike(70))
    together = forecast(model, window).values_bytes
    order = np.random.default_rng(1).permutation(70)
    assert np.array_equal(
        forecast(model, rows_of(window, order)).values_bytes, together[order], equal_nan=True
    )
    for row in (0, 33, 69):
        alone = forecast(model, rows_of(window, np.array([row]))).values_bytes
        assert np.array_equal(alone[0], together[row], equal_nan=True)


@every_model
@pytest.mark.parametrize("scale", [2.0**-4, 2.0**6, 3.7])
def test_a_container_of_another_size_is_answered_alike(model, scale):
    usage = np.stack([ramp(3, 2), daily(3), steady(3)])
    small, large = (forecast(model, window_of(usage * factor)).values_bytes for factor in (1.0, scale))
    assert large == pytest.approx(small * scale, rel=1e-5)


@every_model
def test_errors_are_of_hours_that_are_over(model):
    usage = ramp(3, 2)
    calm, later = (
        model.fit(window_of(np.concatenate([usage, [mib * MIB]]))).hindcast().log_error for mib in (90, 900)
    )
    # A new peak moves the grid by a part of a step, but it is no error yet.
    assert np.isfinite(calm).any()
    assert later == pytest.approx(calm, abs=np.log(STEP) + 1e-6, nan_ok=True)


def usage_values():
    sensible = st.floats(0, 2.0**44, allow_nan=False)
    return st.one_of(st.just(np.nan), st.just(0.0), st.sampled_from([MIB, 1.02 * MIB, 64 * MIB]), sensible)


@every_model
@settings(max_examples=25, deadline=None)
@given(
    recent=arrays(np.float64, (3, 40), elements=usage_values(), fill=st.just(100 * MIB)),
    hours=arrays(np.float64, (3, 80), elements=usage_values(), fill=st.just(np.nan)),
    horizon=st.floats(60.0, 30 * 86_400.0),
)
def test_never_nan_where_ready_and_quantiles_rise(model, recent, hours, horizon):
    window = UsageWindow(padded(recent, 288), padded(hours, HISTORY_HOURS))
    answer = forecast(model, window, horizon)
    known = answer.values_bytes[answer.ready()]
    assert np.isfinite(known).all()
    assert (np.diff(known, axis=1) >= 0).all()
    unknown = answer.values_bytes[~answer.ready()]
    assert np.isnan(unknown).all(), "a row is known at all levels or at none"


def padded(values, width):
    return np.concatenate([np.full((len(values), width - values.shape[1]), np.nan), values], axis=1)
