"""How thick the buffer above a forecast must be: as thick as that forecast has been wrong.

Two corrections, one after the other. `calibrate` is for models that know their own past errors: split-
conformal quantiles (rank ceil((n+1)p)) of a row's errors, shrunk towards a prior from many series: a tail
quantile counts as known as far as the row has errors beyond it. `next_shift` is online: adaptive conformal
control (Gibbs & Candes 2021; in the form of Angelopoulos, Candes & Tibshirani 2023, quantile tracking) of
the promise itself. Each hour the log of all levels moves by STEP x (exceeded - promised), and is held between
LEAST_SHIFT and MOST_SHIFT. While it is not held at the top, exceedances outnumber promises by at most (MOST -
LEAST) / STEP = 5.3, however long and whatever the series does; while it is not held at the bottom they fall
short by no more. A row that exceeds at the top gets no thicker buffer, and nothing is bounded then. These are
counts: a promise of .1 % a hour is broken once in six weeks, so of a single row the record says little.
`within_buffer` holds what is priced on top of that between a policy's bounds.
"""

import numpy as np
import numpy.typing as npt

from plimsoll.forecast.ordered import ordered
from plimsoll.forecast.protocol import Hindcast, PeakDistribution
from plimsoll.forecast.window import FloatArray
from plimsoll.guard.limits import GuardSettings, exceeded
from plimsoll.recommend.price import Priced
from plimsoll.usage.events import Events
from plimsoll.usage.sample import BIN_SECONDS, HOUR_SECONDS

SHIFT_STEP = 0.15  # an exceedance that nobody expected adds so much (in log) to every level
LEAST_SHIFT, MOST_SHIFT = -0.1, 0.7
LEAST_SEEN_BINS = 6  # of twelve: an hour of which less was seen proves nothing


def conformal_log_ratio(errors: FloatArray, levels: FloatArray) -> FloatArray:
    """Own quantiles of log errors [n, t] at `levels` [q] -> [n, q]; NaN where a row has no error."""
    rows = ordered(errors)
    return rows.nth(np.ceil((rows.count[:, None] + 1) * levels[None, :]) - 1)


def calibrate(distribution: PeakDistribution, hindcast: Hindcast) -> PeakDistribution:
    """The distribution with its ratio over the point forecast corrected by the row's own errors."""
    if hindcast.log_error.shape[1] == 0:
        return distribution
    own = conformal_log_ratio(hindcast.log_error, distribution.levels)
    count = np.isfinite(hindcast.log_error).sum(axis=1)[:, None]
    beyond = count * (1 - distribution.levels[None, :])
    weight = beyond / (beyond + hindcast.prior_strength)
    point = np.maximum(hindcast.point_bytes, 1.0)[:, None]
    prior = np.log(np.maximum(distribution.values_bytes, 1.0)) - np.log(point)
    blended = weight * np.where(np.isnan(own), prior, own) + (1 - weight) * prior
    values = np.maximum.accumulate(point * np.exp(blended), axis=1)
    return PeakDistribution(distribution.levels, np.where(count > 0, values, distribution.values_bytes))


def next_shift(shift: FloatArray, promised: FloatArray, came: FloatArray) -> FloatArray:
    """The shift [n] after an hour with promised probability [n] and outcome `came` [n] (1, 0 or NaN)."""
    moved = np.clip(shift + SHIFT_STEP * (came - promised), LEAST_SHIFT, MOST_SHIFT)
    return np.asarray(np.where(np.isnan(came), shift, moved), dtype=np.float64)


def outcome(usage_bytes: FloatArray, limit_bytes: FloatArray, guard: GuardSettings) -> FloatArray:
    """Whether an hour of usage [n, 12] exceeded `limit_bytes` [n]: 1, 0, or NaN where too little was seen."""
    broken = exceeded(usage_bytes, limit_bytes[:, None], guard)[:, 0]
    seen = np.count_nonzero(np.isfinite(usage_bytes), axis=1) >= LEAST_SEEN_BINS
    return np.where(seen | broken, broken.astype(np.float64), np.nan)


def killed_at_bytes(kills: Events, first_bin: npt.NDArray[np.int64]) -> FloatArray:
    """The highest limit [n] at which rows were killed in the hour from `first_bin` [n] on; NaN: never."""
    start = (first_bin * BIN_SECONDS)[:, None]
    with np.errstate(invalid="ignore"):
        within = (kills.seconds >= start) & (kills.seconds < start + HOUR_SECONDS)
    return np.asarray(np.fmax.reduce(np.where(within, kills.limit_bytes, np.nan), axis=1, initial=np.nan))


def shifted(distribution: PeakDistribution, shift: FloatArray) -> PeakDistribution:
    """Every level of each row times e^shift [n]."""
    return PeakDistribution(distribution.levels, distribution.values_bytes * np.exp(shift)[:, None])


def within_buffer(
    priced: Priced, quantile_bytes: FloatArray, least: FloatArray, most: FloatArray, floor_bytes: FloatArray
) -> Priced:
    """Target and band at least `least` [n] and at most `most` [n] of the forecast quantile [n] above it.

    Infinite bounds bind nothing. No bound takes a limit below `floor_bytes` [n]: use and kills are facts.
    """
    if not (np.isfinite(least).any() or np.isfinite(most).any()):
        return priced
    lowest = np.where(np.isfinite(least), quantile_bytes * (1 + np.fmax(least, -1.0)), -np.inf)
    highest = np.where(np.isfinite(most), quantile_bytes * (1 + np.fmin(most, 1e6)), np.inf)
    free = ~np.isfinite(least) & ~np.isfinite(most)

    def bounded(column: FloatArray) -> FloatArray:
        inside = np.fmax(np.clip(column, lowest, highest), floor_bytes)
        return np.where(free | np.isnan(column), column, inside)

    return Priced(bounded(priced.target_bytes), bounded(priced.lower_bytes), bounded(priced.upper_bytes))
