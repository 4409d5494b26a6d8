"""Fits one hazard network in numpy to what boosted trees said: soft targets in, weights out.

Trees win where series are unlike those at hand, because they never extrapolate; a network fitted to the
outcomes themselves is sure of things it has not seen. Fitted to the trees' answers (distillation, Hinton,
Vinyals & Dean 2015), on inputs that are ranks among training inputs and so end where those end, it is as good
on held-out groups as the trees, and needs numpy alone. Cross-entropy against the trees' hazards, weighted by
the root of the chance of being at risk at all; Adam with a cosine rate and decay of the weights.
"""

from collections.abc import Sequence

import lightgbm
import numpy as np
import numpy.typing as npt

from plimsoll.forecast.hazard import Network
from plimsoll.forecast.ranks import ranks_among
from prior_rows import Rows, join
from prior_teacher import taught

HIDDEN = (96, 32)
KNOTS = 33  # ranks are told apart to a thirty-second
KNOT_ROWS = 200_000
EPOCHS = 12
RATE = 4e-3
DECAY = 3e-3
BATCH = 4096
LEAST_AT_RISK = 0.003  # levels that fewer rows reach teach nothing that prices a limit
Float32Array = npt.NDArray[np.float32]
Weights = dict[str, Float32Array]


def train(parts: Sequence[tuple[Rows, float]], teachers: Sequence[lightgbm.Booster], seed: int) -> Network:
    """A network from rows, the weight of each part, and the mean log odds of some boosters."""
    random = np.random.default_rng(seed)
    rows = join([part for part, _ in parts])
    weight = np.concatenate([np.full(len(part.need), share, np.float32) for part, share in parts])
    hazards = mean_hazards(teachers, rows)
    at_risk = np.concatenate([np.ones((len(hazards), 1)), np.cumprod(hazards, axis=1)[:, :-1]], axis=1)
    at, level = np.nonzero(at_risk > LEAST_AT_RISK)
    target = hazards[at, level].astype(np.float32)
    weight = (weight[at] * np.sqrt(at_risk[at, level])).astype(np.float32)
    row_knots, level_knots = knots(rows.row, random), knots(rows.level[at, level], random)
    row = ranks_among(row_knots).of(rows.row)
    levels = ranks_among(level_knots).of(rows.level[at, level])
    weights = _initial(row.shape[1] + levels.shape[1], random)
    optimiser = Adam(weights, EPOCHS * -(-len(at) // BATCH))
    for _ in range(EPOCHS):
        order = random.permutation(len(at))
        for start in range(0, len(order), BATCH):
            pick = order[start : start + BATCH]
            inputs = np.concatenate([row[at[pick]], levels[pick]], axis=1)
            optimiser.step(weights, gradient(weights, inputs, target[pick], weight[pick]))
    return Network(tuple(row_knots), tuple(level_knots), **weights)


def mean_hazards(teachers: Sequence[lightgbm.Booster], rows: Rows) -> npt.NDArray[np.float64]:
    """The hazards [m, levels] at the mean of the boosters' log odds."""
    said = np.clip([taught(booster, rows) for booster in teachers], 1e-9, 1 - 1e-9)
    return np.asarray(1 / (1 + np.exp(-np.mean(np.log(said / (1 - said)), axis=0))))


def knots(values: Float32Array, random: np.random.Generator) -> list[npt.NDArray[np.float64]]:
    """For each input the values at evenly spaced ranks, equal ones told once."""
    some = values[random.permutation(len(values))[:KNOT_ROWS]]
    spaced = np.quantile(some, np.linspace(0, 1, KNOTS), axis=0)
    return [np.unique(column) for column in spaced.T]


def gradient(weights: Weights, inputs: Float32Array, target: Float32Array, weight: Float32Array) -> Weights:
    """Of the weighted cross-entropy, by back-propagation."""
    first = np.tanh(inputs @ weights["first"] + weights["first_bias"])
    second = np.tanh(first @ weights["second"] + weights["second_bias"])
    logit = second @ weights["third"] + inputs @ weights["skip"] + weights["bias"]
    error = ((1 / (1 + np.exp(-logit)) - target) * weight / weight.sum()).astype(np.float32)
    back_second = error[:, None] * weights["third"] * (1 - second**2)
    back_first = (back_second @ weights["second"].T) * (1 - first**2)
    return {
        "first": inputs.T @ back_first,
        "first_bias": back_first.sum(axis=0),
        "second": first.T @ back_second,
        "second_bias": back_second.sum(axis=0),
        "third": second.T @ error,
        "skip": inputs.T @ error,
        "bias": error.sum(keepdims=True),
    }


class Adam:
    """Adam with a cosine rate and decoupled decay of the matrices."""

    def __init__(self, weights: Weights, steps: int) -> None:
        self._mean = {name: np.zeros_like(value) for name, value in weights.items()}
        self._square = {name: np.zeros_like(value) for name, value in weights.items()}
        self._steps, self._step = steps, 0

    def step(self, weights: Weights, gradients: Weights) -> None:
        """Move all weights once."""
        self._step += 1
        rate = RATE * 0.5 * (1 + np.cos(np.pi * self._step / self._steps))
        for name, slope in gradients.items():
            self._mean[name] = 0.9 * self._mean[name] + 0.1 * slope
            self._square[name] = 0.99 * self._square[name] + 0.01 * slope**2
            mean = self._mean[name] / (1 - 0.9**self._step)
            root = np.sqrt(self._square[name] / (1 - 0.99**self._step)) + 1e-8
            decay = DECAY * weights[name] if name in ("first", "second", "skip") else 0.0
            weights[name] = (weights[name] - rate * (mean / root + decay)).astype(np.float32)


def _initial(inputs: int, random: np.random.Generator) -> Weights:
    wide, narrow = HIDDEN
    drawn = {
        "first": random.normal(0, inputs**-0.5, (inputs, wide)),
        "first_bias": np.zeros(wide),
        "second": random.normal(0, wide**-0.5, (wide, narrow)),
        "second_bias": np.zeros(narrow),
        "third": random.normal(0, 0.1, narrow),
        "skip": np.zeros(inputs),
        "bias": np.full(1, -1.0),
    }
    return {name: value.astype(np.float32) for name, value in drawn.items()}
