"""What a scope learns for itself on top of a shipped network, and when the network is not to be believed.

In: the network's logit, later what came. Out: the logit scaled and shifted (Platt's two numbers, learned
online) and a verdict: with a recent loss above that of the plain forecasters, the better of these speaks
instead, until the network is better again. All is arithmetic on floats or arrays alike, for one scope or
for all.
"""

import math
from dataclasses import dataclass

import numpy as np

from plimsoll.pressure.features import Value
from plimsoll.pressure.network import MAX_LOGIT
from plimsoll.pressure.protocol import FloatArray

LEARNING_RATE = 0.02
# Pull back to slope 1 and bias 0 a step: a scope that is always calm must not forget what pressure is.
DECAY = 0.001
SLOPE_BOUNDS, BIAS_BOUNDS = (0.3, 2.0), (-2.0, 2.0)
# Losses fade over ~100 outcomes; fewer than the minimum condemn nobody.
LOSS_MEMORY = 0.01
MIN_OUTCOMES = 30
# The network falls from grace at this much more loss than the best plain forecaster, and returns at none.
FALL_MARGIN, RETURN_MARGIN = 0.05, 0.0


@dataclass(slots=True)
class Calibration:
    """Platt's numbers of one scope."""

    slope: float = 1.0
    bias: float = 0.0

    def probability(self, logit: float) -> float:
        """The probability at this logit."""
        return 1.0 / (1.0 + math.exp(-bounded(self.slope * logit + self.bias)))

    def learn(self, logit: float, realised: float) -> None:
        """One step on one outcome."""
        error = self.probability(logit) - realised
        self.slope, self.bias = stepped(self.slope, self.bias, logit, error)
        self.slope = min(SLOPE_BOUNDS[1], max(SLOPE_BOUNDS[0], self.slope))
        self.bias = min(BIAS_BOUNDS[1], max(BIAS_BOUNDS[0], self.bias))


def bounded(logit: float) -> float:
    """The logit within what may be said."""
    return min(MAX_LOGIT, max(-MAX_LOGIT, logit))


def stepped(slope: Value, bias: Value, logit: Value, error: Value) -> tuple[Value, Value]:
    """Slope and bias after one step of gradient descent, before their bounds."""
    scaled = logit / (
        1.0 + abs(logit)
    )  # a clipped gradient: a sure logit moves the slope no more than another
    return (
        slope - LEARNING_RATE * error * scaled - DECAY * (slope - 1.0),
        bias - LEARNING_RATE * error - DECAY * bias,
    )


@dataclass(slots=True)
class Trust:
    """Running losses of the network and of the plain forecasters of one scope."""

    plain: int
    losses: list[float]
    outcomes: int = 0
    fallen: bool = False

    @classmethod
    def of(cls, plain: int) -> "Trust":
        """Of a network beside this many plain forecasters."""
        return cls(plain, [0.0] * (1 + plain))

    def learn(self, losses: list[float]) -> None:
        """Take the losses [network, plain...] of one outcome."""
        self.outcomes += 1
        memory = max(LOSS_MEMORY, 1.0 / self.outcomes)
        self.losses = [mean + memory * (loss - mean) for mean, loss in zip(self.losses, losses, strict=True)]
        best = min(self.losses[1:])
        if self.outcomes >= MIN_OUTCOMES:
            margin = RETURN_MARGIN if self.fallen else FALL_MARGIN
            self.fallen = self.losses[0] > best + margin

    @property
    def speaker(self) -> int:
        """0 for the network, else the number of the plain forecaster that speaks."""
        return 1 + self.losses[1:].index(min(self.losses[1:])) if self.fallen else 0

    @property
    def state_bytes(self) -> int:
        """Losses, count, verdict."""
        return 8 * (len(self.losses) + 2)


def sigmoid(logit: FloatArray) -> FloatArray:
    """The logistic function, for arrays of any finite logits."""
    return np.asarray(1.0 / (1.0 + np.exp(-np.clip(logit, -MAX_LOGIT, MAX_LOGIT))))
