"""Runs replays over trace files, in several processes if asked, and turns their scores into rows to print.

Series do not know of each other, so a batch may be cut into parts for the processes; the limits are the same,
bit for bit, however it is cut.
"""

from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context

import numpy as np

from plimsoll.replay.classes import SeriesClass
from plimsoll.replay.columns import LimitColumns, from_columns
from plimsoll.replay.limits import LimitReplay, ReplaySettings, replay_limits
from plimsoll.replay.recommenders import recommender
from plimsoll.replay.rules import Violation, check
from plimsoll.replay.score import SeriesScores, join, outcome, score
from plimsoll.replay.series import SeriesBatch
from plimsoll_cli.failure import CommandError
from plimsoll_cli.progress import progress
from plimsoll_cli.traces.parquet import source_warmup_bins


@dataclass(frozen=True, slots=True)
class Timing:
    """How often what happens, in bins. `warmup_bins` None: by source."""

    warmup_bins: int | None = None
    decide_bins: int = 12
    guard_bins: int = 1

    def of(self, batch: SeriesBatch) -> ReplaySettings:
        """The settings for one batch."""
        warmup = source_warmup_bins(batch) if self.warmup_bins is None else self.warmup_bins
        return ReplaySettings(warmup, self.decide_bins, self.guard_bins)


@dataclass(frozen=True, slots=True)
class Task:
    """One part of a batch for one process."""

    name: str
    batch: SeriesBatch
    settings: ReplaySettings
    objective: str | None


def run(
    name: str, batches: Sequence[SeriesBatch], timing: Timing, objective: str | None = None, jobs: int = 1
) -> list[LimitReplay]:
    """Replay one recommender over all batches; one or more replays a batch, in order."""
    tasks = [
        Task(name, part, timing.of(batch), objective) for batch in batches for part in _parts(batch, jobs)
    ]
    try:
        if tasks:
            recommender(name, tasks[0].batch, objective)  # a wrong name or objective is told before any work
        return _in_processes(tasks, jobs) if jobs > 1 else _here(tasks)
    except ValueError as error:
        raise CommandError(str(error)) from error


def run_scores(replays: Sequence[LimitReplay]) -> SeriesScores:
    """The scores of all series of several replays."""
    return join([score(replay) for replay in replays])


def adopt(
    columns: LimitColumns, batches: Sequence[SeriesBatch], timing: Timing
) -> tuple[list[LimitReplay], list[Violation]]:
    """The replays that a limits file tells of, and every rule they break."""
    replays, violations = [], []
    known = {series_id for batch in batches for series_id in batch.series_ids}
    strangers = [series_id for series_id in columns.series_ids if series_id not in known]
    if strangers:
        raise CommandError(f"series {strangers[0]!r} is in no trace given ({len(strangers)} such series)")
    for batch in batches:
        settings = timing.of(batch)
        replay, found = from_columns(batch, columns, settings.warmup_bins, settings.decide_bins)
        replays.append(replay)
        violations += [*found, *check(replay)]
    return replays, violations


def outcome_rows(name: str, scores: SeriesScores) -> list[dict[str, object]]:
    """One row for every class that has scored series, and one for all."""
    groups = [(kind.value, scores.series_class == kind.value) for kind in SeriesClass]
    groups.append(("all", np.ones(len(scores), dtype=np.bool_)))
    return [
        {
            "recommender": name,
            "class": label,
            "series": pooled.series,
            "container_days": pooled.container_days,
            "ooms": pooled.ooms,
            "oom_per_1000cd": pooled.oom_per_1000cd,
            "slack": pooled.slack,
            "changes_per_cd": pooled.changes_per_cd,
        }
        for label, among in groups
        if (pooled := outcome(scores, among)).series or label == "all"
    ]


def _parts(batch: SeriesBatch, jobs: int) -> Iterator[SeriesBatch]:
    for rows in np.array_split(np.arange(len(batch)), min(jobs, max(len(batch), 1))):
        yield batch.take(rows) if jobs > 1 else batch


def _replay(task: Task) -> LimitReplay:
    return replay_limits(task.batch, recommender(task.name, task.batch, task.objective), task.settings)


def _here(tasks: Sequence[Task]) -> list[LimitReplay]:
    replays: list[LimitReplay] = []
    total = sum(task.batch.bins for task in tasks)
    with progress(tasks[0].name if tasks else "") as report:
        for task in tasks:
            done = sum(replay.batch.bins for replay in replays)

            def within(bins: int, _: int, done: int = done) -> None:
                report(done + bins, total)

            made = recommender(task.name, task.batch, task.objective)
            replays.append(replay_limits(task.batch, made, task.settings, within))
    return replays


def _in_processes(tasks: Sequence[Task], jobs: int) -> list[LimitReplay]:
    replays = []
    with (
        progress(tasks[0].name) as report,
        ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool,
    ):
        for replay in pool.map(_replay, tasks):
            replays.append(replay)
            report(len(replays), len(tasks))
    return replays
