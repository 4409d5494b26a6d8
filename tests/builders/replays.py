"""Makers and finishers of replays that another process can import."""

from plimsoll.replay.limits import LimitReplay, ReplayRecommender
from plimsoll.replay.series import FloatArray, SeriesBatch


def limits_of(replay: LimitReplay, _recommender: ReplayRecommender) -> tuple[tuple[str, ...], FloatArray]:
    """Names and limits [n, bins] of a replay."""
    return replay.batch.series_ids, replay.limit_bytes


def broken(batch: SeriesBatch) -> ReplayRecommender:
    """A recommender that cannot begin."""
    raise ArithmeticError(f"this recommender cannot begin with {len(batch)} series")
