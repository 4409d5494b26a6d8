"""The baseline: 656 bytes, right gradients, learns what can be learned, survives every number."""

import math

import numpy as np
import pytest

from builders.pressure import sample
from plimsoll.pressure import mlp4
from plimsoll.pressure.mlp4 import MAX_WEIGHT, STATE_BYTES, WEIGHT_COUNT, Mlp4, blind_weights
from plimsoll.pressure.protocol import PressureForecast, Source

INPUTS = np.array([0.7, 0.2, 0.4, 0.3])


def asked(inputs=INPUTS):
    return PressureForecast(100.0, 0.5, inputs=np.asarray(inputs, dtype=float))


def said(weights, inputs=INPUTS):
    hidden = np.maximum(weights[:32].reshape(8, 4) @ inputs + weights[32:40], 0.0)
    return 1.0 / (1.0 + math.exp(-(weights[40:48] @ hidden + weights[48])))


def test_all_it_keeps_is_656_bytes():
    network = Mlp4()
    for second in range(50):
        network.update(network.predict(sample(float(second)), float(second)), float(second % 2))
    assert network.state_bytes == STATE_BYTES == 656


@pytest.mark.parametrize("seed", [0, 1, 2, 3])
@pytest.mark.parametrize("realised", [0.0, 1.0])
def test_a_step_goes_down_the_gradient_of_the_log_loss(seed, realised, monkeypatch):
    monkeypatch.setattr(mlp4, "MAX_GRADIENT_NORM", 1e9)
    start = blind_weights(seed)

    def loss(weights):
        return -math.log(said(weights) if realised else 1.0 - said(weights))

    differences = np.zeros(WEIGHT_COUNT)
    for at in range(WEIGHT_COUNT):
        step = np.zeros(WEIGHT_COUNT)
        step[at] = 1e-6
        differences[at] = (loss(start + step) - loss(start - step)) / 2e-6
    network = Mlp4(start)
    network.update(asked(), realised)
    assert (start - network.weights) / mlp4.LEARNING_RATE == pytest.approx(differences, abs=1e-7)


def test_a_large_gradient_is_clipped():
    start = blind_weights(1) * 30
    network = Mlp4(np.clip(start, -MAX_WEIGHT, MAX_WEIGHT))
    before = network.weights
    network.update(asked(np.ones(4)), float(said(before, np.ones(4)) < 0.5))
    assert np.linalg.norm(network.weights - before) <= mlp4.LEARNING_RATE * mlp4.MAX_GRADIENT_NORM * (
        1 + 1e-9
    )


def test_weights_stay_within_bounds():
    network = Mlp4(np.full(WEIGHT_COUNT, MAX_WEIGHT))
    for _ in range(20):
        network.update(asked(np.ones(4)), 0.0)
        assert np.abs(network.weights).max() <= MAX_WEIGHT


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_a_step_beyond_the_bound_ends_at_it(sign):
    weights = np.zeros(WEIGHT_COUNT)
    weights[-1] = sign * (MAX_WEIGHT - 1e-6)
    network = Mlp4(weights)
    network.update(asked(), float(sign > 0))
    assert network.weights[-1] == sign * MAX_WEIGHT


def test_the_allocation_rate_is_smoothed():
    network, total = Mlp4(blind_weights(2)), sample().total_bytes
    inputs = [
        network.predict(sample(second, allocation_bytes_per_second=share * total), second).inputs[0]
        for second, share in ((1.0, 0.02), (2.0, 0.12))
    ]
    scale = mlp4.ALLOCATION_SCALE
    smoothed = 0.02 + mlp4.SMOOTHING * (0.12 - 0.02)
    assert inputs == pytest.approx([0.02 / (0.02 + scale), smoothed / (smoothed + scale)])


def losses_of(network, count):
    """Losses of a stream in which pressure follows from little free memory."""
    random = np.random.default_rng(3)
    out = []
    for second in range(count):
        free = float(random.uniform(0, 1))
        came = float(free < 0.3)
        forecast = network.predict(sample(float(second), free_ratio=free), float(second))
        raw = said(network.weights, forecast.inputs)
        out.append(-math.log(max(1e-9, raw if came else 1.0 - raw)))
        network.update(forecast, came)
    return out


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_learning_halves_the_loss_on_what_can_be_learned(seed):
    losses = losses_of(Mlp4(seed=seed), 3000)
    assert np.mean(losses[-300:]) < 0.5 * np.mean(losses[:100])


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf, -1.0])
@pytest.mark.parametrize(
    "name", ["free_ratio", "allocation_bytes_per_second", "period_seconds", "total_bytes"]
)
def test_what_is_no_number_gives_no_forecast_and_leaves_the_weights(name, bad):
    network = Mlp4()
    before = network.weights
    forecast = network.predict(sample(**{name: bad}), 100.0)
    if name == "total_bytes" and bad == math.inf:
        assert forecast.source is Source.MODEL  # no share of an endless memory is allocated
        return
    assert forecast.source is Source.MISSING
    assert math.isnan(forecast.probability)
    network.update(forecast, 1.0)
    assert (network.weights == before).all()


@pytest.mark.parametrize("realised", [math.nan, 0.5, math.inf, -1.0])
def test_only_pressure_or_none_is_learned(realised):
    network = Mlp4()
    before = network.weights
    network.update(asked(), realised)
    assert (network.weights == before).all()


def test_the_watchdog_starts_weights_anew_that_have_gone_wrong():
    wrong = np.zeros(WEIGHT_COUNT)
    wrong[48] = MAX_WEIGHT  # always sure of pressure
    network = Mlp4(seed=5)
    network._weights[:] = wrong
    for _ in range(100):
        network._weights[48] = MAX_WEIGHT if network._state[mlp4._RESTARTS] == 1 else network._weights[48]
        network.update(asked(), 0.0)
    assert network._state[mlp4._RESTARTS] >= 2
    assert network.predict(sample(), 200.0).probability < 0.6


def test_weights_that_are_not_finite_start_anew():
    network = Mlp4()
    network._weights[3] = math.nan
    assert network.predict(sample(), 1.0).source is Source.MISSING
    assert np.isfinite(network.weights).all()
    assert network.predict(sample(), 2.0).source is Source.MODEL


def test_what_it_says_is_smoothed():
    network = Mlp4(blind_weights(2))
    first = network.predict(sample(free_ratio=0.9), 1.0).probability
    second = network.predict(sample(2.0, free_ratio=0.0), 2.0)
    raw = said(network.weights, second.inputs)
    assert second.probability == pytest.approx(first + mlp4.SMOOTHING * (raw - first))
