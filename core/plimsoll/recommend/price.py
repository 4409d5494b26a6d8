"""Where a limit belongs: at the least of price x P(need > limit) + slack.

In: a distribution of the peak, the usage expected, a price per row. Out: the target and the band around it
within which a change gains too little to be worth it. Slack costs 1 for a limit that is wholly unused for
an hour; an OOM kill costs `price` such hours. So price 60 accepts a kill in an hour only if avoiding it
needs less than 60 container-hours of idle limit. `objective.py` translates `slack:X` and `oom:X` into
prices.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from plimsoll.forecast.protocol import PeakDistribution
from plimsoll.forecast.window import FloatArray, held

# Limits tried between two neighbouring quantiles: finer moves the target by less than a change is worth.
STEPS_BETWEEN = 4
PARTS = np.arange(STEPS_BETWEEN) / STEPS_BETWEEN
# A raise must gain this much cost, a cut that much: a change is an API write and, on a cut, a risk.
RAISE_GAIN = 0.05
LOWER_GAIN = 0.12


@dataclass(frozen=True, slots=True)
class Priced:
    """The cheapest limit per row, and the limits that cost hardly more; NaN where nothing is known."""

    target_bytes: FloatArray  # [n]
    lower_bytes: FloatArray  # [n] <= target
    upper_bytes: FloatArray  # [n] >= target


def cheapest(
    distribution: PeakDistribution,
    usage_bytes: FloatArray,
    price: FloatArray,
    floor_bytes: FloatArray,
    lower_gain: float = LOWER_GAIN,
    raise_gain: float = RAISE_GAIN,
) -> Priced:
    """The limit of least cost for each row.

    `usage_bytes` [n] is the mean usage expected, `price` [n] the cost of one exceedance in container-hours of
    slack, `floor_bytes` [n] a bound that no candidate goes below.
    """
    candidates, exceedance = _candidates(distribution, floor_bytes)
    idle = 1 - usage_bytes[:, None] / candidates
    cost = price[:, None] * exceedance + idle
    known: npt.NDArray[np.bool_] = np.asarray(np.isfinite(cost).all(axis=1))
    cost = np.where(known[:, None], cost, 0.0)
    best = np.argmin(cost, axis=1)
    row = np.arange(len(best))
    least, target = cost[row, best], candidates[row, best]
    lower = np.where(cost <= (least + raise_gain)[:, None], candidates, np.inf).min(axis=1)
    upper = _worth_keeping(candidates, cost, exceedance * price[:, None], usage_bytes, least + lower_gain)
    return Priced(
        np.where(known, target, np.nan),
        np.where(known, np.minimum(lower, target), np.nan),
        np.where(known, np.maximum(upper, target), np.nan),
    )


def exceedance_at(distribution: PeakDistribution, limits_bytes: FloatArray) -> FloatArray:
    """P(peak > limit) [n], interpolated between the distribution's quantiles in log bytes and log odds."""
    values, levels = distribution.values_bytes, distribution.levels
    above = (values < limits_bytes[:, None]).sum(axis=1)
    left, right = held(above - 1, 0, len(levels) - 1), held(above, 0, len(levels) - 1)
    row = np.arange(len(values))
    low, high, limit = np.log(np.maximum([values[row, left], values[row, right], limits_bytes], 1.0))
    span = high - low
    part = (limit - low) / np.where(span > 0, span, 1.0)
    tail = _log_tail(levels.tobytes())
    return np.asarray(np.exp(tail[left] + held(part, 0, 1) * (tail[right] - tail[left])), dtype=np.float64)


def _candidates(distribution: PeakDistribution, floor_bytes: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Limits to try and P(peak > limit) at each, [n, m]; those below the floor are the floor."""
    log_values = np.log(np.maximum(distribution.values_bytes, 1.0))
    values = np.exp(_between(log_values, PARTS))
    tail = _tail(distribution.levels.tobytes())
    floor = np.where(np.isfinite(floor_bytes), np.maximum(floor_bytes, 1.0), 1.0)
    at_floor = exceedance_at(distribution, floor)
    below = values < floor[:, None]
    return np.where(below, floor[:, None], values), np.where(below, at_floor[:, None], tail)


@lru_cache(maxsize=8)  # there is hardly more than one set of levels
def _log_tail(levels: bytes) -> FloatArray:
    """Log of P(peak > quantile) [q] at these levels."""
    return np.asarray(np.log(1 - np.frombuffer(levels, dtype=np.float64)))


@lru_cache(maxsize=8)
def _tail(levels: bytes) -> FloatArray:
    """P(peak > candidate) [1, m] of the candidates between these levels."""
    return np.exp(_between(_log_tail(levels)[None, :], PARTS))


def _between(columns: FloatArray, part: FloatArray) -> FloatArray:
    """Each pair of neighbouring columns with steps in between, and the last column: [n, (q-1) s + 1]."""
    steps = columns[:, :-1, None] + part * np.diff(columns, axis=1)[:, :, None]
    flat = steps.reshape(len(columns), (columns.shape[1] - 1) * len(part))
    return np.concatenate([flat, columns[:, -1:]], axis=1)


def _worth_keeping(
    candidates: FloatArray, cost: FloatArray, risk: FloatArray, usage_bytes: FloatArray, bound: FloatArray
) -> FloatArray:
    """The highest limit that costs no more than `bound`, also beyond the last candidate."""
    inside: npt.NDArray[np.bool_] = cost <= bound[:, None]
    upper = np.where(inside, candidates, 0.0).max(axis=1)
    left = 1 - bound + risk[:, -1]
    beyond = usage_bytes / np.maximum(left, 1e-3)
    return np.asarray(np.where(inside[:, -1], np.maximum(upper, beyond), upper), dtype=np.float64)
