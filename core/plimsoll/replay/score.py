"""What a replay was worth: OOM per 1000 container-days, slack, and limit changes per container-day.

Replays in, one row per series out (`SeriesScores`), and from these, pooled by bins and not averaged, an
`Outcome` of any group of them (`resample.py` has its intervals). The rules are those of the replay contract.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from plimsoll.replay.classes import classify
from plimsoll.replay.limits import LimitReplay
from plimsoll.replay.series import BINS_PER_DAY, BoolArray, FloatArray, IntArray
from plimsoll.usage.sample import MIN_MEDIAN_BYTES

MIN_SCORED_BINS = 12  # bins present after the warm-up's length that a scored series has
CHANGE_FRACTION = 0.01  # a limit this far from the last change counted is another change


@dataclass(frozen=True, slots=True)
class SeriesScores:
    """One row a series. Counts are over bins present from the warm-up on."""

    source: tuple[str, ...]  # [n]
    series_id: tuple[str, ...]  # [n]
    series_class: npt.NDArray[np.str_]  # [n]
    scored: BoolArray  # [n]
    bins: IntArray  # [n]
    ooms: IntArray  # [n] bins whose usage exceeds the limit
    slack_sum: FloatArray  # [n] of (limit - usage) / limit over the other bins
    changes: IntArray  # [n]

    def __len__(self) -> int:
        return len(self.series_id)


@dataclass(frozen=True, slots=True)
class Interval:
    """A pooled figure and its 95 % interval.

    `finite`: share of the draws that have the figure; the others are not in the interval.
    """

    value: float
    low: float
    high: float
    finite: float = 1.0


@dataclass(frozen=True, slots=True)
class Outcome:
    """A group of series, pooled by bins. NaN where there is nothing to divide by."""

    series: int
    container_days: float
    ooms: int
    oom_per_1000cd: float
    slack: float
    changes_per_cd: float


def score(replay: LimitReplay) -> SeriesScores:
    """Score every series of one replay."""
    batch, limits = replay.batch, replay.limit_bytes
    usage = batch.usage_bytes
    seen = ~np.isnan(usage)
    present = seen & replay.emitted()
    oom = present & (usage > limits)
    with np.errstate(invalid="ignore"):
        slack = np.where(present & ~oom, (limits - usage) / limits, 0.0)
    return SeriesScores(
        source=(batch.source,) * len(batch),
        series_id=batch.series_ids,
        series_class=np.array(
            [classify(u[:n]) for u, n in zip(usage, batch.length_bins, strict=True)], dtype=np.str_
        ),
        scored=_scored(usage, seen, replay.warmup_bins),
        bins=present.sum(axis=1),
        ooms=oom.sum(axis=1),
        slack_sum=slack.sum(axis=1),
        changes=count_changes(limits, present),
    )


def join(scores: Sequence[SeriesScores]) -> SeriesScores:
    """The series of several replays as one table."""
    return SeriesScores(
        source=tuple(s for part in scores for s in part.source),
        series_id=tuple(s for part in scores for s in part.series_id),
        series_class=np.concatenate([part.series_class for part in scores]),
        scored=np.concatenate([part.scored for part in scores]),
        bins=np.concatenate([part.bins for part in scores]),
        ooms=np.concatenate([part.ooms for part in scores]),
        slack_sum=np.concatenate([part.slack_sum for part in scores]),
        changes=np.concatenate([part.changes for part in scores]),
    )


def outcome(scores: SeriesScores, among: BoolArray | None = None) -> Outcome:
    """The scored series (of those in the mask `among` [n]), pooled by bins."""
    weight = _weight(scores, among)
    pooled = rates(scores, weight[None, :])
    return Outcome(
        series=int(weight.sum()),
        container_days=float(weight @ scores.bins) / BINS_PER_DAY,
        ooms=int(weight @ scores.ooms),
        oom_per_1000cd=float(pooled[0, 0]),
        slack=float(pooled[0, 1]),
        changes_per_cd=float(pooled[0, 2]),
    )


def count_changes(limit_bytes: FloatArray, present: BoolArray) -> IntArray:
    """Changes [n] of `limit_bytes` [n, bins] among the bins `present`:
    each lies > 1 % from the last one counted.
    """
    n, bins = limit_bytes.shape
    reference = np.full(n, np.nan)
    changes = np.zeros(n, dtype=np.int64)
    for k in range(bins):
        limit, here = limit_bytes[:, k], present[:, k]
        changed = here & (np.abs(limit - reference) > CHANGE_FRACTION * reference)
        changes += changed
        reference = np.where(changed | (here & np.isnan(reference)), limit, reference)
    return changes


def _scored(usage: FloatArray, seen: BoolArray, warmup_bins: int) -> BoolArray:
    enough = seen.sum(axis=1) >= warmup_bins + MIN_SCORED_BINS
    scored = np.zeros(len(usage), dtype=np.bool_)
    scored[enough] = np.nanmedian(usage[enough], axis=1) >= MIN_MEDIAN_BYTES if enough.any() else False
    return scored


def _weight(scores: SeriesScores, among: BoolArray | None) -> FloatArray:
    return (scores.scored if among is None else scores.scored & among).astype(np.float64)


def rates(scores: SeriesScores, weights: FloatArray) -> FloatArray:
    """[r, 3] OOM per 1000 container-days, slack, changes per cd, pooled with each row of `weights` [r, n]."""
    bins, ooms = weights @ scores.bins, weights @ scores.ooms
    days = bins / BINS_PER_DAY
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.stack(
            [
                1000 * ooms / days,
                (weights @ scores.slack_sum) / (bins - ooms),
                (weights @ scores.changes) / days,
            ],
            axis=1,
        )
