"""What each part of the pipeline earns: it is taken away, and the judged half is replayed again.

In: the traces of `bench/forecast.py`, on its judged half, with its weights of the training half. Out:
bench/results/ablation.json: for the whole and for each variant the OOMs at slack .268, the slack at 76
OOMs, the limit changes there, each with a 95 % interval over groups and the paired difference to the whole.
A part that earns nothing is off, or gone; a variant that would be better is worth a look.

    python bench/ablation.py --traces DIRECTORY [--jobs 2] [--fraction 0.1]
"""

import time
from collections.abc import Iterator
from dataclasses import replace
from functools import partial

import numpy as np

from arms import Brain, plimsoll
from forecast import CORE, SEED, Dataset, datasets, finish, judging_brain, read_options
from forecast_rows import COMMAND, NAMES, UNITS, of
from plimsoll.forecast.ensemble import EnsemblePeak
from plimsoll.forecast.holt_winters import HoltWinters
from plimsoll.forecast.protocol import PeakModel
from plimsoll.forecast.routed import RoutedPeak
from plimsoll.forecast.seasonal import SeasonalPeak
from plimsoll.forecast.windowed import WindowedPeak
from plimsoll.pipeline import PipelineSettings
from plimsoll.replay.limits import ReplayRecommender
from plimsoll.replay.resample import CHANGES, OOM, SLACK, at, draws, figures, interval
from plimsoll.replay.score import SeriesScores, join
from plimsoll.replay.series import FloatArray, SeriesBatch
from plimsoll_cli.progress import progress
from plimsoll_cli.traces.engine import Engine
from plimsoll_cli.traces.tasks import Task, parts, work_off
from report import Row, write_results

WHOLE = "whole"
PRICES = (0.25, 0.6, 1.2, 2.0, 3.0, 5.0, 9.0, 16.0)
# Models that say little of the tail are tight at other prices.
SIMPLE_PRICES = (0.05, 0.15, 0.4, 1.0, 2.5, 6.0)
ASKED_SLACK, ASKED_OOM = 0.268, 76.0
UNREACHABLE = 1e9


def variants(brain: Brain) -> dict[str, tuple[dict[str, object], PeakModel | None, tuple[float, ...]]]:
    """Name -> (settings that differ, model, prices)."""
    network = brain.model
    # New for every replay: an ensemble has a memory.
    return {
        WHOLE: ({}, network, PRICES),
        "no guard": ({"guarded": False}, network, PRICES),
        "no adaptive buffer": ({"adaptive": False}, network, PRICES),
        "no second question within the hour": ({"ask_again_above": UNREACHABLE}, network, PRICES),
        "no floor of past peaks": ({"floor_hours": 0, "floor_hours_cheap": 0}, network, PRICES),
        "changes cost nothing": ({"raise_gain": 0.0, "lower_gain": 0.0}, network, PRICES),
        "windowed peak instead of the network": ({}, WindowedPeak(), SIMPLE_PRICES),
        "ensemble of network and simple models": ({"model": "ensemble"}, None, PRICES),
        "routed by class": ({}, RoutedPeak(network) if network else None, PRICES),
    }


def main() -> None:
    """Replay all variants, reckon, write."""
    options = read_options()
    begun = time.monotonic()
    brain, weights = judging_brain()
    (core,) = (each for each in datasets(options.traces, options.fraction) if each.name == CORE)
    found = measure(core, brain, options.jobs)
    name = "ablation" if options.fraction == 1 else "ablation-quick"
    path = write_results(name, list(rows_of(found)), SEED, time.monotonic() - begun, {"weights": weights})
    print(path)


def measure(core: Dataset, brain: Brain, jobs: int) -> dict[str, list[SeriesScores]]:
    """Scores of every variant, price by price."""
    tasks = [
        Task(
            partial(recommender, settings=settings(changed, price), model=model, brain=brain),
            part,
            core.settings(batch),
            partial(finish, key=(CORE, name, f"{price:g}")),
        )
        for name, (changed, model, prices) in variants(brain).items()
        for price in prices
        for batch in core.batches
        for part in parts(batch, 1)
    ]
    with progress("replays") as report:
        done = work_off(tasks, Engine.PROCESSES, jobs, report)
    return {
        name: [
            join([part.scores for part in done if part.key == (CORE, name, f"{price:g}")]) for price in prices
        ]
        for name, (_, _, prices) in variants(brain).items()
    }


def settings(changed: dict[str, object], price: float) -> PipelineSettings:
    """The pipeline's with a part changed."""
    return replace(PipelineSettings(oom_price=price), **changed)


def recommender(
    batch: SeriesBatch, settings: PipelineSettings, model: PeakModel | None, brain: Brain
) -> ReplayRecommender:
    """The live pipeline; an ensemble is made anew, with the judging network among its members."""
    if settings.model == "ensemble" and brain.model is not None:
        network = brain.model
        model = EnsemblePeak((lambda: network, WindowedPeak, SeasonalPeak, HoltWinters))
    return plimsoll(batch, settings, model)


def rows_of(found: dict[str, list[SeriesScores]]) -> Iterator[Row]:
    """Each variant's figures at the two operating points, and how far they are from the whole's."""
    weights = draws(found[WHOLE][0], SEED)
    count = int((weights[0] > 0).sum())
    points = {name: at_points(scores, weights) for name, scores in found.items()}
    for name, columns in points.items():
        slug = name.replace(" ", "_")
        for (title, unit), values in zip(FIGURES, columns.T, strict=True):
            yield of(f"ablation.{slug}.{title}", interval(values), unit, count, COMMAND)
        if name != WHOLE:
            for (title, unit), values in zip(FIGURES, (columns - points[WHOLE]).T, strict=True):
                yield of(f"ablation.{slug}.{title}.minus_whole", interval(values), unit, count, COMMAND)


FIGURES = (
    ("oom_at_slack_268", UNITS[OOM]),
    (f"{NAMES[CHANGES]}_at_slack_268", UNITS[CHANGES]),
    ("slack_at_oom_76", UNITS[SLACK]),
    (f"{NAMES[CHANGES]}_at_oom_76", UNITS[CHANGES]),
)


def at_points(scores: list[SeriesScores], weights: FloatArray) -> FloatArray:
    """[draws, 4]: OOMs and changes at slack .268, slack and changes at 76 OOMs; NaN: not reached."""
    curves = np.stack([figures(each, weights) for each in scores], axis=1)  # [draws, prices, 3]
    at_slack = [at(curves, SLACK, ASKED_SLACK, column) for column in (OOM, CHANGES)]
    at_oom = [at(curves, OOM, ASKED_OOM, column) for column in (SLACK, CHANGES)]
    return np.stack([*at_slack, *at_oom], axis=1)


if __name__ == "__main__":
    main()
