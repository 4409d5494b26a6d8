"""Two plain forecasters that any network must beat, and that speak when none can be trusted.

`Persistence`: what is now will be. It counts, for scopes under pressure and for calm ones, how often
pressure came within the horizon, and says that share. `Exhaustion`: the time until nothing is free at the
rate at which it is being used up, turned into a probability by a logistic curve. Both need a few numbers
and learn online.
"""

import math

import numpy as np

from plimsoll.pressure.features import usable
from plimsoll.pressure.outcome import PressureRule, under_pressure
from plimsoll.pressure.protocol import HORIZON_SECONDS, FloatArray, PressureForecast, Source, nothing_known
from plimsoll.pressure.sample import MAX_PERIOD_SECONDS, PressureSample

# Share of [calm, pressed] scopes that meet pressure, and how many outcomes that belief is worth.
PRIOR_SHARE = (0.05, 0.9)
PRIOR_WEIGHT = 10.0
# Outcomes fade with this memory, so that a scope that changed is believed within some minutes.
MAX_WEIGHT = 400.0

LEARNING_RATE = 0.05
SLOPE_START, BIAS_START = 2.0, 0.0  # half at a time to exhaustion of one horizon
MIN_SECONDS, MAX_SECONDS = 0.1, 600.0
TREND_SECONDS = 3.0


class Persistence:
    """Pressure now means pressure soon."""

    name = "persistence"

    def __init__(self, rule: PressureRule | None = None) -> None:
        self._rule = rule or PressureRule()
        self._share = list(PRIOR_SHARE)
        self._weight = [PRIOR_WEIGHT, PRIOR_WEIGHT]

    @property
    def state_bytes(self) -> int:
        """Two shares and their weights."""
        return 32

    def predict(self, sample: PressureSample, now_seconds: float) -> PressureForecast:
        """The share of scopes in the present state that met pressure."""
        probability, pressed = self.said(sample)
        if math.isnan(probability):
            return nothing_known(now_seconds)
        return PressureForecast(now_seconds, probability, inputs=np.array([pressed]))

    def update(self, forecast: PressureForecast, realised: float) -> None:
        """Count what came."""
        if forecast.inputs.shape == (1,) and realised in (0.0, 1.0):
            self.learn(float(forecast.inputs[0]), realised)

    def said(self, sample: PressureSample) -> tuple[float, float]:
        """The probability and what it was said of: 1.0 pressed, 0.0 calm; NaN where nobody can tell."""
        pressed = under_pressure(sample, self._rule)
        return (pressed, pressed) if math.isnan(pressed) else (self._share[pressed == 1.0], pressed)

    def learn(self, pressed: float, realised: float) -> None:
        """Count one outcome of what was said of a scope in this state."""
        state = int(pressed == 1.0)
        self._weight[state] = min(MAX_WEIGHT, self._weight[state] + 1.0)
        self._share[state] += (realised - self._share[state]) / self._weight[state]


class Exhaustion:
    """Linear extrapolation: when will what is left have been used up?"""

    name = "exhaustion"

    def __init__(self) -> None:
        self._slope, self._bias = SLOPE_START, BIAS_START
        self._mean = self._seconds = math.nan

    @property
    def state_bytes(self) -> int:
        """Slope, bias, mean of what is left, and its time."""
        return 32

    def predict(self, sample: PressureSample, now_seconds: float) -> PressureForecast:
        """A logistic curve over the logarithm of time to exhaustion in horizons."""
        if not usable(sample):
            return nothing_known(now_seconds)
        probability, urgency = self.said(sample, now_seconds)
        return PressureForecast(now_seconds, probability, Source.MODEL, inputs=np.array([urgency]))

    def update(self, forecast: PressureForecast, realised: float) -> None:
        """Move the curve."""
        if forecast.inputs.shape == (1,) and realised in (0.0, 1.0):
            self.learn(float(forecast.inputs[0]), realised)

    def said(self, sample: PressureSample, now_seconds: float) -> tuple[float, float]:
        """The probability and the urgency it was said of; the sample must be usable."""
        left = sample.available_ratio if 0.0 <= sample.available_ratio <= 1.0 else sample.free_ratio
        used_per_second = self._used_per_second(left, now_seconds)
        seconds = left / used_per_second if used_per_second > 0 else MAX_SECONDS
        urgency = -math.log(min(MAX_SECONDS, max(MIN_SECONDS, seconds)) / HORIZON_SECONDS)
        return self._probability(urgency), urgency

    def learn(self, urgency: float, realised: float) -> None:
        """Move the curve by one outcome of what was said at this urgency."""
        error = self._probability(urgency) - realised
        self._slope = min(8.0, max(0.1, self._slope - LEARNING_RATE * error * urgency))
        self._bias = min(8.0, max(-8.0, self._bias - LEARNING_RATE * error))

    def _used_per_second(self, left: float, now_seconds: float) -> float:
        since = now_seconds - self._seconds
        self._seconds = now_seconds
        if not 0.0 < since <= MAX_PERIOD_SECONDS:
            self._mean = left
            return 0.0
        self._mean += (left - self._mean) * since / (since + TREND_SECONDS)
        return (self._mean - left) / TREND_SECONDS

    def _probability(self, urgency: float) -> float:
        return 1.0 / (1.0 + math.exp(-(self._slope * urgency + self._bias)))


def log_loss(probability: float, realised: float) -> float:
    """Natural log loss of one forecast, bounded at about 9.2."""
    return -math.log(max(1e-4, probability if realised else 1.0 - probability))


def log_losses(probability: FloatArray, realised: FloatArray) -> FloatArray:
    """The same for arrays of one shape."""
    hit = np.where(realised == 1.0, probability, 1.0 - probability)
    return np.asarray(-np.log(np.maximum(1e-4, hit)))
