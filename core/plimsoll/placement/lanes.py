"""What a container will use in each of the coming 24 hours, as moments that can be added up over a kube node.

In: hourly maxima [n, hours] as a `History` gives them. Out: `Loads`: mean, variance and third central
moment of the maximum of each coming hour ("lane" k is the hour that begins k hours from now). Means by hour
of the day are what keeps daily peaks that coincide apart from those that do not. Of what is left beside them
a part is what replicas of one workload deviate by together (`Shared`): a surge reaches all of them. The rest
is added up as independent, and how wrong that is gets measured (`fit.NodeLoads.inflation`).

What it may deviate by is measured as it will be used: each past day against what would have been said of it
the day before, so that a level that moves from day to day is in it, and not only the scatter about a mean.

Source: the mean is a seasonal mean with the older days fading and the level of the last day, combined by the
inverse of their squared errors (Bates and Granger, "The Combination of Forecasts", 1969); growth counts only
where three quarters of the differences say so.
"""

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from plimsoll.placement.together import NO_KIN, CommonFactor, KinArray

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
class Shared:
    """What n containers or pods deviate by together with the others of their kin."""

    kin: KinArray  # [n] one number for all replicas of a workload; NO_KIN: of none
    variance: FloatArray  # [n, LANES] bytes^2, a part of their whole variance


@dataclass(frozen=True, slots=True)
class Loads:
    """Moments of n containers' or pods' hourly maxima in the coming hours, all in powers of bytes."""

    mean_bytes: FloatArray  # [n, LANES]
    variance: FloatArray  # [n, LANES] bytes^2
    third: FloatArray  # [n, LANES] third central moment, bytes^3
    shared: Shared | None = None  # None: each deviates by itself

    def __len__(self) -> int:
        return int(self.mean_bytes.shape[0])

    def take(self, index: npt.ArrayLike) -> "Loads":
        """Only these rows, in this order."""
        at = np.asarray(index)
        shared = None if self.shared is None else Shared(self.shared.kin[at], self.shared.variance[at])
        return Loads(self.mean_bytes[at], self.variance[at], self.third[at], shared)

    def total(self) -> "Loads":
        """Containers of one pod as one, independent but for their means; its kin is the least of theirs."""
        mean, variance, third = (each.sum(axis=0, keepdims=True) for each in self._moments())
        if self.shared is None:
            return Loads(mean, variance, third)
        kin = self.shared.kin[self.shared.kin != NO_KIN]
        least = np.array([kin.min() if len(kin) else NO_KIN], dtype=np.int64)
        return Loads(mean, variance, third, Shared(least, self.shared.variance.sum(axis=0, keepdims=True)))

    def known(self) -> npt.NDArray[np.bool_]:
        """[n] of which anything is."""
        return np.isfinite(self.mean_bytes[:, 0])

    def filled(self, constant_bytes: FloatArray) -> "Loads":
        """Rows of which nothing is known use so many bytes [n], always."""
        known = self.known()[:, None]
        variance, third = (np.where(known, each, 0.0) for each in (self.variance, self.third))
        shared = self.shared
        if shared is not None:
            kin = np.where(known[:, 0], shared.kin, NO_KIN)
            shared = Shared(kin, np.where(known, shared.variance, 0.0))
        mean = np.where(known, self.mean_bytes, constant_bytes[:, None])
        return Loads(mean, variance, third, shared)

    def masked(self, counts: npt.NDArray[np.bool_]) -> "Loads":
        """Nothing in the hours [n, LANES] that do not count."""
        mean, variance, third = (np.where(counts, each, 0.0) for each in self._moments())
        shared = self.shared
        if shared is not None:
            shared = replace(shared, variance=np.where(counts, shared.variance, 0.0))
        return Loads(mean, variance, third, shared)

    def _moments(self) -> tuple[FloatArray, FloatArray, FloatArray]:
        return self.mean_bytes, self.variance, self.third


def loads_of(hourly_bytes: FloatArray, kin: KinArray | None = None) -> Loads:
    """Loads [n] from hourly maxima [n, hours], oldest first, last the hour just over; NaN: not seen.

    Rows that were never seen have NaN throughout: whoever adds them up has no opinion of that kube node. With
    `kin` [n] it is learned from their errors how much replicas deviate together.
    """
    past = np.asarray(hourly_bytes, dtype=np.float64)
    walked = _Walk(_by_lane(past), kin)
    ahead = np.arange(1.0, LANES + 1.0)
    mean = walked.said() + growth_bytes_per_hour(past)[:, None] * ahead
    variance, third = walked.spread()
    shared = None if kin is None else Shared(kin, _in_each_lane(walked.common(variance)))
    return Loads(mean, _in_each_lane(variance), _in_each_lane(third), shared)


def _in_each_lane(moment: FloatArray) -> FloatArray:
    return np.repeat(moment[:, None], LANES, axis=1)


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

    def __init__(self, days: FloatArray, kin: KinArray | None = None) -> None:
        """`days` [n, days, LANES], oldest first; NaN: not seen."""
        n = len(days)
        self._sum, self._weight = np.zeros((n, LANES)), np.zeros((n, LANES))
        self._level = np.full(n, np.nan)
        self._judged, self._squares, self._cubes = np.zeros(n), np.zeros(n), np.zeros(n)
        self._of_hours, self._of_level = np.zeros(n), np.zeros(n)  # squared errors of either alone
        self._kin = None if kin is None else np.unique(kin, return_inverse=True)[1]
        self._factor = CommonFactor(0 if self._kin is None else int(self._kin.max(initial=-1)) + 1)
        self._alone = kin == NO_KIN if kin is not None else np.zeros(n, dtype=np.bool_)
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

    def common(self, variance: FloatArray) -> FloatArray:
        """[n] what of the variance all of a kin have in common."""
        if self._kin is None:
            return np.zeros(len(variance))
        return np.where(self._alone, 0.0, self._factor.variance(self._kin, variance))

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
        if self._kin is not None:
            self._factor.fade(SPREAD_FADE)
            self._factor.take(self._kin, np.where(seen & ~self._alone[:, None], wrong, np.nan))
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
