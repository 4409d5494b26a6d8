"""The default model: how likely the coming hour needs more than each candidate limit.

In: the features of a usage window. Out: the distribution of the smallest limit that the next hour would
survive with the reactive guard at work. One small network answers, for each candidate level, P(need > this
level | need > the level below); the product over levels is the chance of exceeding it, so rare tails share
strength with common ones. Its inputs are ranks among training inputs, and it was fitted to what boosted
trees say (`bench/prior_network.py` tells why). Weights: `hazard.json`, from `bench/train_prior.py`; numpy
alone.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import numpy as np

from plimsoll.forecast.features import LOG_LEVELS, Features, features
from plimsoll.forecast.prior import hazard_document
from plimsoll.forecast.protocol import Hindcast, Memoryless, PeakDistribution
from plimsoll.forecast.window import Float32Array, FloatArray, UsageWindow, peak
from plimsoll.usage.sample import HOUR_SECONDS

LEAST_TAIL = 1e-9
# A need of more than so many times all that was seen in four weeks is not provided for.
LARGEST_RECORD = 3.0
# Rows that go through the networks together, always exactly so many (padded): a matrix product's rounding
# depends on its shape, and a row's limit must not depend, in any bit, on what else is asked for with it.
BLOCK_ROWS = 64


@dataclass(frozen=True, slots=True)
class Network:
    """Two hidden layers and a linear skip, float32. Levels share the row's part."""

    row_knots: tuple[FloatArray, ...]  # f x [k]: training inputs at evenly spaced ranks, rising
    level_knots: tuple[FloatArray, ...]  # g x [k]
    first: Float32Array  # [f + g, h1]
    first_bias: Float32Array  # [h1]
    second: Float32Array  # [h1, h2]
    second_bias: Float32Array  # [h2]
    third: Float32Array  # [h2]
    skip: Float32Array  # [f + g]
    bias: Float32Array  # [1]

    def logits(self, seen: Features) -> Float32Array:
        """Log odds [n, levels] of needing more than a level, given that more than the one below is needed."""
        split = len(self.row_knots)
        row, level = ranked(seen.row, self.row_knots), ranked(seen.level, self.level_knots)
        shared = row @ self.first[:split] + self.first_bias
        hidden = np.tanh(shared[:, None, :] + level @ self.first[split:])
        hidden = np.tanh(hidden @ self.second + self.second_bias)
        linear = (row * self.skip[:split]).sum(axis=1)[:, None] + (level * self.skip[split:]).sum(axis=2)
        return np.asarray((hidden * self.third).sum(axis=2) + linear + self.bias, dtype=np.float32)


@cache
def shipped_networks() -> tuple[Network, ...]:
    """The networks of `hazard.json`."""
    return tuple(network_of(document) for document in hazard_document()["networks"])


def network_of(document: Mapping[str, Any]) -> Network:
    """A network as it was written."""

    def knots(name: str) -> tuple[FloatArray, ...]:
        return tuple(np.array(at, dtype=np.float64) for at in document[name])

    def weights(name: str) -> Float32Array:
        return np.array(document[name], dtype=np.float32)

    return Network(
        row_knots=knots("row_knots"),
        level_knots=knots("level_knots"),
        first=weights("first"),
        first_bias=weights("first_bias"),
        second=weights("second"),
        second_bias=weights("second_bias"),
        third=weights("third"),
        skip=weights("skip"),
        bias=weights("bias"),
    )


@dataclass(frozen=True)
class HazardPeak(Memoryless):
    """A few networks' mean log odds, so that one network's whim does not price a limit."""

    networks: Sequence[Network] = field(default_factory=shipped_networks)
    name: str = "hazard"

    def fit(self, window: UsageWindow) -> "FittedHazard":
        """Ask the networks once: what they say of the next hour serves every horizon."""
        seen = features(window)
        return FittedHazard(window, seen.reference_bytes, self._hazards(seen))

    def _hazards(self, seen: Features) -> FloatArray:
        """P(need > level | need > level below), [n, levels]."""
        out = np.empty((len(seen.row), len(LOG_LEVELS)))
        for start in range(0, len(out), BLOCK_ROWS):
            block = _block(seen, start)
            logits = np.mean([network.logits(block) for network in self.networks], axis=0, dtype=np.float64)
            out[start : start + BLOCK_ROWS] = (1 / (1 + np.exp(-logits)))[: len(out) - start]
        return out


@dataclass(frozen=True, slots=True)
class FittedHazard:
    """The next hour's hazards of each row."""

    window: UsageWindow
    reference_bytes: FloatArray  # [n] last hour's peak
    hazards: FloatArray  # [n, LOG_LEVELS] P(need > level | need > level below)

    def predict(self, horizon_seconds: float, levels: FloatArray) -> PeakDistribution:
        """Distribution of the need over the horizon; the hours of a longer one count as alike and apart."""
        tail = np.cumprod(self.hazards, axis=1)
        hours = max(horizon_seconds / HOUR_SECONDS, 1.0)
        tail = -np.expm1(hours * np.log1p(-np.clip(tail, 0.0, 1 - LEAST_TAIL)))
        values = self.reference_bytes[:, None] * np.exp(_log_quantiles(tail, levels))
        # Where a spike is all of the usage, slack hardly grows with the limit: no limit would be too high.
        most = LARGEST_RECORD * np.fmax(peak(self.window.hourly_bytes), self.reference_bytes)
        return PeakDistribution(levels, np.minimum(values, most[:, None]))

    def hindcast(self) -> Hindcast:
        """None: the network saw the row's past errors as features, and promises are kept in the history."""
        return Hindcast(self.reference_bytes, np.empty((len(self.reference_bytes), 0)))


def _block(seen: Features, start: int) -> Features:
    """`BLOCK_ROWS` rows from `start` on, padded with zeros."""
    part = slice(start, start + BLOCK_ROWS)
    missing = max(start + BLOCK_ROWS - len(seen.row), 0)
    return Features(
        seen.reference_bytes[part],
        np.pad(seen.row[part], ((0, missing), (0, 0))),
        np.pad(seen.level[part], ((0, missing), (0, 0), (0, 0))),
    )


def ranked(values: Float32Array, knots: Sequence[FloatArray]) -> Float32Array:
    """Inputs [..., f] as ranks among training inputs, -1 to 1: nothing lies outside of what was seen."""
    out = np.zeros(values.shape, dtype=np.float32)
    for column, at in enumerate(knots):
        if len(at) > 1:
            out[..., column] = np.interp(values[..., column], at, np.linspace(-1, 1, len(at)))
    return out


def _log_quantiles(tail: FloatArray, levels: FloatArray) -> FloatArray:
    """Log level [n, q] at which the tail [n, LOG_LEVELS] falls to 1 - level; beyond the last: the last."""
    log_tail = np.log(np.maximum(tail, LEAST_TAIL))
    out = np.empty((len(tail), len(levels)))
    for column, wanted in enumerate(np.log(1 - levels)):
        right = np.count_nonzero(log_tail > wanted, axis=1)
        left = np.clip(right - 1, 0, len(LOG_LEVELS) - 1)
        inside = np.clip(right, 0, len(LOG_LEVELS) - 1)
        high, low = (np.take_along_axis(log_tail, index[:, None], axis=1)[:, 0] for index in (left, inside))
        fall = np.where(high > low, high - low, 1.0)
        part = np.where(right == 0, 0.0, np.clip((high - wanted) / fall, 0, 1))
        out[:, column] = LOG_LEVELS[left] + part * (LOG_LEVELS[inside] - LOG_LEVELS[left])
    return out
