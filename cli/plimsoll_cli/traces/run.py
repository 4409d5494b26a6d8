"""Runs replays over trace files, in several processes if asked, and turns their scores into rows to print.

In: batches of series and a recommender's name. Out: replays, scores, rows. How a batch is cut into parts and
who works them off is in `tasks.py`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from plimsoll.forecast.prophet import PROPHET, PeakFitter
from plimsoll.install import install_hint
from plimsoll.replay.classes import SeriesClass
from plimsoll.replay.columns import LimitColumns, from_columns
from plimsoll.replay.limits import LimitReplay, ReplayRecommender, ReplaySettings
from plimsoll.replay.recommenders import recommender
from plimsoll.replay.rules import Violation, check
from plimsoll.replay.score import MIN_SCORED_BINS, SeriesScores, join, outcome, score
from plimsoll.replay.series import SeriesBatch
from plimsoll.usage.sample import BIN_SECONDS, MIN_MEDIAN_BYTES
from plimsoll_cli.amounts import short
from plimsoll_cli.failure import CommandError, OptionError
from plimsoll_cli.progress import progress
from plimsoll_cli.traces.engine import Engine
from plimsoll_cli.traces.parquet import source_warmup_bins
from plimsoll_cli.traces.tasks import Task, parts, work_off
from plimsoll_operator.forecasters.prophet_fit import fit, missing_package


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


def run(
    name: str,
    batches: Sequence[SeriesBatch],
    timing: Timing,
    objective: str | None = None,
    jobs: int = 1,
    engine: Engine = Engine.PROCESSES,
    model: str | None = None,
) -> list[LimitReplay]:
    """Replay one recommender over all batches; one or more replays a batch, in order."""
    fitter = prophet_fitter() if model == PROPHET else None
    make = partial(recommender, name, objective=objective, model=model, fitter=fitter)
    tasks = [Task(make, part, timing.of(batch), _same) for batch in batches for part in parts(batch, jobs)]
    try:
        if tasks:
            make(tasks[0].batch)  # a wrong name or objective is told before any work
        with progress(name) as report:
            return work_off(tasks, engine, jobs, report)
    except ValueError as error:
        raise OptionError(str(error)) from error


def run_scores(replays: Sequence[LimitReplay]) -> SeriesScores:
    """The scores of all series of several replays."""
    return join([score(replay) for replay in replays])


def refuse_unscored(scores: SeriesScores, batches: Sequence[SeriesBatch], warmup: str) -> None:
    """Raise CommandError, which says why, where not one series was scored."""
    if scores.scored.any():
        return
    seen = [int(np.isfinite(each.usage_bytes).sum(axis=1).max(initial=0)) for each in batches]
    if not any(seen):
        raise CommandError("nothing to score: no series in these traces has a value that is one")
    largest = max(
        float(np.nanmedian(each.usage_bytes, axis=1)[rows].max())
        for each in batches
        if (rows := np.isfinite(each.usage_bytes).any(axis=1)).any()
    )
    if largest < MIN_MEDIAN_BYTES:
        least = short(int(MIN_MEDIAN_BYTES))
        text = f"no series uses {least} at its median, and what uses less is idle; the largest uses"
        raise CommandError(f"nothing to score: {text} {largest:.0f} bytes")
    more, hours = MIN_SCORED_BINS * BIN_SECONDS // 60, max(seen) * BIN_SECONDS / 3600
    text = f"no series of a size that counts is longer than --warmup {warmup} and {more}m"
    raise CommandError(f"nothing to score: {text}; the longest has values for {hours:.3g} h")


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


def prophet_fitter() -> PeakFitter:
    """Who fits Prophet in a replay: this very process, synchronously."""
    if missing_package():
        raise CommandError(f"the model prophet needs the extra `forecast`: {install_hint('forecast')}")
    return fit


def _same(replay: LimitReplay, _recommender: ReplayRecommender) -> LimitReplay:
    return replay
