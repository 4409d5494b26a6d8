"""Fits what ships with the forecast room: `hazard.json` (networks), `boosted.txt` (the trees that taught
them) and `prior.json` (ratios, price table); and `bench/weights/training_half.json`, with which the public
benchmark judges series that nothing in it was trained on.

In: a directory of recorded traces. What ships has never seen what `sample.json` calls unseen (the demo plays
it), nor any other series of the same. The price tables come from replays in which each third of the groups
is decided by networks trained on the others. Seeded: the same traces give the same files. Each says what it
was made with: commit (with `+` where the tree differed from it), versions of LightGBM and numpy, digests of
the traces.

The replays can be shared out as those of `plimsoll replay` are (`--jobs`, `--engine dask`): the files are the
same for any number and any engine.

    make train TRACES=DIRECTORY        (python bench/train_prior.py --traces DIRECTORY [--jobs 2])
"""

import argparse
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from lightgbm import Booster

from draw_sample import owner
from measured import data_digests
from plimsoll.forecast import prior
from plimsoll.forecast.autopilot_ml import AutopilotMl
from plimsoll.forecast.growth import line_errors
from plimsoll.forecast.hazard import HazardPeak, Network
from plimsoll.forecast.holt_winters import HoltWinters
from plimsoll.forecast.moving_windows import MovingWindows
from plimsoll.forecast.protocol import PeakModel
from plimsoll.forecast.seasonal import SeasonalPeak
from plimsoll.forecast.window import FloatArray, UsageWindow
from plimsoll.forecast.windowed import WindowedPeak
from plimsoll.pipeline import PipelineSettings
from plimsoll.replay.limits import LimitReplay, ReplayRecommender, ReplaySettings
from plimsoll.replay.live import LiveRecommender
from plimsoll.replay.score import SeriesScores, outcome, score
from plimsoll.replay.score import join as join_scores
from plimsoll.replay.series import SeriesBatch
from plimsoll.replay.split import Half, group_of, half_of
from plimsoll_cli.progress import progress
from plimsoll_cli.traces.engine import Engine
from plimsoll_cli.traces.parquet import read_trace, source_warmup_bins, trace_files
from plimsoll_cli.traces.sample import sample_facts
from plimsoll_cli.traces.tasks import Task, parts, work_off
from prior_network import train
from prior_rows import Rows, rows_of, windows_at
from prior_rows import join as join_rows
from prior_teacher import teach
from report import commit

SEED = 7
TEACHERS = 2  # boosters whose mean log odds are taught
NETWORKS = 2
FOLDS = 3
ALTERED_DRAWS = 2
# Spiky machines teach the tail, but there are many of them: every sixth hour, at a lower weight.
STRESS = ("bitbrains_rnd", "alibaba2018_machine")
STRESS_EVERY = 6
# Of machines' rows and of altered series' rows, for the trees, which learn outcomes, and for the networks,
# which learn what the trees say of any row.
TREE_WEIGHTS, NETWORK_WEIGHTS = (0.3, 0.3), (0.5, 1.0)
RATIO_LEVELS = (0.5, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99, 0.995, 0.998, 0.999, 0.9995, 0.9998, 0.9999)
# Container-days of unused limit a kill is worth, from reckless to anxious.
PRICES = (0.125, 0.5, 1.0, 2.0, 3.0, 4.0, 6.0, 8.0, 12.0, 24.0, 48.0)
TABLES = Path(prior.__file__).parent
WEIGHTS = Path(__file__).parent / "weights"


@dataclass(frozen=True, slots=True)
class Material:
    """Rows to train on; machines are no containers and only teach."""

    plain: Rows
    altered: Rows
    machines: Rows


def main() -> None:
    """Read, train, replay, write."""
    parser = argparse.ArgumentParser(description="fit the tables that ship with plimsoll.forecast")
    parser.add_argument("--traces", type=Path, required=True)
    parser.add_argument("--only", choices=["ratios", "networks", "prices"], help="write no other part")
    parser.add_argument(
        "--jobs", type=int, default=1, help="processes; the files are the same for any number"
    )
    parser.add_argument("--engine", type=Engine, default=Engine.PROCESSES, help="processes or dask")
    arguments = parser.parse_args()
    worked = partial(worked_off, engine=arguments.engine, jobs=arguments.jobs)
    everything = [read_trace(path) for path in trace_files([arguments.traces])]
    held_out = held_out_series()
    batches = [without(batch, held_out) for batch in everything]
    wanted = {"ratios", "networks", "prices"} if arguments.only is None else {arguments.only}
    containers = [batch for batch in batches if batch.source not in STRESS]
    known = prior.document()
    if "ratios" in wanted:
        ratios = {"levels": list(RATIO_LEVELS), "log_ratio": pooled_ratios(containers)}
        write(TABLES / "prior.json", known := {**known, "ratios": ratios})
    if wanted == {"ratios"}:
        return
    material = material_of(batches)
    if "networks" in wanted:
        train_shipped(material, provenance(batches, held_out, material, arguments.traces))
        train_training_half(everything, worked, arguments.traces)
    if "prices" in wanted:
        facts = provenance(batches, held_out, material, arguments.traces)
        write(
            TABLES / "prior.json", {**known, **facts, "objectives": price_table(containers, material, worked)}
        )


def material_of(batches: Sequence[SeriesBatch]) -> Material:
    """Training rows of these series."""
    containers = [batch for batch in batches if batch.source not in STRESS]
    machines = [batch for batch in batches if batch.source in STRESS]
    random = np.random.default_rng(SEED)
    return Material(
        rows_of(containers, (0, 4, 8)),
        join_rows([rows_of(containers, (0, 6), augment=random) for _ in range(ALTERED_DRAWS)]),
        rows_of(machines, (0,), STRESS_EVERY),
    )


def train_shipped(material: Material, facts: dict[str, Any]) -> None:
    """Write the trees and the networks that ship."""
    teachers, taught = networks(material, None)
    # One booster is what a policy can choose; with several the model would be as many times as slow.
    (TABLES / "boosted.txt").write_text(teachers[0].model_to_string(), encoding="utf-8")
    write(TABLES / "hazard.json", {**facts, "networks": [plain(network) for network in taught]})


def train_training_half(everything: Sequence[SeriesBatch], worked: "Worked", traces: Path) -> None:
    """Write the networks and prices that the public benchmark judges with."""
    batches = [training_half(batch) for batch in everything]
    containers = [batch for batch in batches if batch.source not in STRESS]
    material = material_of(batches)
    facts = {
        **provenance(batches, frozenset(), material, traces),
        "held_out": "the judged half of plimsoll.replay.split",
    }
    taught = [plain(network) for network in networks(material, None)[1]]
    objectives = price_table(containers, material, worked)
    write(WEIGHTS / "training_half.json", {**facts, "objectives": objectives, "networks": taught})


def training_half(batch: SeriesBatch) -> SeriesBatch:
    """Only the series that the public benchmark does not judge."""
    return batch.take([i for i, name in enumerate(batch.series_ids) if half_of(name) is Half.TRAINING])


def held_out_series() -> frozenset[str]:
    """Names of the series that nothing is trained on: the demo plays them."""
    return frozenset(sample_facts()["unseen"])


def without(batch: SeriesBatch, held_out: frozenset[str]) -> SeriesBatch:
    """The batch without the sample's series and without other days or instances of them."""
    owners = {owner(name) for name in held_out}
    return batch.take([i for i, name in enumerate(batch.series_ids) if owner(name) not in owners])


def networks(
    material: Material, groups: frozenset[str] | None, count: tuple[int, int] = (TEACHERS, NETWORKS)
) -> tuple[list[Booster], list[Network]]:
    """Trees, and the networks they taught, from the rows of these groups (None: all); so many of each."""
    parts = [material.plain, material.altered, material.machines]
    kept = parts if groups is None else [chosen(part, groups) for part in parts]

    def weighed(machines: float, altered: float) -> list[tuple[Rows, float]]:
        return list(zip(kept, (1.0, altered, machines), strict=True))

    teachers = [teach(weighed(*TREE_WEIGHTS), SEED + index) for index in range(count[0])]
    return teachers, [train(weighed(*NETWORK_WEIGHTS), teachers, SEED + i) for i in range(count[1])]


def chosen(rows: Rows, groups: frozenset[str]) -> Rows:
    """The rows of these groups."""
    return rows.take(np.isin(rows.group, list(groups)))


Worked = Callable[[Sequence[Task[SeriesScores]]], list[SeriesScores]]


def worked_off(tasks: Sequence[Task[SeriesScores]], engine: Engine, jobs: int) -> list[SeriesScores]:
    """Scores of all tasks, in their order."""
    with progress("replays") as report:
        return work_off(tasks, engine, jobs, report)


def price_table(
    containers: Sequence[SeriesBatch], material: Material, worked: Worked
) -> dict[str, list[float]]:
    """What each price comes to on series whose group the networks have not seen."""
    groups = np.random.default_rng(SEED).permutation(np.unique(material.plain.group)).tolist()
    judged = [frozenset(groups[fold::FOLDS]) for fold in range(FOLDS)]
    everything = frozenset(groups) | frozenset(np.unique(material.machines.group).tolist())
    models = [HazardPeak(networks(material, everything - fold)[1]) for fold in judged]
    return priced(containers, list(zip(judged, models, strict=True)), worked)


def priced(
    containers: Sequence[SeriesBatch], folds: Sequence[tuple[frozenset[str], PeakModel]], worked: Worked
) -> dict[str, list[float]]:
    """The table: each fold's groups are decided by that fold's model, at every price."""
    of_price = {
        price: [task for groups, model in folds for task in replays(containers, groups, model, price)]
        for price in PRICES
    }
    done = iter(worked([task for tasks in of_price.values() for task in tasks]))
    slack, kills, changes = [], [], []
    for price, tasks in of_price.items():
        pooled = outcome(join_scores([next(done) for _ in tasks]))
        slack.append(pooled.slack)
        kills.append(pooled.oom_per_1000cd)
        changes.append(pooled.changes_per_cd)
        print(
            f"{price=:g}: {kills[-1]:.1f} OOM/1000 cd @ {slack[-1]:.4f}, {changes[-1]:.2f} changes/cd",
            flush=True,
        )
    return {
        "oom_price": list(PRICES),
        "slack": rounded(np.maximum.accumulate(slack)),
        "oom_per_1000_cd": rounded(np.minimum.accumulate(kills)),
        "measured_slack": rounded(slack),
        "measured_oom_per_1000_cd": rounded(kills),
        "measured_changes_per_cd": rounded(changes),
    }


def replays(
    containers: Sequence[SeriesBatch], groups: frozenset[str], model: PeakModel, price: float
) -> list[Task[SeriesScores]]:
    """The replays of the series of these groups at one price."""
    make = partial(decided_by, model=model, price=price)
    out = []
    for batch in containers:
        mine = batch.take([i for i, name in enumerate(batch.series_ids) if group_of(name) in groups])
        if len(mine):
            settings = ReplaySettings(source_warmup_bins(batch))
            out += [Task(make, part, settings, scored) for part in parts(mine, 1)]
    return out


def decided_by(_batch: SeriesBatch, model: PeakModel, price: float) -> ReplayRecommender:
    """The live pipeline with this model, at one price."""
    return LiveRecommender(replace(PipelineSettings(), oom_price=price), model)


def scored(replay: LimitReplay, _recommender: ReplayRecommender) -> SeriesScores:
    """Scores of a replay: limits are large, scores are small."""
    return score(replay)


def pooled_ratios(containers: Sequence[SeriesBatch]) -> dict[str, list[float]]:
    """Quantiles of the simple models' log errors, pooled by hours."""
    models = (WindowedPeak(), SeasonalPeak(), MovingWindows(), AutopilotMl(), HoltWinters())
    # The line's own errors, wherever there was one to follow: its other rows have the windowed peak's.
    rules = {"growth": lambda window: line_errors(window.hourly_bytes)}
    rules = {**{model.name: errors_of(model) for model in models}, **rules}
    windows = [whole_window(batch) for batch in containers]
    out = {}
    for name, errors in rules.items():
        pooled = np.concatenate([errors(window).ravel() for window in windows])
        out[name] = rounded(np.quantile(pooled[np.isfinite(pooled)], RATIO_LEVELS))
    return out


def errors_of(model: PeakModel) -> Callable[[UsageWindow], FloatArray]:
    """The model's past log errors [n, t], from a window."""
    return lambda window: model.fit(window).hindcast().log_error


def whole_window(batch: SeriesBatch) -> UsageWindow:
    """All series of a batch, each at its last whole hour."""
    ends = batch.length_bins // 12 * 12
    windows = [
        windows_at(usage[:length], np.array([end]))
        for usage, length, end in zip(batch.usage_bytes, batch.length_bins, ends, strict=True)
    ]
    return UsageWindow(
        np.concatenate([window.recent_bytes for window in windows]),
        np.concatenate([window.hourly_bytes for window in windows]),
    )


def provenance(
    batches: Sequence[SeriesBatch], held_out: frozenset[str], material: Material, traces: Path
) -> dict[str, Any]:
    """Where the tables come from, and what they were made with."""
    return {
        "script": "bench/train_prior.py",
        "seed": SEED,
        "sources": {batch.source: len(batch) for batch in batches},
        "held_out": f"the {len(held_out)} unseen series of the sample and their siblings",
        "rows": len(join_rows([material.plain, material.altered, material.machines]).need),
        "commit": commit(),
        "versions": {name: version(name.lower()) for name in ("LightGBM", "numpy")},
        "data": data_digests(traces),
    }


def plain(network: Network) -> dict[str, Any]:
    """A network as JSON; six digits are as many as float32 needs here."""
    knots = {name: [rounded(at) for at in getattr(network, name)] for name in ("row_knots", "level_knots")}
    weights = [field.name for field in fields(network) if field.name not in knots]
    return {**knots, **{name: rounded(getattr(network, name)) for name in weights}}


def rounded(values: Any) -> Any:  # noqa: ANN401
    """Nested lists of numbers with six significant digits."""
    array = np.asarray(values)
    return [rounded(part) for part in array] if array.ndim else float(f"{float(array):.6g}")


def write(path: Path, document: dict[str, Any]) -> None:
    """One key a line, so that a diff shows what changed."""
    lines = ",\n".join(f"{json.dumps(key)}: {json.dumps(value)}" for key, value in document.items())
    path.parent.mkdir(exist_ok=True)
    path.write_text("{\n" + lines + "\n}\n", encoding="utf-8")
    print(f"wrote {path.name}", flush=True)


if __name__ == "__main__":
    main()
