"""Is there a trend, and how steep: Mann-Kendall's count and the Theil-Sen slope, over lives of a process.

In: troughs (minima of equal blocks of time) and the life that each belongs to. Out: Kendall's tau, the
median of all slopes between two blocks, and an interval around it. Only blocks of one life are compared, so
a restart that takes usage back to its base neither hides a leak nor makes one. Sen (1968), Theil (1950);
blocks pooled as in Hirsch, Slack and Smith (1982).
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from plimsoll.forecast.ordered import ordered
from plimsoll.forecast.window import FloatArray

BoolArray = npt.NDArray[np.bool_]
LifeArray = npt.NDArray[np.int64]

# Differences below this part of the level are ties: what float32 and page counts cannot tell apart.
TIE_FRACTION = 1e-4
# Errors of blocks hang together, so the interval for independent ones is widened by this.
WIDER = 4.0
NORMAL_95 = 1.96


@dataclass(frozen=True, slots=True)
class Kendall:
    """How many pairs of blocks rise rather than fall."""

    tau: FloatArray  # [n] (rising - falling) / all; NaN without a pair
    pairs: npt.NDArray[np.intp]  # [n]


@dataclass(frozen=True, slots=True)
class Slope:
    """Bytes per second, with the 95 % interval; NaN where there is no pair."""

    middle: FloatArray  # [n]
    low: FloatArray  # [n]
    high: FloatArray  # [n]


def kendall(troughs_bytes: FloatArray, life: LifeArray) -> Kendall:
    """Kendall's tau [n] of blocks [n, k], oldest first; `life` [n, k] numbers the lives."""
    difference, _ = _pairs(troughs_bytes, life)
    level = np.fmax.reduce(troughs_bytes, axis=1, initial=0.0)
    tie = (TIE_FRACTION * level)[:, None]
    pairs = np.count_nonzero(np.isfinite(difference), axis=1)
    with np.errstate(invalid="ignore"):
        rising = np.count_nonzero(difference > tie, axis=1) - np.count_nonzero(difference < -tie, axis=1)
    return Kendall(np.where(pairs > 0, rising / np.maximum(pairs, 1), np.nan), pairs)


def sen_slope(troughs_bytes: FloatArray, life: LifeArray, block_seconds: float) -> Slope:
    """Median slope [n] over all pairs of blocks of one life."""
    difference, apart = _pairs(troughs_bytes, life)
    slopes = ordered(difference / (apart * block_seconds))
    reach = NORMAL_95 * WIDER * np.sqrt(_variance(troughs_bytes, life))
    return Slope(*(slopes.nth(0.5 * (slopes.count - 1 + side * reach)) for side in (0, -1, 1)))


def _pairs(values: FloatArray, life: LifeArray) -> tuple[FloatArray, npt.NDArray[np.intp]]:
    """Differences [n, pairs] of later minus earlier blocks, NaN across lives; blocks apart [pairs]."""
    first, second = np.triu_indices(values.shape[1], 1)
    difference = values[:, second] - values[:, first]
    return np.where(life[:, second] == life[:, first], difference, np.nan), second - first


def _variance(values: FloatArray, life: LifeArray) -> FloatArray:
    """Variance [n] of the rising count without a trend: the sum over lives."""
    seen = np.isfinite(values)
    total = np.zeros(len(values))
    for number in np.unique(life).tolist():
        m = np.count_nonzero(seen & (life == number), axis=1)
        total += m * (m - 1) * (2 * m + 5) / 18.0
    return total
