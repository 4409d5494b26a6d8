"""What a scope learns for itself on top of a shipped network, and when the network is not to be believed.

In: the log odds of the network and of the plain forecasters, later what came. Out: their weighted sum,
whose weights are learned online (stacking by logistic regression), and a verdict: with a recent loss above
that of a plain forecaster, the better of these speaks instead, until the mix is better again.

A network alone, calibrated by slope and bias, lost to persistence on patterns of stress it had not been
trained on, for persistence counts what its own scope does. Half of each beat both (decision 0071).
"""

import math
from dataclasses import dataclass, field

import numpy as np

from plimsoll.pressure.protocol import FloatArray

LEARNING_RATE = 0.02
# Pull back to the start a step: a scope that is always calm must not forget what pressure is.
DECAY = 0.001
# Weights of network, persistence, time to exhaustion, and the bias.
START = (0.5, 0.5, 0.0, 0.0)
MIN_WEIGHTS, MAX_WEIGHTS = (0.0, 0.0, 0.0, -2.0), (2.0, 2.0, 1.0, 2.0)
# Log odds that count: no recording teaches to be surer.
MAX_LOGITS = (8.0, 5.0, 5.0)
MAX_LOGIT = 12.0
# Losses fade over ~100 outcomes; fewer than the minimum condemn nobody.
LOSS_MEMORY = 0.01
MIN_OUTCOMES = 30
# The mix loses the word at this much more loss (nats) than the best plain forecaster. Nearer bounds cost more
# than they save: the mix holds the plain forecasters already (decision 0071).
FALL_MARGIN, RETURN_MARGIN = 0.15, 0.05


@dataclass(slots=True)
class Mix:
    """The weights of one scope."""

    weights: list[float] = field(default_factory=lambda: list(START))

    def probability(self, logits: tuple[float, float, float]) -> float:
        """What the three say together."""
        network, persistence, exhaustion, bias = self.weights
        return _sigmoid(network * logits[0] + persistence * logits[1] + exhaustion * logits[2] + bias)

    def learn(self, logits: tuple[float, float, float], realised: float) -> None:
        """One step of gradient descent on one outcome."""
        step = LEARNING_RATE * (self.probability(logits) - realised)
        # A clipped gradient: a sure forecaster moves its weight no more than another.
        directions = (*(logit / (1.0 + abs(logit)) for logit in logits), 1.0)
        self.weights = [
            min(most, max(least, weight - step * direction - DECAY * (weight - start)))
            for weight, direction, start, least, most in zip(
                self.weights, directions, START, MIN_WEIGHTS, MAX_WEIGHTS, strict=True
            )
        ]


def mixed_logits(network: float, persistence: float, exhaustion: float) -> tuple[float, float, float]:
    """Bounded log odds of the network's logit and two probabilities; without PSI the network stands in."""
    most = MAX_LOGITS
    own = min(most[0], max(-most[0], network))
    plain = own if math.isnan(persistence) else _logit(persistence, most[1])
    return own, plain, _logit(exhaustion, most[2])


def _logit(probability: float, most: float) -> float:
    inside = min(1.0 - 1e-9, max(1e-9, probability))
    return min(most, max(-most, math.log(inside / (1.0 - inside))))


def _sigmoid(logit: float) -> float:
    return 1.0 / (1.0 + math.exp(-min(MAX_LOGIT, max(-MAX_LOGIT, logit))))


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


def logits_of(network: FloatArray, persistence: FloatArray, exhaustion: FloatArray) -> FloatArray:
    """`mixed_logits` for arrays: [n, 3]."""
    own = np.clip(network, -MAX_LOGITS[0], MAX_LOGITS[0])
    plain = np.where(np.isnan(persistence), own, _log_odds(persistence, MAX_LOGITS[1]))
    return np.stack([own, plain, _log_odds(exhaustion, MAX_LOGITS[2])], axis=1)


def mixed(weights: FloatArray, logits: FloatArray) -> FloatArray:
    """`Mix.probability` for arrays [n, 4] and [n, 3]."""
    return sigmoid((weights[:, :3] * logits).sum(axis=1) + weights[:, 3])


def mixes_learned(weights: FloatArray, logits: FloatArray, realised: FloatArray) -> FloatArray:
    """`Mix.learn` for arrays: the weights [n, 4] after one outcome each."""
    step = LEARNING_RATE * (mixed(weights, logits) - realised)[:, None]
    directions = np.concatenate([logits / (1.0 + np.abs(logits)), np.ones((len(logits), 1))], axis=1)
    moved = weights - step * directions - DECAY * (weights - START)
    return np.asarray(np.clip(moved, MIN_WEIGHTS, MAX_WEIGHTS))


def _log_odds(probability: FloatArray, most: float) -> FloatArray:
    inside = np.clip(probability, 1e-9, 1.0 - 1e-9)
    return np.asarray(np.clip(np.log(inside / (1.0 - inside)), -most, most))
