"""Fits one hazard network in numpy: at-risk pairs in, weights out.

A row whose need is level j was at risk at levels 0..j and failed at all but the last. Logistic loss, Adam
with a cosine rate, decay of the weights, a tenth of the inputs dropped: siblings jump in the same bin, so
what must be learned is little and what can be memorised is much.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from plimsoll.forecast.features import LOG_LEVELS
from plimsoll.forecast.hazard import Network, standardised
from prior_rows import Rows, join

HIDDEN = (32, 16)
EPOCHS = 12
RATE = 3e-3
DECAY = 3e-2
BATCH = 2048
DROPPED = 0.1
Weights = dict[str, npt.NDArray[np.float32]]


def train(parts: Sequence[tuple[Rows, float]], seed: int) -> Network:
    """A network from rows and the weight of each part."""
    random = np.random.default_rng(seed)
    rows = join([part for part, _ in parts])
    weight = np.concatenate([np.full(len(part.need), share, np.float32) for part, share in parts])
    at, level, failed = pairs(rows.need)
    scaling = {
        "row_mean": rows.row.mean(axis=0),
        "row_deviation": rows.row.std(axis=0) + 0.05,
        "level_mean": rows.level[at, level].mean(axis=0),
        "level_deviation": rows.level[at, level].std(axis=0) + 0.05,
    }
    row = standardised(rows.row, scaling["row_mean"], scaling["row_deviation"])
    levels = standardised(rows.level, scaling["level_mean"], scaling["level_deviation"])
    weights = _initial(row.shape[1] + levels.shape[2], random)
    optimiser = Adam(weights, EPOCHS * -(-len(at) // BATCH))
    for _ in range(EPOCHS):
        order = random.permutation(len(at))
        for start in range(0, len(order), BATCH):
            pick = order[start : start + BATCH]
            inputs = np.concatenate([row[at[pick]], levels[at[pick], level[pick]]], axis=1)
            inputs *= random.random(inputs.shape, dtype=np.float32) > DROPPED
            optimiser.step(weights, gradient(weights, inputs, failed[pick], weight[at[pick]]))
    return Network(**scaling, **weights)


def pairs(
    need: npt.NDArray[np.int64],
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.float32]]:
    """(row, level, failed) of all rows that were at risk at a level."""
    at = [np.flatnonzero(need >= level) for level in range(len(LOG_LEVELS))]
    level = [np.full(len(rows), index) for index, rows in enumerate(at)]
    failed = [(need[rows] > index).astype(np.float32) for index, rows in enumerate(at)]
    return np.concatenate(at), np.concatenate(level), np.concatenate(failed)


def gradient(
    weights: Weights,
    inputs: npt.NDArray[np.float32],
    failed: npt.NDArray[np.float32],
    weight: npt.NDArray[np.float32],
) -> Weights:
    """Of the weighted logistic loss, by back-propagation."""
    first = np.tanh(inputs @ weights["first"] + weights["first_bias"])
    second = np.tanh(first @ weights["second"] + weights["second_bias"])
    logit = second @ weights["third"] + inputs @ weights["skip"] + weights["bias"]
    error = ((1 / (1 + np.exp(-logit)) - failed) * weight / weight.sum()).astype(np.float32)
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
