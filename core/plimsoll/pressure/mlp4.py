"""`mlp4`: the 4→8→1 network that this room descends from, kept as the named baseline.

In: allocation rate, free share, compaction count and time since the last sample. Out: the probability of
pressure within the horizon. ReLU, sigmoid, online stochastic gradient descent on the log loss, exponential
smoothing of the allocation rate and of what it says, gradient clipping, bounds on every weight, a fall-back
where a number is NaN or infinite, a watchdog that starts the weights anew where they have gone wrong. All it
keeps are the 82 numbers (656 bytes) of one array. It starts blind, or from weights it was trained to before.
Actions are limited to 10 a second in `policy.py`, where actions are.

Source: `facts/ancestors.md`; rates and scales are not given there and were chosen here.
"""

import math

import numpy as np

from plimsoll.pressure.protocol import FloatArray, PressureForecast, Source, nothing_known
from plimsoll.pressure.sample import PressureSample

INPUTS, HIDDEN = 4, 8
WEIGHT_COUNT = HIDDEN * INPUTS + HIDDEN + HIDDEN + 1
STATE_COUNT = 82
STATE_BYTES = 8 * STATE_COUNT

LEARNING_RATE = 0.05
SMOOTHING = 0.3  # weight of the newest number in what is smoothed
MAX_GRADIENT_NORM = 1.0
MAX_WEIGHT = 8.0
# Weights that over ~50 outcomes lose this much more than the share of pressure seen are worse than none.
WATCHDOG_MARGIN = 1.0
LOSS_MEMORY = 0.02
# Scales at which an input is one half: share of the scope's memory a second, compactions a second, seconds.
ALLOCATION_SCALE, COMPACTION_SCALE, PERIOD_SCALE = 0.02, 1.0, 1.0

# The array: weights, then what is remembered of inputs and outputs, by these places.
_HIDDEN_BIAS, _OUT, _OUT_BIAS = HIDDEN * INPUTS, HIDDEN * INPUTS + HIDDEN, WEIGHT_COUNT - 1
_LAST_INPUTS = slice(WEIGHT_COUNT, WEIGHT_COUNT + INPUTS)
_ACTIVATION = slice(WEIGHT_COUNT + 2 * INPUTS, WEIGHT_COUNT + 2 * INPUTS + HIDDEN)
_MEANS = slice(WEIGHT_COUNT + INPUTS, WEIGHT_COUNT + 2 * INPUTS)
_SCALARS = WEIGHT_COUNT + 2 * INPUTS + HIDDEN
(
    _SECONDS,
    _PROBABILITY,
    _RAW,
    _LOSS,
    _PREDICTIONS,
    _UPDATES,
    _NOT_FINITE,
    _RESTARTS,
    _GRADIENT_NORM,
    _CLIPPED,
    _LEARNING_RATE,
    _POSITIVES,
    _SEED,
    _SHARE,
    _SHARE_LOSS,
    _UPDATED_SECONDS,
    _REALISED,
) = range(_SCALARS, STATE_COUNT)


def blind_weights(seed: int = 0) -> FloatArray:
    """Small random weights [49], drawn as He et al. would for ReLU."""
    weights = np.zeros(WEIGHT_COUNT)
    random = np.random.default_rng(seed)
    weights[:_HIDDEN_BIAS] = random.normal(0.0, math.sqrt(2 / INPUTS), _HIDDEN_BIAS)
    weights[_OUT:_OUT_BIAS] = random.normal(0.0, math.sqrt(1 / HIDDEN), HIDDEN)
    return weights


class Mlp4:
    """One scope's 4→8→1 network."""

    def __init__(self, weights: FloatArray | None = None, seed: int = 0, name: str = "mlp4") -> None:
        self.name = name
        self._start = weights
        state = np.zeros(STATE_COUNT)
        self._state = state
        self._in = state[:_HIDDEN_BIAS].reshape(HIDDEN, INPUTS)
        self._hidden_bias = state[_HIDDEN_BIAS:_OUT]
        self._out = state[_OUT:_OUT_BIAS]
        self._weights = state[:WEIGHT_COUNT]
        self._activation = state[_ACTIVATION]
        state[_SEED] = seed
        state[_LEARNING_RATE] = LEARNING_RATE
        state[_SHARE] = 0.5
        self._restart()

    @property
    def state_bytes(self) -> int:
        """656: the whole array."""
        return self._state.nbytes

    @property
    def weights(self) -> FloatArray:
        """A copy of the weights [49], to be exported."""
        return self._weights.copy()

    def predict(self, sample: PressureSample, now_seconds: float) -> PressureForecast:
        """Probability from the four inputs; what is not finite gives what was last said, or nothing."""
        inputs = self._inputs(sample)
        if inputs is None:
            self._state[_NOT_FINITE] += 1
            return nothing_known(now_seconds)
        raw = self._forward(inputs)
        if not math.isfinite(raw):
            self._restart()
            return nothing_known(now_seconds)
        state = self._state
        said = (
            raw if state[_PREDICTIONS] == 0 else state[_PROBABILITY] + SMOOTHING * (raw - state[_PROBABILITY])
        )
        state[_PREDICTIONS] += 1
        state[_SECONDS], state[_RAW], state[_PROBABILITY] = now_seconds, raw, said
        return PressureForecast(now_seconds, float(said), Source.MODEL, inputs=inputs)

    def update(self, forecast: PressureForecast, realised: float) -> None:
        """One step of gradient descent on the forecast's own inputs."""
        inputs = forecast.inputs
        if inputs.shape != (INPUTS,) or realised not in (0.0, 1.0):
            return
        state = self._state
        said = self._forward(inputs)
        error = said - realised
        hidden_error = self._out * error * (self._activation > 0)
        # The gradient's norm in closed form: both layers are outer products.
        squares = 1.0 + float(inputs @ inputs)
        norm = math.sqrt(
            error * error * (1.0 + float(self._activation @ self._activation))
            + squares * float(hidden_error @ hidden_error)
        )
        if not math.isfinite(norm):
            self._restart()
            return
        step = state[_LEARNING_RATE] * min(1.0, MAX_GRADIENT_NORM / (norm + 1e-12))
        self._out -= step * error * self._activation
        state[_OUT_BIAS] -= step * error
        self._in -= np.multiply.outer(step * hidden_error, inputs)
        self._hidden_bias -= step * hidden_error
        np.clip(self._weights, -MAX_WEIGHT, MAX_WEIGHT, out=self._weights)
        state[_GRADIENT_NORM] = norm
        state[_CLIPPED] += norm > MAX_GRADIENT_NORM
        state[_UPDATES] += 1
        state[_POSITIVES] += realised
        state[_UPDATED_SECONDS], state[_REALISED] = forecast.seconds, realised
        self._watch(said, realised)

    def _watch(self, said: float, realised: float) -> None:
        state = self._state
        state[_LOSS] += LOSS_MEMORY * (_loss(said, realised) - state[_LOSS])
        state[_SHARE_LOSS] += LOSS_MEMORY * (_loss(float(state[_SHARE]), realised) - state[_SHARE_LOSS])
        state[_SHARE] += LOSS_MEMORY * (realised - state[_SHARE])
        if state[_LOSS] > state[_SHARE_LOSS] + WATCHDOG_MARGIN:
            self._restart()

    def _restart(self) -> None:
        """Weights as at the start; a blind network draws others than those that went wrong."""
        state = self._state
        state[_RESTARTS] += 1
        seed = int(state[_SEED] + state[_RESTARTS] - 1)
        self._weights[:] = blind_weights(seed) if self._start is None else self._start
        state[_LOSS] = state[_SHARE_LOSS] = math.log(2)
        state[_PROBABILITY] = state[_RAW] = 0.5

    def _forward(self, inputs: FloatArray) -> float:
        np.maximum(self._in @ inputs + self._hidden_bias, 0.0, out=self._activation)
        logit = float(self._out @ self._activation) + float(self._state[_OUT_BIAS])
        if not math.isfinite(logit):
            return math.nan
        return 1.0 / (1.0 + math.exp(-min(30.0, max(-30.0, logit))))

    def _inputs(self, sample: PressureSample) -> FloatArray | None:
        """The four inputs, each within 0..1; None where one is unknown."""
        rate = sample.allocation_bytes_per_second / sample.total_bytes if sample.total_bytes > 0 else math.nan
        compactions = sample.compactions
        if math.isnan(compactions):  # only kube nodes count them
            compactions = 0.0
        numbers = (
            rate,
            sample.free_ratio,
            compactions / max(sample.period_seconds, 1e-3),
            sample.period_seconds,
        )
        if not all(0.0 <= number < math.inf for number in numbers):
            return None
        state = self._state
        means = state[_MEANS]
        smoothed = rate if state[_PREDICTIONS] == 0 else means[0] + SMOOTHING * (rate - means[0])
        inputs = np.array(
            (
                smoothed / (smoothed + ALLOCATION_SCALE),
                numbers[1],
                numbers[2] / (numbers[2] + COMPACTION_SCALE),
                numbers[3] / (numbers[3] + PERIOD_SCALE),
            )
        )
        means[:] = (smoothed, *numbers[1:])
        state[_LAST_INPUTS] = inputs
        return inputs


def _loss(said: float, realised: float) -> float:
    return -math.log(max(1e-6, said if realised else 1.0 - said))
