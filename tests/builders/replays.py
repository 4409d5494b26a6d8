"""Makers and finishers of replays that another process can import."""

import os
import signal
from pathlib import Path

from plimsoll.replay.limits import LimitReplay, ReplayRecommender
from plimsoll.replay.series import FloatArray, SeriesBatch


def limits_of(replay: LimitReplay, _recommender: ReplayRecommender) -> tuple[tuple[str, ...], FloatArray]:
    """Names and limits [n, bins] of a replay."""
    return replay.batch.series_ids, replay.limit_bytes


def endless(begun: str, _batch: SeriesBatch) -> ReplayRecommender:
    """A recommender that writes its process into the pipe `begun`, and gets no further."""
    with Path(begun).open("w") as pipe:
        pipe.write(f"{os.getpid()}\n")
    while True:
        signal.pause()


def broken(batch: SeriesBatch) -> ReplayRecommender:
    """A recommender that cannot begin."""
    raise ArithmeticError(f"this recommender cannot begin with {len(batch)} series")
