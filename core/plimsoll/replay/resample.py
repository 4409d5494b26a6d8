"""How sure is a figure of a replay: scores in, figures with 95 % intervals from a bootstrap over groups out.

Siblings (`split.group_of`) jump together, so groups are drawn, not series. Draws are the rows of a matrix of
weights; whoever is judged with the same matrix is judged on the same draws, so the difference between two
recommenders has an interval of its own, much tighter than theirs.
"""

import math
from collections.abc import Sequence

import numpy as np

from plimsoll.replay.score import Interval, SeriesScores, rates
from plimsoll.replay.series import BINS_PER_DAY, BoolArray, FloatArray
from plimsoll.replay.split import group_of

RESAMPLES = 2000
# Where no event was seen, more than this many are not to be expected with 95 % (Poisson: "rule of three").
UNSEEN_EVENTS = -math.log(0.05)
OOM, SLACK, CHANGES = 0, 1, 2  # columns of `figures`


def draws(scores: SeriesScores, seed: int, among: BoolArray | None = None) -> FloatArray:
    """Weights [1 + resamples, n] of the scored series (of those in the mask `among` [n]).

    The first row is what was measured: every series once. The others draw as many groups as there are.
    """
    chosen = scores.scored if among is None else scores.scored & among
    names = np.array([group_of(name) for name in scores.series_id], dtype=np.str_)
    groups, group = np.unique(names[chosen], return_inverse=True)
    weights = np.zeros((1 + RESAMPLES, len(scores)))
    weights[0, chosen] = 1.0
    if len(groups):
        share = np.full(len(groups), 1 / len(groups))
        drawn = np.random.default_rng(seed).multinomial(len(groups), share, size=RESAMPLES)
        weights[1:, chosen] = drawn[:, group]
    return weights


def figures(scores: SeriesScores, weights: FloatArray) -> FloatArray:
    """[r, 3] OOM per 1000 container-days, slack and changes per container-day for each draw."""
    return rates(scores, weights)


def interval(values: FloatArray, groups: int = 2, at_most: float = math.nan) -> Interval:
    """What was measured (`values[0]`) and the interval of the draws; NaN where they have none.

    A single group has no interval: each of its draws is the same. A rate of which no event was seen reaches
    up to `at_most`, for draws of nothing are nothing.
    """
    drawn = values[1:][np.isfinite(values[1:])]
    share = len(drawn) / max(len(values) - 1, 1)
    if groups < 2 or not len(drawn):
        return Interval(float(values[0]), math.nan, math.nan, share)
    low, high = np.percentile(drawn, [2.5, 97.5])
    if values[0] == 0:
        high = np.fmax(high, at_most)
    return Interval(float(values[0]), float(low), float(high), share)


def groups_in(scores: SeriesScores, weights: FloatArray) -> int:
    """How many groups of siblings the draws `weights` [r, n] are of."""
    return len({group_of(scores.series_id[row]) for row in np.flatnonzero(weights[0] > 0)})


def unseen_kills(scores: SeriesScores, weights: FloatArray) -> float:
    """OOM per 1000 container-days that none in all of these series does not exclude."""
    days = float(weights[0] @ scores.bins) / BINS_PER_DAY
    return 1000.0 * UNSEEN_EVENTS / days if days else math.nan


def frontier(settings: Sequence[SeriesScores], weights: FloatArray) -> FloatArray:
    """[r, k, 2] OOM per 1000 container-days and slack of one recommender's settings, tightest first."""
    points = np.stack([figures(scores, weights)[:, :2] for scores in settings], axis=1)
    order = np.argsort(points[:, :, SLACK], axis=1)
    return np.take_along_axis(points, order[:, :, None], axis=1)


def at(curves: FloatArray, given: int, wanted: float, asked: int) -> FloatArray:
    """Column `asked` [r] where each curve [r, k, c] has `wanted` in column `given`; NaN where none does."""
    ordered = (curve[np.argsort(curve[:, given])] for curve in curves)
    return np.array(
        [np.interp(wanted, each[:, given], each[:, asked], left=np.nan, right=np.nan) for each in ordered]
    )


def oom_at_slack(curves: FloatArray, slack: float) -> FloatArray:
    """OOM per 1000 container-days [r] where each curve [r, k, 2] has this slack; NaN where it does not."""
    return at(curves, SLACK, slack, OOM)


def slack_at_oom(curves: FloatArray, oom_per_1000cd: float) -> FloatArray:
    """The least slack [r] at which each curve [r, k, 2] has so few OOMs; NaN where it never does."""
    return np.array([_first(curve, oom_per_1000cd) for curve in curves])


def _first(curve: FloatArray, wanted: float) -> float:
    enough = np.flatnonzero(curve[:, OOM] <= wanted)
    if not len(enough) or (enough[0] == 0 and curve[0, OOM] < wanted):
        return float("nan")
    right = int(enough[0])
    left = max(right - 1, 0)
    (high, near), (low, far) = curve[left], curve[right]
    part = (high - wanted) / (high - low) if high > low else 0.0
    return float(near + part * (far - near))
