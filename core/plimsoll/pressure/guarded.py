"""The predictor that is used: a shipped network, mixed with and guarded by plain forecasters of its scope.

`Guarded` works with the plain network (`boosted`: taught by trees) and with the recurrent one (`gru`). It
answers with the network from the first sample on; where the network is missing or has of late been worse than
persistence or time to exhaustion, the better of these speaks and the forecast says so. NaN in, `MISSING` out.
"""

import math

import numpy as np

from plimsoll.pressure.calibrated import Mix, Trust, mixed_logits
from plimsoll.pressure.features import ScopeFeatures, usable
from plimsoll.pressure.network import Plain, Recurrent
from plimsoll.pressure.protocol import (
    FloatArray,
    PressureForecast,
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
        self._mix = Mix()
        self._trust = Trust.of(PLAIN)
        self._persistence, self._exhaustion = Persistence(), Exhaustion()
        self._state = np.zeros(network.hidden) if isinstance(network, Recurrent) else None

    @property
    def state_bytes(self) -> int:
        """Numbers of this scope: means, mix, trust, plain forecasters, recurrent state."""
        own = self._features.state_bytes + 32 + self._trust.state_bytes
        plain = self._persistence.state_bytes + self._exhaustion.state_bytes
        return own + plain + (0 if self._state is None else self._state.nbytes)

    def predict(self, sample: PressureSample, now_seconds: float) -> PressureForecast:
        """The mix's probability, or that of whoever speaks for it."""
        if not (usable(sample) and math.isfinite(now_seconds)):
            return nothing_known(now_seconds)
        persistent, pressed = self._persistence.said(sample)
        exhausted, urgency = self._exhaustion.said(sample, now_seconds)
        logit = self._logit(sample, now_seconds)
        known = math.isfinite(logit)
        logits = mixed_logits(logit, persistent, exhausted) if known else (math.nan, math.nan, math.nan)
        said = self._mix.probability(logits) if known else math.nan
        # What is learned from: log odds, what was said, and what the plain forecasters said it of.
        inputs = np.array((*logits, said, persistent, exhausted, pressed, urgency))
        speaker = self._trust.speaker if self._guard and known else 0
        if known and speaker == 0:
            return PressureForecast(now_seconds, said, Source.MODEL, inputs=inputs)
        probability = exhausted if speaker == PLAIN or math.isnan(persistent) else persistent
        return PressureForecast(now_seconds, probability, Source.FALLBACK, inputs=inputs)

    def update(self, forecast: PressureForecast, realised: float) -> None:
        """Mix anew, judge, and let the plain forecasters learn."""
        if forecast.inputs.shape != (6 + PLAIN,) or realised not in (0.0, 1.0):
            return
        network, plain, left, said, persistent, exhausted, pressed, urgency = forecast.inputs.tolist()
        if not math.isnan(pressed):
            self._persistence.learn(pressed, realised)
        if not math.isnan(urgency):
            self._exhaustion.learn(urgency, realised)
        if math.isnan(said):
            return
        self._mix.learn((network, plain, left), realised)
        if not math.isnan(persistent):
            self._trust.learn([log_loss(each, realised) for each in (said, persistent, exhausted)])

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
