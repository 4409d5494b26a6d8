"""The public benchmark of limit recommenders: `make bench-forecast`.

In: a directory of traces (default: the sample that ships), of which only the judged half is replayed
(`plimsoll.replay.split`); Plimsoll decides with weights that were trained on the other half. Out:
bench/results/forecast.json (rows; frontiers, classes and calibration beside them) and the plots. Every
recommender walks the same bins under the same rules; intervals are from a bootstrap over groups and
differences are paired.

    python bench/forecast.py --traces DIRECTORY [--jobs 2] [--fraction 0.1]
"""

import argparse
import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from arms import SUBJECT, Arm, Brain, Promising, censored, defaults, knobs, plimsoll, promised_points
from forecast_plots import draw
from forecast_rows import Findings, document_parts, found_rows
from plimsoll.forecast.hazard import HazardPeak, network_of
from plimsoll.replay.limits import LimitReplay, ReplayRecommender, ReplaySettings, replay_limits
from plimsoll.replay.promises import Kept, join_kept, kept, windows_of
from plimsoll.replay.score import SeriesScores, join, score
from plimsoll.replay.series import BINS_PER_DAY, SeriesBatch
from plimsoll.replay.split import Half, fraction_of, group_of, half_of
from plimsoll_cli.progress import progress
from plimsoll_cli.traces.engine import Engine
from plimsoll_cli.traces.parquet import read_trace, source_warmup_bins, trace_files
from plimsoll_cli.traces.tasks import Task, parts, work_off
from report import Row, bench_options, write_results

SEED = 7
TRAINING_HALF = Path(__file__).parent / "weights" / "training_half.json"
# Not containers: a stress set of spiky virtual machines, and hosts.
STRESS = {"bitbrains_rnd": "bitbrains", "alibaba2018_machine": "hosts"}
CORE, COLD = "core", "cold"
COLD_WARMUP_BINS = 1
DAY_SECONDS = 86_400


@dataclass(frozen=True, slots=True)
class Part:
    """What comes back from one task."""

    key: tuple[str, str, str]  # dataset, recommender, setting
    scores: SeriesScores
    kept: Kept | None


@dataclass(frozen=True, slots=True)
class Dataset:
    """Batches that are pooled. `warmup_bins` None: by source."""

    name: str
    batches: tuple[SeriesBatch, ...]
    warmup_bins: int | None = None

    def settings(self, batch: SeriesBatch) -> ReplaySettings:
        """How one of its batches is replayed."""
        return ReplaySettings(source_warmup_bins(batch) if self.warmup_bins is None else self.warmup_bins)


def main() -> None:
    """Replay, reckon, draw, write."""
    options = read_options()
    begun = time.monotonic()
    brain, weights = judging_brain()
    judged = datasets(options.traces, options.fraction)
    found = measure(list(judged), brain, options.jobs)
    name = "forecast" if options.fraction == 1 else "forecast-quick"
    rows = [*found_rows(found, SEED), *speed_rows(judged[0], brain)]
    document = {"weights": weights, **document_parts(found, SEED)}
    path = write_results(name, rows, SEED, time.monotonic() - begun, document)
    print(path, *draw(path))


def judging_brain() -> tuple[Brain, dict[str, Any]]:
    """Networks and prices from the training half alone, and where they come from."""
    document = json.loads(TRAINING_HALF.read_text(encoding="utf-8"))
    model = HazardPeak(tuple(network_of(each) for each in document["networks"]))
    facts = {name: value for name, value in document.items() if name not in ("networks", "objectives")}
    return Brain(model, document["objectives"]), facts


def read_options() -> argparse.Namespace:
    """The command line."""
    return bench_options(options_of("measure every recommender on the judged half of traces"))


def options_of(description: str) -> argparse.ArgumentParser:
    """What every bench on recorded traces can be told."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--traces", type=Path, default=Path("sample"))
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--fraction", type=float, default=1.0, help="of the groups, to try it out")
    return parser


def datasets(traces: Path, fraction: float = 1.0, half: Half = Half.JUDGED) -> list[Dataset]:
    """One half: containers pooled as `core`, their first day as `cold`, machines by themselves."""
    grouped: dict[str, list[SeriesBatch]] = {}
    for path in trace_files([traces]):
        batch = one_half(read_trace(path), fraction, half)
        if len(batch):
            grouped.setdefault(STRESS.get(batch.source, CORE), []).append(batch)
    core = tuple(grouped.pop(CORE))
    cold = tuple(first_day(batch) for batch in core)
    machines = [Dataset(name, tuple(batches)) for name, batches in grouped.items()]
    return [Dataset(CORE, core), Dataset(COLD, cold, COLD_WARMUP_BINS), *machines]


def one_half(batch: SeriesBatch, fraction: float, half: Half = Half.JUDGED) -> SeriesBatch:
    """The series of one half, or those of a fraction of its groups."""
    return batch.take(
        [
            row
            for row, name in enumerate(batch.series_ids)
            if half_of(name) is half and fraction_of(group_of(name), SEED) < fraction
        ]
    )


def first_day(batch: SeriesBatch) -> SeriesBatch:
    """The first 24 hours after the warm-up of one bin. Nothing that comes later can change them."""
    bins = BINS_PER_DAY + COLD_WARMUP_BINS
    length = np.minimum(batch.length_bins, bins)
    return SeriesBatch(
        batch.source, batch.series_ids, batch.usage_bytes[:, :bins], length, batch.start_seconds
    )


def measure(judged: Sequence[Dataset], brain: Brain, jobs: int) -> list[Findings]:
    """All arms over all datasets."""
    tasks = [
        Task(arm.make, part, dataset.settings(batch), partial(finish, key=(dataset.name, *arm.key)))
        for dataset in judged
        for arm in arms_for(dataset, brain)
        for batch in dataset.batches
        for part in parts(batch, 1)
    ]
    with progress("replays") as report:
        done = work_off(tasks, Engine.PROCESSES, jobs, report)
    return [gather(dataset, list(arms_for(dataset, brain)), done) for dataset in judged]


def arms_for(dataset: Dataset, brain: Brain) -> Iterator[Arm]:
    """The core gets all settings, the rest the default ones."""
    yield from defaults(brain)
    if dataset.name == CORE:
        yield from promised_points(brain)
        yield from censored(brain)
        yield from knobs(brain)


def finish(replay: LimitReplay, recommender: ReplayRecommender, key: tuple[str, str, str]) -> Part:
    """Score a replay in the process that made it: limits are large, scores are small."""
    promised = None
    if isinstance(recommender, Promising):
        promised = kept(replay, recommender.promises(windows_of(replay.batch, replay.decide_bins)))
    return Part(key, score(replay), promised)


def gather(dataset: Dataset, arms: Sequence[Arm], done: Sequence[Part]) -> Findings:
    """What was found on one dataset, arm by arm."""
    of_arm = {arm.key: [part for part in done if part.key == (dataset.name, *arm.key)] for arm in arms}
    kept_by = {
        key: [part.kept for part in found if part.kept is not None]
        for key, found in of_arm.items()
        if key[0] == SUBJECT
    }
    scores = {key: join([part.scores for part in found]) for key, found in of_arm.items()}
    frontier = frozenset(arm.key for arm in arms if arm.on_frontier)
    return Findings(
        dataset.name, scores, frontier, {key: join_kept(parts) for key, parts in kept_by.items() if parts}
    )


def speed_rows(core: Dataset, brain: Brain) -> Iterator[Row]:
    """How much faster than real time one core replays the pipeline."""
    batch = max(core.batches, key=lambda batch: int(batch.length_bins.sum()))
    begun = time.process_time()
    replay_limits(batch, plimsoll(batch, brain.settings(), brain.model), core.settings(batch))
    seconds = time.process_time() - begun
    days = float(batch.length_bins.sum()) / BINS_PER_DAY
    command = f"plimsoll replay limits {batch.source}.parquet --jobs 1"
    yield Row(
        "forecast.replay.series_days_per_second", days / seconds, "1/s of one core", len(batch), command
    )
    yield Row(
        "forecast.replay.times_real_time", days * DAY_SECONDS / seconds, "of one core", len(batch), command
    )


if __name__ == "__main__":
    main()
