"""What a container will use in each of the coming 24 hours, as moments that can be added up over a kube node.

In: hourly maxima [n, hours] as a `History` gives them. Out: `Loads`: mean, variance and third central
moment of the maximum of each coming hour ("lane" k is the hour that begins k hours from now). Means by hour
of the day are what keeps daily peaks that coincide apart from those that do not; what is left beside them
is added up as independent, and how wrong that is gets measured (`fit.NodeLoads.inflation`).

What it may deviate by is measured as it will be used: each past day against what would have been said of it
the day before, so that a level that moves from day to day is in it, and not only the scatter about a mean.

Source: the mean is a seasonal mean with the older days fading and the level of the last day, combined by the
inverse of their squared errors (Bates and Granger, "The Combination of Forecasts", 1969); growth counts only
where three quarters of the differences say so.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]

LANES = 24
PAST_HOURS = 72  # of each pod that a placement looks at
DAY_FADE = 0.5 ** (1 / 4)  # half-life of four days: `bench/placement.py --part lanes`
SPREAD_FADE = 0.5 ** (1 / 14)  # of errors: jumps are rare, and a fortnight of calm is but little of it
PRIOR_ERROR = 0.1  # of its level, by which an hour's own past and the level are taken to err at first
# What is not known of a container is taken to be like others: deviations of so much of its level, this
# skewed, believed as long as so many hours have been judged. With these, sums were short on the development
# series as often as was said (`bench/placement.py --part calibration`).
PRIOR_DEVIATION = 0.25
PRIOR_SKEWNESS = 3.0
PRIOR_HOURS = 24.0
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
    past = np.asarray(hourly_bytes, dtype=np.float64)
    walked = _Walk(_by_lane(past))
    ahead = np.arange(1.0, LANES + 1.0)
    mean = walked.said() + growth_bytes_per_hour(past)[:, None] * ahead
    variance, third = walked.spread()
    shape = mean.shape
    return Loads(
        mean,
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


class _Walk:
    """From the oldest day to the newest: what was said of each, how wrong it was, and what is said now."""

    def __init__(self, days: FloatArray) -> None:
        """`days` [n, days, LANES], oldest first; NaN: not seen."""
        n = len(days)
        self._sum, self._weight = np.zeros((n, LANES)), np.zeros((n, LANES))
        self._level = np.full(n, np.nan)
        self._judged, self._squares, self._cubes = np.zeros(n), np.zeros(n), np.zeros(n)
        self._of_hours, self._of_level = np.zeros(n), np.zeros(n)  # squared errors of either alone
        for day in range(days.shape[1]):
            self._day(days[:, day])

    def said(self) -> FloatArray:
        """[n, LANES] of the coming hours."""
        hours, level = self._either(self._level)
        return self._mixed(hours, level)

    def spread(self) -> tuple[FloatArray, FloatArray]:
        """[n] variance and third moment of the errors, with the prior's share."""
        prior = (PRIOR_DEVIATION * self._level) ** 2
        total = self._judged + PRIOR_HOURS
        variance = (self._squares + PRIOR_HOURS * prior) / total
        third = (self._cubes + PRIOR_HOURS * PRIOR_SKEWNESS * prior**1.5) / total
        return variance, np.maximum(third, 0.0)

    def _either(self, level: FloatArray) -> tuple[FloatArray, FloatArray]:
        """What each hour's own past says (else the level), and what the last day's level says."""
        flat = np.broadcast_to(level[:, None], self._sum.shape)
        seen = self._weight > 0
        return np.where(seen, self._sum / np.where(seen, self._weight, 1.0), flat), flat

    def _mixed(self, hours: FloatArray, level: FloatArray) -> FloatArray:
        """Both, weighed by how wrong the other has been; at first the level is believed twice as much."""
        known = PRIOR_HOURS * (PRIOR_ERROR * level[:, :1]) ** 2
        of_hours, of_level = self._of_hours[:, None] + 2.0 * known, self._of_level[:, None] + known
        both = of_hours + of_level
        share = np.where(both > 0, of_level / np.where(both > 0, both, 1.0), 0.5)
        return np.asarray(share * hours + (1.0 - share) * level)

    def _day(self, came: FloatArray) -> None:
        seen = np.isfinite(came)
        known = np.where(seen, came, 0.0)
        count = seen.sum(axis=1)
        own = np.where(count > 0, known.sum(axis=1) / np.maximum(count, 1), np.nan)
        first = np.isnan(self._level)
        # Of the first day nothing was said: it is held against its own level.
        hours, level = self._either(np.where(first, own, self._level))
        wrong = _wrong(came, self._mixed(hours, level))
        self._judged = SPREAD_FADE * self._judged + count
        self._squares = SPREAD_FADE * self._squares + (wrong**2).sum(axis=1)
        self._cubes = SPREAD_FADE * self._cubes + (wrong**3).sum(axis=1)
        again = ~first  # either alone is judged from the second day on
        self._of_hours = DAY_FADE * self._of_hours + again * (_wrong(came, hours) ** 2).sum(axis=1)
        self._of_level = DAY_FADE * self._of_level + again * (_wrong(came, level) ** 2).sum(axis=1)
        self._sum, self._weight = known + DAY_FADE * self._sum, seen + DAY_FADE * self._weight
        self._level = np.where(np.isnan(own), self._level, own)


def _wrong(came: FloatArray, said: FloatArray) -> FloatArray:
    """[n, LANES] what came beyond what was said; 0 where either is not known."""
    known = np.isfinite(came) & np.isfinite(said)
    return np.where(known, np.where(known, came, 0.0) - np.where(known, said, 0.0), 0.0)


def _by_lane(hourly_bytes: FloatArray) -> FloatArray:
    """[n, days, LANES] what was seen in each lane's hour of the day, oldest day first."""
    n, hours = hourly_bytes.shape
    days = -(-hours // LANES)
    padded = np.full((n, days * LANES), np.nan)
    padded[:, days * LANES - hours :] = hourly_bytes
    # The hour just over is lane 23 of yesterday: the coming hour was last seen 24 hours before it.
    return padded.reshape(n, days, LANES)
