"""Replays recorded traces with every recommender: Plimsoll beside VPA, KRR, Autopilot, static and the oracle.

In: a directory of traces (default: the sample that ships with Plimsoll). Out: a table, and
bench/results/limits.json with 95 % intervals from a bootstrap over series. Warm-up by source: 24 h, 3 h
for sources of less than two days. The operating points of `plimsoll` are those that were fixed on training
data; nothing is fitted here.
"""

import argparse
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from plimsoll.replay.classes import SeriesClass
from plimsoll.replay.recommenders import NAMES
from plimsoll.replay.score import Interval, SeriesScores, intervals
from plimsoll.replay.series import SeriesBatch
from plimsoll_cli.output import OutputFormat, print_rows
from plimsoll_cli.traces.parquet import read_trace, trace_files
from plimsoll_cli.traces.run import Timing, outcome_rows, run, run_scores
from plimsoll_cli.traces.sample import sample_directory
from report import Row, write_results

SEED = 7
SUBJECT = "plimsoll"
# Not containers: a stress set of spiky virtual machines, and hosts.
STRESS = {"bitbrains_rnd": "bitbrains", "alibaba2018_machine": "hosts"}
UNITS = ("1/1000 container-days", "fraction of the limit", "1/container-day")
# Operating points that are asked for by name, and the row (and figure) that each one gives. Settings are
# fixed beforehand: what was asked for is not quite what comes out, so the other figure stands beside it.
POINTS = {"slack:0.268": ("oom_at_slack_268", 0), "oom:76": ("slack_at_oom_76", 1)}
REALISED = {0: (1, "realised_slack"), 1: (0, "realised_oom")}
Figures = tuple[Interval, Interval, Interval]  # OOM/1000 cd, slack, changes/cd


@dataclass(frozen=True, slots=True)
class Dataset:
    """Traces that are pooled."""

    name: str
    batches: tuple[SeriesBatch, ...]

    @property
    def files(self) -> str:
        """As on a command line, in the directory of traces."""
        return " ".join(f"{batch.source}.parquet" for batch in self.batches)


def main() -> None:
    """Run, print, write."""
    parser = argparse.ArgumentParser(description="replay recorded traces with every recommender")
    parser.add_argument("--traces", type=Path, default=sample_directory())
    parser.add_argument("--jobs", type=int, default=1)
    arguments = parser.parse_args()
    begun = time.monotonic()
    rows: list[Row] = []
    table: list[dict[str, object]] = []
    for dataset in datasets(arguments.traces):
        scores = {name: scored(name, dataset, arguments.jobs) for name in NAMES}
        rows += dataset_rows(dataset, scores)
        rows += point_rows(dataset, scores, arguments.jobs) if dataset.name == "core" else []
        for name, found in scores.items():
            table += [
                {"dataset": dataset.name, **row} for row in outcome_rows(name, found) if row["class"] == "all"
            ]
    print_rows(table, OutputFormat.TABLE)
    print(write_results("limits", rows, SEED, time.monotonic() - begun))


def datasets(traces: Path) -> list[Dataset]:
    """Container traces pooled as `core`; what is not a container by itself."""
    grouped: dict[str, list[SeriesBatch]] = {}
    for path in trace_files([traces]):
        grouped.setdefault(STRESS.get(path.stem, "core"), []).append(read_trace(path))
    return [Dataset(name, tuple(grouped[name])) for name in ("core", *STRESS.values()) if name in grouped]


def scored(name: str, dataset: Dataset, jobs: int, objective: str | None = None) -> SeriesScores:
    """Replay one recommender over a dataset."""
    return run_scores(run(name, dataset.batches, Timing(), objective=objective, jobs=jobs))


def dataset_rows(dataset: Dataset, scores: dict[str, SeriesScores]) -> Iterator[Row]:
    """The subject's three figures over all series, and its OOMs and slack by class."""
    everything = np.ones(len(scores[SUBJECT]), dtype=np.bool_)
    figures = {name: intervals(found, SEED) for name, found in scores.items()}
    for i, figure in enumerate(("oom", "slack", "changes_per_container_day")):
        yield row(f"forecast.{dataset.name}.{figure}", i, figures, count(scores, everything), dataset)
    if dataset.name != "core":
        return
    for kind in SeriesClass:
        among = scores[SUBJECT].series_class == kind.value
        if not (scores[SUBJECT].scored & among).any():
            continue
        figures = {name: intervals(found, SEED, among) for name, found in scores.items()}
        yield row(f"forecast.class.{kind.value}.oom", 0, figures, count(scores, among), dataset)
        yield row(f"forecast.class.{kind.value}.slack", 1, figures, count(scores, among), dataset)


def point_rows(dataset: Dataset, scores: dict[str, SeriesScores], jobs: int) -> Iterator[Row]:
    """The subject at operating points that were asked for; the peers stand where they stand."""
    peers = {name: intervals(found, SEED) for name, found in scores.items() if name != SUBJECT}
    for objective, (name, figure) in POINTS.items():
        found = intervals(scored(SUBJECT, dataset, jobs, objective), SEED)
        figures = {SUBJECT: found, **peers}
        n = count(scores, np.ones(len(scores[SUBJECT]), dtype=np.bool_))
        yield row(f"forecast.core.{name}", figure, figures, n, dataset, objective)
        other, realised = REALISED[figure]
        yield row(f"forecast.core.{name}.{realised}", other, figures, n, dataset, objective)


def row(
    name: str,
    figure: int,
    figures: dict[str, Figures],
    n: int,
    dataset: Dataset,
    objective: str | None = None,
) -> Row:
    """One figure of the subject beside the peers'."""
    mine = figures[SUBJECT][figure]
    asked = f" --objective {objective}" if objective else ""
    return Row(
        name,
        mine.value,
        UNITS[figure],
        n,
        f"plimsoll replay limits {dataset.files} --warmup auto{asked}",
        mine.low,
        mine.high,
        {peer: figures[peer][figure].value for peer in figures if peer != SUBJECT},
    )


def count(scores: dict[str, SeriesScores], among: Sequence[bool] | np.ndarray) -> int:
    """Scored series in a group."""
    return int((scores[SUBJECT].scored & among).sum())


if __name__ == "__main__":
    main()
