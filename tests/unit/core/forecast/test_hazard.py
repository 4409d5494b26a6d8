"""The default model: scale-free, finite, monotone, repeatable to the bit, and sensible on plain shapes."""

import numpy as np
import pytest

from builders.histories import MIB, steady, window_of
from plimsoll.forecast.features import LOG_LEVELS, features
from plimsoll.forecast.hazard import HazardPeak
from plimsoll.forecast.protocol import LEVELS
from plimsoll.forecast.registry import model_names, peak_model
from plimsoll.forecast.window import UsageWindow

HOUR = 3600.0


def spiky(days: float = 3) -> np.ndarray:
    usage = steady(days)
    usage[40::97] *= 3
    return usage


SHAPES = {
    "flat": steady(3),
    "zero": np.zeros(600),
    "one sample": np.array([100 * MIB]),
    "nothing": np.full(300, np.nan),
    "gaps": np.where(np.arange(900) % 7 < 3, np.nan, 80 * MIB),
    "spike": np.concatenate([steady(2), [1e5 * MIB], steady(0.1)]),
    "growth": np.linspace(50, 900, 900) * MIB,
    "huge": np.full(300, 2.0**45),
}


@pytest.mark.parametrize("shape", SHAPES)
def test_features_are_always_finite(shape: str):
    seen = features(window_of(SHAPES[shape]))
    assert np.isfinite(seen.row).all()
    assert np.isfinite(seen.level).all()
    assert seen.level.shape[1] == len(LOG_LEVELS)


def test_features_do_not_depend_on_the_containers_size():
    small, large = (features(window_of(spiky() * scale)) for scale in (1, 64))
    assert small.row == pytest.approx(large.row, abs=1e-4)
    assert small.level == pytest.approx(large.level, abs=1e-4)


@pytest.mark.parametrize("shape", [name for name in SHAPES if name not in ("nothing", "zero")])
def test_quantiles_rise_and_are_never_below_the_last_hours_peak(shape: str):
    window = window_of(SHAPES[shape])
    values = HazardPeak().fit(window).predict(HOUR, LEVELS).values_bytes[0]
    assert (np.diff(values) >= 0).all()
    assert values[0] >= features(window).reference_bytes[0] * (1 - 1e-12)


def test_nothing_seen_gives_no_distribution():
    assert not HazardPeak().fit(window_of(SHAPES["nothing"])).predict(HOUR, LEVELS).ready()[0]


def test_a_container_that_jumps_needs_more_above_its_peak_than_a_flat_one():
    flat, jumpy = (
        HazardPeak().fit(window_of(u)).predict(HOUR, LEVELS).values_bytes[0] for u in (steady(3), spiky())
    )
    assert jumpy[-4] / jumpy[0] > 1.5 * flat[-4] / flat[0]


def test_a_longer_horizon_needs_more():
    window = window_of(spiky())
    hour, day = (HazardPeak().fit(window).predict(h * HOUR, LEVELS).values_bytes[0] for h in (1, 24))
    assert (day >= hour).all()
    assert day[5] > hour[5]


def test_a_row_is_answered_alike_to_the_bit_whatever_is_asked_with_it():
    random = np.random.default_rng(5)
    usage = np.exp(random.normal(18, 0.3, (301, 300)))
    window = window_of(usage)
    together = HazardPeak().fit(window).predict(HOUR, LEVELS).values_bytes
    order = random.permutation(301)
    shuffled = HazardPeak().fit(rows_of(window, order)).predict(HOUR, LEVELS).values_bytes
    assert np.array_equal(shuffled, together[order])
    for row in (0, 63, 64, 300):
        alone = HazardPeak().fit(rows_of(window, np.array([row]))).predict(HOUR, LEVELS).values_bytes
        assert np.array_equal(alone[0], together[row])


def rows_of(window: UsageWindow, rows: np.ndarray) -> UsageWindow:
    return UsageWindow(window.recent_bytes[rows], window.hourly_bytes[rows])


@pytest.mark.parametrize("name", model_names())
def test_every_registered_model_answers_rows_with_a_past_and_no_others(name: str):
    window = window_of(np.stack([steady(2), np.full(576, np.nan)]))
    answer = peak_model(name).fit(window).predict(HOUR, LEVELS)
    assert answer.ready().tolist() == [True, False]


def test_an_unknown_model_is_refused_with_the_names_there_are():
    with pytest.raises(ValueError, match="unknown forecast model 'prophet9'; known: auto, hazard, windowed"):
        peak_model("prophet9")
