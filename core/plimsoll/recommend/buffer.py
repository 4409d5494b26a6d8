"""How thick the buffer above a forecast must be: as thick as that forecast has been wrong.

In: a model's past errors per row (log of what came over what was forecast) and a prior from many series.
Out: for each row and level the factor to put on the point forecast. Split-conformal quantiles (rank
ceil((n+1)p)) of the row's own errors, shrunk towards the prior: a tail quantile counts as known as far as
the row has errors beyond it. The errors are recomputed from the history each time, so a restart loses
nothing. `within_buffer` holds what is priced on top of that between a policy's bounds.
"""

import numpy as np

from plimsoll.forecast.protocol import Hindcast, PeakDistribution
from plimsoll.forecast.window import FloatArray
from plimsoll.recommend.price import Priced


def conformal_log_ratio(errors: FloatArray, levels: FloatArray) -> FloatArray:
    """Own quantiles of log errors [n, t] at `levels` [q] -> [n, q]; NaN where a row has no error."""
    ordered = np.sort(errors, axis=1)  # NaN last
    count = np.isfinite(errors).sum(axis=1)
    rank = np.ceil((count[:, None] + 1) * levels[None, :]).astype(np.int64) - 1
    rank = np.clip(rank, 0, np.maximum(count - 1, 0)[:, None])
    if ordered.shape[1] == 0:
        return np.full((len(errors), len(levels)), np.nan)
    return np.asarray(np.take_along_axis(ordered, rank, axis=1), dtype=np.float64)


def calibrate(distribution: PeakDistribution, hindcast: Hindcast) -> PeakDistribution:
    """The distribution with its ratio over the point forecast corrected by the row's own errors."""
    own = conformal_log_ratio(hindcast.log_error, distribution.levels)
    count = np.isfinite(hindcast.log_error).sum(axis=1)[:, None]
    beyond = count * (1 - distribution.levels[None, :])
    weight = beyond / (beyond + hindcast.prior_strength)
    point = np.maximum(hindcast.point_bytes, 1.0)[:, None]
    prior = np.log(np.maximum(distribution.values_bytes, 1.0)) - np.log(point)
    blended = weight * np.where(np.isnan(own), prior, own) + (1 - weight) * prior
    values = np.maximum.accumulate(point * np.exp(blended), axis=1)
    return PeakDistribution(distribution.levels, np.where(count > 0, values, distribution.values_bytes))


def within_buffer(
    priced: Priced, quantile_bytes: FloatArray, least: FloatArray, most: FloatArray, floor_bytes: FloatArray
) -> Priced:
    """Target and band at least `least` [n] and at most `most` [n] of the forecast quantile [n] above it.

    Infinite bounds bind nothing. No bound takes a limit below `floor_bytes` [n]: use and kills are facts.
    """
    lowest = np.where(np.isfinite(least), quantile_bytes * (1 + np.fmax(least, -1.0)), -np.inf)
    highest = np.where(np.isfinite(most), quantile_bytes * (1 + np.fmin(most, 1e6)), np.inf)
    free = ~np.isfinite(least) & ~np.isfinite(most)

    def bounded(column: FloatArray) -> FloatArray:
        inside = np.fmax(np.clip(column, lowest, highest), floor_bytes)
        return np.where(free | np.isnan(column), column, inside)

    return Priced(bounded(priced.target_bytes), bounded(priced.lower_bytes), bounded(priced.upper_bytes))
