"""The default model: how likely the coming hour needs more than each candidate limit.

In: the features of a usage window. Out: the distribution of the smallest limit that the next hour would
survive with the reactive guard at work. One small network answers, for each candidate level, P(need > this
level | need > the level below); the product over levels is the chance of exceeding it, so rare tails share
strength with common ones. Weights: `hazard.json`, from `bench/train_prior.py` (numpy alone, here and
there).
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache

import numpy as np

from plimsoll.forecast.features import LOG_LEVELS, PAST_HOURS, Features, features
from plimsoll.forecast.prior import HOUR_SECONDS, hazard_document
from plimsoll.forecast.protocol import Hindcast, PeakDistribution
from plimsoll.forecast.window import Float32Array, FloatArray, UsageWindow, peak

# Standardised features beyond this are cut: a network says nothing sane about what it never saw.
CLIP_DEVIATIONS = 5.0
LEAST_TAIL = 1e-9
# A need of more than so many times all that was seen in four weeks is not provided for.
LARGEST_RECORD = 3.0
# Rows that go through the networks together, always exactly so many (padded): a matrix product's rounding
# depends on its shape, and a row's limit must not depend, in any bit, on what else is asked for with it.
BLOCK_ROWS = 64
# Errors of its own that weigh as much as the network for a row: many, as the network saw the past too.
PRIOR_STRENGTH = 30.0


@dataclass(frozen=True, slots=True)
class Network:
    """Two hidden layers and a linear skip, float32. Levels share the row's part."""

    row_mean: Float32Array  # [f]
    row_deviation: Float32Array  # [f]
    level_mean: Float32Array  # [g]
    level_deviation: Float32Array  # [g]
    first: Float32Array  # [f + g, h1]
    first_bias: Float32Array  # [h1]
    second: Float32Array  # [h1, h2]
    second_bias: Float32Array  # [h2]
    third: Float32Array  # [h2]
    skip: Float32Array  # [f + g]
    bias: Float32Array  # [1]

    def logits(self, seen: Features) -> Float32Array:
        """Log odds [n, levels] of needing more than a level, given that more than the one below is needed."""
        split = len(self.row_mean)
        row = standardised(seen.row, self.row_mean, self.row_deviation)
        level = standardised(seen.level, self.level_mean, self.level_deviation)
        shared = row @ self.first[:split] + self.first_bias
        hidden = np.tanh(shared[:, None, :] + level @ self.first[split:])
        hidden = np.tanh(hidden @ self.second + self.second_bias)
        linear = (row * self.skip[:split]).sum(axis=1)[:, None] + (level * self.skip[split:]).sum(axis=2)
        return np.asarray((hidden * self.third).sum(axis=2) + linear + self.bias, dtype=np.float32)


@cache
def shipped_networks() -> tuple[Network, ...]:
    """The networks of `hazard.json`."""
    return tuple(
        Network(**{name: np.array(values, dtype=np.float32) for name, values in network.items()})
        for network in hazard_document()["networks"]
    )


@dataclass(frozen=True)
class HazardPeak:
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
        """The rises from each hour to the next: errors of the last hour's peak, which the model refines."""
        whole = self.window.hourly_bytes[:, -PAST_HOURS - 1 : -1]
        rises = np.diff(np.log(np.maximum(whole, 1.0)), axis=1)
        return Hindcast(self.reference_bytes, rises, PRIOR_STRENGTH)


def _block(seen: Features, start: int) -> Features:
    """`BLOCK_ROWS` rows from `start` on, padded with zeros."""
    part = slice(start, start + BLOCK_ROWS)
    missing = max(start + BLOCK_ROWS - len(seen.row), 0)
    return Features(
        seen.reference_bytes[part],
        np.pad(seen.row[part], ((0, missing), (0, 0))),
        np.pad(seen.level[part], ((0, missing), (0, 0), (0, 0))),
    )


def standardised(values: Float32Array, centre: Float32Array, deviation: Float32Array) -> Float32Array:
    """Return values in deviations from the centre, cut where training data end."""
    scaled = np.clip((values - centre) / deviation, -CLIP_DEVIATIONS, CLIP_DEVIATIONS)
    return np.asarray(scaled, dtype=np.float32)


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
