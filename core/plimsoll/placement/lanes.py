"""What a container will use in each of the coming 24 hours, as moments that can be added up over a kube node.

In: hourly maxima [n, hours] as a `History` gives them. Out: `Loads`: mean, variance and third central
moment of the maximum of each coming hour ("lane" k is the hour that begins k hours from now). Means by hour
of the day are what keeps daily peaks that coincide apart from those that do not; what is left beside them
is added up as independent, and how wrong that is gets measured (`fit.NodeLoads.inflation`).

Source: the mean is a seasonal mean with the older days fading, shrunk towards the level of the last day
(credibility theory, Buehlmann 1967: two days' weight for the level); growth counts only where three
quarters of the differences say so.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]

LANES = 24
# Fitted on the first half of the development series (`bench/placement.py --part lanes`): half-life of four
# days, and two days' worth of evidence for the last day's level against an hour's own past.
DAY_FADE = 0.5 ** (1 / 4)
LEVEL_WEIGHT = 2.0
# What is not known of a container is taken to be like others: deviations of so much of its level, this
# skewed, believed as long as so many hours have been seen.
PRIOR_DEVIATION = 0.15
PRIOR_SKEWNESS = 1.0
PRIOR_HOURS = 6.0
# Growth: differences over a day where there are two days, else over six hours; this quantile of them must
# rise.
GROWTH_QUANTILE = 0.25
GROWTH_LAGS_HOURS = (24, 6)
LEAST_DIFFERENCES = 6


@dataclass(frozen=True, slots=True)
class Loads:
    """Moments of n containers' or pods' hourly maxima in the coming hours, all in powers of bytes."""

    mean_bytes: FloatArray  # [n, LANES]
    variance: FloatArray  # [n, LANES] bytes^2
    third: FloatArray  # [n, LANES] third central moment, bytes^3

    def __len__(self) -> int:
        return int(self.mean_bytes.shape[0])

    def take(self, index: npt.ArrayLike) -> "Loads":
        """Only these rows, in this order."""
        at = np.asarray(index)
        return Loads(self.mean_bytes[at], self.variance[at], self.third[at])

    def total(self) -> "Loads":
        """All rows as one, independent but for their means."""
        return Loads(
            *(each.sum(axis=0, keepdims=True) for each in (self.mean_bytes, self.variance, self.third))
        )


def loads_of(hourly_bytes: FloatArray) -> Loads:
    """Loads [n] from hourly maxima [n, hours], oldest first, last the hour just over; NaN: not seen.

    Rows that were never seen have NaN throughout: whoever adds them up has no opinion of that kube node.
    """
    with np.errstate(invalid="ignore"):
        by_lane, weight = _by_lane(np.asarray(hourly_bytes, dtype=np.float64))
        seen = np.isfinite(by_lane)
        weights = np.where(seen, weight[:, None], 0.0)
        known = np.where(seen, by_lane, 0.0)
        level = _level(hourly_bytes)
        mean = ((known * weights).sum(axis=1) + LEVEL_WEIGHT * level[:, None]) / (
            weights.sum(axis=1) + LEVEL_WEIGHT
        )
        error = np.where(seen, known - mean[:, None, :], 0.0)
        variance, third = _spread(error, weights, level)
        ahead = np.arange(1.0, LANES + 1.0)
        grown = mean + growth_bytes_per_hour(hourly_bytes)[:, None] * ahead
    shape = mean.shape
    return Loads(
        grown,
        np.broadcast_to(variance[:, None], shape).copy(),
        np.broadcast_to(third[:, None], shape).copy(),
    )


def growth_bytes_per_hour(hourly_bytes: FloatArray) -> FloatArray:
    """[n] steady growth, never negative: what all but a quarter of the differences exceed."""
    hours = hourly_bytes.shape[1]
    slope = np.zeros(len(hourly_bytes))
    undecided = np.ones(len(hourly_bytes), dtype=np.bool_)
    for lag in GROWTH_LAGS_HOURS:
        if hours <= lag:
            continue
        recent = hourly_bytes[:, -min(hours, 2 * lag + LANES) :]
        difference = recent[:, lag:] - recent[:, :-lag]
        enough = undecided & (np.isfinite(difference).sum(axis=1) >= LEAST_DIFFERENCES)
        if enough.any():
            slope[enough] = np.nanquantile(difference[enough], GROWTH_QUANTILE, axis=1) / lag
            undecided &= ~enough
    return np.maximum(slope, 0.0)


def _by_lane(hourly_bytes: FloatArray) -> tuple[FloatArray, FloatArray]:
    """[n, days, LANES] what was seen in each lane's hour, newest day first, and each day's weight."""
    n, hours = hourly_bytes.shape
    days = -(-hours // LANES)
    padded = np.full((n, days * LANES), np.nan)
    padded[:, days * LANES - hours :] = hourly_bytes
    # The hour just over is lane 23 of yesterday: the coming hour was last seen 24 hours before it.
    newest_first = padded.reshape(n, days, LANES)[:, ::-1]
    return newest_first, DAY_FADE ** np.arange(days, dtype=np.float64)


def _level(hourly_bytes: FloatArray) -> FloatArray:
    day = hourly_bytes[:, -LANES:]
    seen = np.isfinite(day)
    count = seen.sum(axis=1)
    total = np.where(seen, day, 0.0).sum(axis=1)
    older = np.array([_last_seen(row) for row in hourly_bytes[count == 0]])
    level = np.where(count > 0, total / np.maximum(count, 1), np.nan)
    if len(older):
        level[count == 0] = older
    return level


def _last_seen(row: FloatArray) -> float:
    seen = np.flatnonzero(np.isfinite(row))
    return float(row[seen[-1]]) if len(seen) else np.nan


def _spread(error: FloatArray, weights: FloatArray, level: FloatArray) -> tuple[FloatArray, FloatArray]:
    """[n] variance and third moment over all lanes, with the prior's share."""
    total = weights.sum(axis=(1, 2))
    prior = (PRIOR_DEVIATION * level) ** 2
    variance = ((weights * error**2).sum(axis=(1, 2)) + PRIOR_HOURS * prior) / (total + PRIOR_HOURS)
    skewed = PRIOR_SKEWNESS * prior**1.5
    third = ((weights * error**3).sum(axis=(1, 2)) + PRIOR_HOURS * skewed) / (total + PRIOR_HOURS)
    return variance, np.maximum(third, 0.0)
