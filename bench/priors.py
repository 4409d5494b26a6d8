"""What else a stranger's past is worth to a young container: how promises were kept, and OOM kills.

In: recorded series with siblings (as `bench/cold.py`). Out: OOMs and slack of the first 24 hours, by the
pipeline that hears what the fleet's memory tells of its image (steps from hour to hour), by the same with the
shift that the siblings' promises had come to, by the same with their OOM kills, and by both. The siblings'
shifts and kills are those of the same pipeline on their last three days before the series begins.

    python bench/priors.py --traces DIRECTORY [--half judged]
"""

import argparse
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from cold import found
from drawn import Drawn
from forecast import CORE, SEED, STRESS, judging_brain
from plimsoll.forecast.window import BINS_PER_DAY, FloatArray
from plimsoll.recommend.relatives import Steps
from plimsoll.replay.limits import BatchFacts, ReplaySettings, replay_limits
from plimsoll.replay.live import FIRST_BIN, LiveRecommender
from plimsoll.replay.resample import draws, figures
from plimsoll.replay.score import SeriesScores, score
from plimsoll.replay.series import SeriesBatch
from plimsoll.replay.split import Half, group_of, half_of
from plimsoll.store.kindred import MOST_RELATIVES
from plimsoll.usage.sample import BIN_SECONDS, HOUR_SECONDS
from plimsoll_cli.traces.parquet import read_trace, trace_files
from report import Row, bench_options, write_results

COMMAND = "make bench-priors"
PAST_BINS = 3 * BINS_PER_DAY
LEAST_BINS = int(6 * HOUR_SECONDS / BIN_SECONDS)
KEPT_KILLS = 8
ARMS = {"steps": (False, False), "shift": (True, False), "kills": (False, True), "both": (True, True)}


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of one recorded series."""

    name: str
    start_seconds: int
    used: FloatArray  # [bins]

    @property
    def end_seconds(self) -> int:
        """When the bin after its last begins."""
        return self.start_seconds + len(self.used) * BIN_SECONDS


@dataclass(slots=True)
class Prior:
    """What siblings had come to when a series began."""

    shifts: list[float] = field(default_factory=list)  # logs that their promises moved their levels by
    kills: list[tuple[float, float]] = field(default_factory=list)  # seconds before the begin, and the limit

    @property
    def shift(self) -> float:
        """Of the sibling in the middle; 0 where none has kept a promise for an hour."""
        return float(np.median(self.shifts)) if self.shifts else 0.0


class Sibling(LiveRecommender):
    """The live pipeline, asked in the end what a profile would hold of it."""

    def came_to(self, row: int) -> tuple[float | None, list[tuple[float, float]]]:
        """A row's shift (None: no promise was kept for an hour), and its kills: when, and at which limit."""
        record = self._history.promises.record(self._rows[[row]])
        kills = self._history.ooms(self._rows[[row]])
        shift = float(record.shift[0]) if record.hours[0] >= 1.0 else None
        both = zip(kills.seconds[0].tolist(), kills.limit_bytes[0].tolist(), strict=True)
        return shift, [(at, limit) for at, limit in both if np.isfinite(at) and np.isfinite(limit)]


@dataclass
class Told(LiveRecommender):
    """The live pipeline, each row told of its image before the first bin."""

    steps: Sequence[Steps] = ()
    priors: Sequence[Prior] = ()
    with_shift: bool = False
    with_kills: bool = False

    def start(self, facts: BatchFacts) -> None:
        """Forget all but what is told."""
        super().start(facts)
        rows = self._rows.tolist()
        self._pipeline.observe_relatives(dict(zip(rows, self.steps, strict=True)))
        begun = float(FIRST_BIN * BIN_SECONDS)
        self._history.advance(begun)
        for row, prior in zip(rows, self.priors, strict=True):
            if self.with_shift:
                self._history.promises.merge(row, np.array([0.0, 0.0, 0.0, prior.shift]))
            for age_seconds, limit_bytes in sorted(prior.kills)[:KEPT_KILLS] if self.with_kills else ():
                self._history.record_oom(np.array([row]), begun - age_seconds, limit_bytes)


@dataclass(frozen=True, slots=True)
class Young:
    """One series' first day, what the memory says of its image, and its siblings' days before."""

    day: Piece
    steps: Steps
    siblings: tuple[Piece, ...]


def young_of(traces: Path, half: Half) -> Iterator[Young]:
    """The series of one half that a memory would know something of."""
    for path in trace_files([traces]):
        batch = read_trace(path)
        if STRESS.get(batch.source, CORE) != CORE:
            continue
        for each in found(batch):
            name = each.batch.series_ids[0]
            if each.remembered is not None and half_of(name) is half:
                begun = int(each.batch.start_seconds[0])
                used = each.batch.usage_bytes[0, : int(each.batch.length_bins[0])]
                siblings = tuple(siblings_of(batch, name, begun))[:MOST_RELATIVES]
                yield Young(Piece(name, begun, used), each.remembered, siblings)


def siblings_of(batch: SeriesBatch, name: str, begun: int) -> Iterator[Piece]:
    """The last three days of each sibling before a time, where there are six hours of them."""
    for index, other in enumerate(batch.series_ids):
        if other == name or group_of(other) != group_of(name):
            continue
        start = int(batch.start_seconds[index])
        bins = min((begun - start) // BIN_SECONDS, int(batch.length_bins[index]))
        first = max(bins - PAST_BINS, 0)
        if bins - first >= LEAST_BINS:
            yield Piece(other, start + first * BIN_SECONDS, batch.usage_bytes[index, first:bins])


def together(pieces: Sequence[Piece]) -> SeriesBatch:
    """Pieces of any sources as one batch."""
    lengths = np.array([len(each.used) for each in pieces])
    used = np.full((len(pieces), int(lengths.max())), np.nan)
    for row, each in enumerate(pieces):
        used[row, : len(each.used)] = each.used
    names = tuple(each.name for each in pieces)
    return SeriesBatch("several", names, used, lengths, np.array([each.start_seconds for each in pieces]))


def priors_of(young: Sequence[Young], recommender: Sibling) -> list[Prior]:
    """What the siblings of each had come to, all of them replayed at once."""
    pieces = [(place, piece) for place, each in enumerate(young) for piece in each.siblings]
    replay_limits(together([piece for _, piece in pieces]), recommender, ReplaySettings(1))
    made = [Prior() for _ in young]
    for row, (place, piece) in enumerate(pieces):
        shift, kills = recommender.came_to(row)
        end = (FIRST_BIN + len(piece.used)) * BIN_SECONDS
        since = young[place].day.start_seconds - piece.end_seconds
        made[place].shifts += [] if shift is None else [shift]
        made[place].kills += [(since + end - at, limit) for at, limit in kills]
    return made


def main() -> None:
    """Replay, print, write."""
    parser = argparse.ArgumentParser(description="what siblings' calibration and OOM kills are worth")
    parser.add_argument("--traces", type=Path, default=Path("sample"))
    parser.add_argument("--half", type=Half, default=Half.JUDGED)
    options = bench_options(parser)
    begun = time.monotonic()
    brain, weights = judging_brain()
    young = list(young_of(options.traces, options.half))
    priors = priors_of(young, Sibling(brain.settings(), brain.model))
    days, steps = together([each.day for each in young]), [each.steps for each in young]
    scores = {}
    for arm, (shift, kills) in ARMS.items():
        told = Told(
            brain.settings(), brain.model, steps=steps, priors=priors, with_shift=shift, with_kills=kills
        )
        scores[arm] = score(replay_limits(days, told, ReplaySettings(1)))
    rows = [*rows_of(scores), *told_of(priors)]
    for row in rows:
        sure = "" if row.low is None else f"({row.low:.3f} to {row.high:.3f}) "
        print(f"{row.name:52} {row.value:9.3f} {sure}{row.unit}")
    name = "priors" if options.half is Half.JUDGED else f"priors-{options.half}"
    print(write_results(name, rows, SEED, time.monotonic() - begun, {"weights": weights}))


def told_of(priors: Sequence[Prior]) -> Iterator[Row]:
    """How many there was something to tell."""
    shifted = sum(each.shift != 0.0 for each in priors)
    killed = sum(bool(each.kills) for each in priors)
    yield Row("priors.series_with_a_shift", float(shifted), "series", len(priors), COMMAND)
    yield Row("priors.series_with_kills", float(killed), "series", len(priors), COMMAND)


def rows_of(scores: Mapping[str, SeriesScores]) -> Iterator[Row]:
    """Each arm's figures, and what each prior changes."""
    weights = draws(scores["steps"], SEED)
    among = Drawn.of(scores["steps"], weights, COMMAND)
    columns = {name: figures(each, weights) for name, each in scores.items()}
    for name, values in columns.items():
        yield from among.figures(f"priors.{name}", values)
    for name in (each for each in ARMS if each != "steps"):
        yield from among.differences(f"priors.{name}.minus_steps", columns[name] - columns["steps"])


if __name__ == "__main__":
    main()
