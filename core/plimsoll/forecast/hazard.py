"""The default model: how likely the coming hour needs more than each candidate limit.

In: the features of a usage window. Out: the distribution of the smallest limit that the next hour would
survive with the reactive guard at work. One small network answers, for each candidate level, P(need > this
level | need > the level below); the product over levels is the chance of exceeding it, so rare tails share
strength with common ones. Its inputs are ranks among training inputs, and it was fitted to what boosted
trees say (`bench/prior_network.py` tells why). Weights: `hazard.json`, from `bench/train_prior.py`; numpy
alone.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, cached_property
from typing import Any

import numpy as np

from plimsoll.forecast.features import LOG_LEVELS, Features, features
from plimsoll.forecast.prior import hazard_document
from plimsoll.forecast.protocol import Hindcast, Memoryless, PeakDistribution
from plimsoll.forecast.ranks import Ranks, ranks_among
from plimsoll.forecast.window import Float32Array, FloatArray, UsageWindow, chunks, held, peak
from plimsoll.usage.sample import HOUR_SECONDS

LEAST_TAIL = 1e-9
# A need of more than so many times all that was seen in four weeks is not provided for.
LARGEST_RECORD = 3.0
# Rows that go through a network together: their hidden layers (13 KB a row) stay in the cache.
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

    def ranks(self) -> Ranks:
        """How inputs become ranks: the row's, then each level's."""
        return ranks_among([*self.row_knots, *(self.level_knots * len(LOG_LEVELS))])

    def logits(self, ranks: Float32Array) -> Float32Array:
        """Log odds [n, levels] of needing more than a level, given that more than the one below is needed.

        In: ranks [n, f + levels x g]. Every product is one row's, of the same shape for any n: a product's
        rounding depends on its shape, and a limit must not depend, in any bit, on what else is asked for.
        """
        split = len(self.row_knots)
        row, level = (
            ranks[:, :split],
            ranks[:, split:].reshape(
                len(ranks), len(LOG_LEVELS), (ranks.shape[1] - split) // len(LOG_LEVELS)
            ),
        )
        shared = row[:, None, :] @ self.first[:split] + self.first_bias
        hidden = np.tanh(shared + level @ self.first[split:])
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

    @cached_property
    def _ranks(self) -> tuple[Ranks, ...]:
        return tuple(network.ranks() for network in self.networks)

    def _hazards(self, seen: Features) -> FloatArray:
        """P(need > level | need > level below), [n, levels]."""
        inputs = np.concatenate(
            [seen.row, seen.level.reshape(len(seen.row), math.prod(seen.level.shape[1:]))], axis=1
        )
        logits = np.zeros((len(inputs), len(LOG_LEVELS)))
        for part in chunks(len(inputs), BLOCK_ROWS):
            for network, ranks in zip(self.networks, self._ranks, strict=True):
                logits[part] += network.logits(ranks.of(inputs[part]))
        return np.asarray(1 / (1 + np.exp(-logits / len(self.networks))))


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
        tail = -np.expm1(hours * np.log1p(-held(tail, 0.0, 1 - LEAST_TAIL)))
        values = self.reference_bytes[:, None] * np.exp(_log_quantiles(tail, levels))
        # Where a spike is all of the usage, slack hardly grows with the limit: no limit would be too high.
        most = LARGEST_RECORD * np.fmax(peak(self.window.hourly_bytes), self.reference_bytes)
        return PeakDistribution(levels, np.minimum(values, most[:, None]))

    def hindcast(self) -> Hindcast:
        """None: the network saw the row's past errors as features, and promises are kept in the history."""
        return Hindcast(self.reference_bytes, np.empty((len(self.reference_bytes), 0)))


def _log_quantiles(tail: FloatArray, levels: FloatArray) -> FloatArray:
    """Log level [n, q] at which the tail [n, LOG_LEVELS] falls to 1 - level; beyond the last: the last."""
    log_tail = np.log(np.maximum(tail, LEAST_TAIL))
    wanted = np.log(1 - levels)
    right = np.add.reduce(log_tail[:, :, None] > wanted, axis=1, dtype=np.intp)
    left = held(right - 1, 0, len(LOG_LEVELS) - 1)
    inside = held(right, 0, len(LOG_LEVELS) - 1)
    row = np.arange(len(tail))[:, None]
    high, low = log_tail[row, left], log_tail[row, inside]
    fall = np.where(high > low, high - low, 1.0)
    part = np.where(right == 0, 0.0, held((high - wanted) / fall, 0, 1))
    return np.asarray(LOG_LEVELS[left] + part * (LOG_LEVELS[inside] - LOG_LEVELS[left]))
