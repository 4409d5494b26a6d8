"""The predictor that is used: a shipped network, calibrated to its scope, guarded by plain forecasters.

`Guarded` works with the plain network (`boosted`: taught by trees) and with the recurrent one (`gru`). It
answers with the network from the first sample on; where the network is missing or has of late been worse than
persistence or time to exhaustion, the better of these speaks and the forecast says so. NaN in, `MISSING` out.
"""

import math

import numpy as np

from plimsoll.pressure.calibrated import Calibration, Trust
from plimsoll.pressure.features import ScopeFeatures, usable
from plimsoll.pressure.network import Plain, Recurrent
from plimsoll.pressure.protocol import (
    FloatArray,
    PressureForecast,
    PressurePredictor,
    Source,
    nothing_known,
)
from plimsoll.pressure.reactive import Exhaustion, Persistence, log_loss
from plimsoll.pressure.sample import PressureSample, ScopeKind, values_of

PLAIN = 2


class Guarded:
    """One scope's predictor. `network` None (no sound weights were found) leaves the plain forecasters."""

    def __init__(
        self, name: str, network: Plain | Recurrent | None, kind: ScopeKind, *, guard: bool = True
    ) -> None:
        self.name = name
        self._network = network
        self._guard = guard
        self._features = ScopeFeatures(kind)
        self._calibration = Calibration()
        self._trust = Trust.of(PLAIN)
        self._persistence, self._exhaustion = Persistence(), Exhaustion()
        self._state = np.zeros(network.hidden) if isinstance(network, Recurrent) else None

    @property
    def state_bytes(self) -> int:
        """Numbers of this scope: means, calibration, trust, plain forecasters, recurrent state."""
        own = self._features.state_bytes + 16 + self._trust.state_bytes
        plain = self._persistence.state_bytes + self._exhaustion.state_bytes
        return own + plain + (0 if self._state is None else self._state.nbytes)

    def predict(self, sample: PressureSample, now_seconds: float) -> PressureForecast:
        """The network's calibrated probability, or that of whoever speaks for it."""
        if not (usable(sample) and math.isfinite(now_seconds)):
            return nothing_known(now_seconds)
        plain = (
            self._persistence.predict(sample, now_seconds),
            self._exhaustion.predict(sample, now_seconds),
        )
        logit = self._logit(sample, now_seconds)
        said = self._calibration.probability(logit) if math.isfinite(logit) else math.nan
        # What each of them said, to be judged by what comes; and what the plain ones learn from.
        inputs = np.array([logit, said, *(each.probability for each in plain), *map(_input_of, plain)])
        speaker = self._trust.speaker if self._guard and math.isfinite(said) else 0
        if speaker == 0 and math.isfinite(said):
            return PressureForecast(now_seconds, said, Source.MODEL, inputs=inputs)
        probability = plain[max(0, speaker - 1)].probability
        if math.isnan(probability):
            probability = plain[1].probability
        return PressureForecast(now_seconds, probability, Source.FALLBACK, inputs=inputs)

    def update(self, forecast: PressureForecast, realised: float) -> None:
        """Calibrate, judge, and let the plain forecasters learn."""
        if forecast.inputs.shape != (2 + 2 * PLAIN,) or realised not in (0.0, 1.0):
            return
        logit, said, *others = (float(value) for value in forecast.inputs)
        models: tuple[PressurePredictor, ...] = (self._persistence, self._exhaustion)
        for model, value in zip(models, others[PLAIN:], strict=True):
            if not math.isnan(value):
                model.update(_with_input(forecast, value), realised)
        if not math.isfinite(said):
            return
        self._calibration.learn(logit, realised)
        if all(math.isfinite(value) for value in others[:PLAIN]):
            self._trust.learn([log_loss(each, realised) for each in (said, *others[:PLAIN])])

    def _logit(self, sample: PressureSample, now_seconds: float) -> float:
        features = self._features.take(values_of(sample), now_seconds)
        if features is None or self._network is None:
            return math.nan
        if isinstance(self._network, Plain):
            return float(self._network.logit(features))
        state = self._network.step(features, self._recurrent_state())
        logit = float(self._network.logit(state))
        # A state that is not finite would never become so again.
        self._state = state if math.isfinite(logit) else np.zeros_like(state)
        return logit

    def _recurrent_state(self) -> FloatArray:
        if self._state is None:
            raise TypeError(f"pressure predictor {self.name!r}: only recurrent networks have a state")
        return self._state


def _input_of(forecast: PressureForecast) -> float:
    return float(forecast.inputs[0]) if len(forecast.inputs) else math.nan


def _with_input(forecast: PressureForecast, value: float) -> PressureForecast:
    return PressureForecast(forecast.seconds, forecast.probability, inputs=np.array([value]))
