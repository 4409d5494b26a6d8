"""Small networks in numpy that ship with weights: a plain one (taught by trees) and a recurrent one.

In: `FEATURES` of one scope [f] or of many [n, f]. Out: logits. Weights are shared by all scopes and never
changed while running; what a scope learns for itself is its calibration (`calibrated.py`). Training is in
`bench/train_pressure.py`.
"""

from dataclasses import dataclass

import numpy as np

from plimsoll.pressure.protocol import FloatArray


@dataclass(frozen=True, slots=True)
class Plain:
    """Inputs to one hidden layer or two, leaky rectifiers, to one logit.

    `layers` are (weights [out, in], bias [out]); inputs are first taken from their mean and scaled.
    """

    mean: FloatArray
    scale: FloatArray
    layers: tuple[tuple[FloatArray, FloatArray], ...]

    @property
    def inputs(self) -> int:
        """How many features it wants."""
        return len(self.mean)

    def logit(self, features: FloatArray) -> FloatArray:
        """Logits [n] of features [n, f]; a zero-dimensional array of features [f]."""
        value = (features - self.mean) * self.scale
        for weights, bias in self.layers[:-1]:
            value = value @ weights.T + bias
            value = np.maximum(value, LEAK * value)
        weights, bias = self.layers[-1]
        return np.asarray(value @ weights[0] + bias[0])


LEAK = 0.05


@dataclass(frozen=True, slots=True)
class Recurrent:
    """A gated recurrent unit (Cho et al. 2014) over a scope's features, and one logit out of its state.

    `gates` [3h, f + h + 1] are of reset, update and candidate, with the bias last; `out` [h + 1].
    """

    mean: FloatArray
    scale: FloatArray
    gates: FloatArray
    out: FloatArray

    @property
    def inputs(self) -> int:
        """How many features it wants."""
        return len(self.mean)

    @property
    def hidden(self) -> int:
        """Numbers of state a scope."""
        return len(self.out) - 1

    def step(self, features: FloatArray, state: FloatArray) -> FloatArray:
        """The next state [..., h] from features [..., f] and state [..., h]."""
        hidden, inputs = self.hidden, self.inputs
        given = (features - self.mean) * self.scale @ self.gates[:, :inputs].T + self.gates[:, -1]
        kept = state @ self.gates[: 2 * hidden, inputs:-1].T
        both = 1.0 / (1.0 + np.exp(-np.clip(given[..., : 2 * hidden] + kept, -30.0, 30.0)))
        reset, update = both[..., :hidden], both[..., hidden:]
        candidate = np.tanh(
            given[..., 2 * hidden :] + (reset * state) @ self.gates[2 * hidden :, inputs:-1].T
        )
        return np.asarray(update * state + (1.0 - update) * candidate)

    def logit(self, state: FloatArray) -> FloatArray:
        """Logits [...] of states [..., h]."""
        return np.asarray(state @ self.out[:-1] + self.out[-1])
