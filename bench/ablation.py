"""What each part of the pipeline earns: it is taken away, and the judged half is replayed again.

In: the traces of `bench/forecast.py`, on its judged half, with its weights of the training half. Out:
bench/results/ablation.json: for the whole and for each variant the OOMs at slack .268, the slack at 76
OOMs, the limit changes there, each with a 95 % interval over groups and the paired difference to the whole.
The knob is the price of a kill; where the price is what was taken away, the margin that stands in its place.
What young containers hear of relatives no replay under the contract may hear: that part is taken away from
their first day alone, as in `bench/cold.py`. A part that earns nothing is off, or gone; a variant that would
be better is worth a look.

    python bench/ablation.py --traces DIRECTORY [--jobs 2] [--fraction 0.1]
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from arms import Brain, plimsoll
from cold import ALONE, TOLD, young_of
from cold import measure as measure_cold
from forecast import CORE, SEED, Dataset, datasets, finish, judging_brain, read_options
from forecast_rows import NAMES, UNITS, of
from plimsoll.forecast.ensemble import EnsemblePeak
from plimsoll.forecast.holt_winters import HoltWinters
from plimsoll.forecast.protocol import PeakModel
from plimsoll.forecast.routed import RoutedPeak
from plimsoll.forecast.seasonal import SeasonalPeak
from plimsoll.forecast.windowed import WindowedPeak
from plimsoll.pipeline import PipelineSettings
from plimsoll.recommend.row_policy import RowPolicy
from plimsoll.replay.limits import BatchFacts, ReplayRecommender
from plimsoll.replay.live import LiveRecommender
from plimsoll.replay.resample import CHANGES, OOM, SLACK, at, draws, figures, interval
from plimsoll.replay.score import SeriesScores, join
from plimsoll.replay.series import FloatArray, SeriesBatch
from plimsoll.replay.split import Half
from plimsoll_cli.progress import progress
from plimsoll_cli.traces.engine import Engine
from plimsoll_cli.traces.tasks import Task, parts, work_off
from report import Row, write_results

COMMAND = "make bench-ablation"
WHOLE = "whole"
PRICES = (0.25, 0.6, 1.2, 2.0, 3.0, 5.0, 9.0, 16.0)
# Models that say little of the tail are tight at other prices.
SIMPLE_PRICES = (0.05, 0.15, 0.4, 1.0, 2.5, 6.0)
# Above the forecast's 95 % quantile, where no price says how much: a tenth is what most tools add.
MARGINS = (0.0, 0.05, 0.1, 0.2, 0.35, 0.6)
ASKED_SLACK, ASKED_OOM = 0.268, 76.0
UNREACHABLE = 1e9


@dataclass(frozen=True, slots=True)
class Variant:
    """The pipeline without a part, along its knob."""

    changed: dict[str, object]  # settings that differ
    model: PeakModel | None
    knobs: tuple[float, ...] = PRICES
    priced: bool = True  # False: the knob is a margin


@dataclass
class Margined(LiveRecommender):
    """The live pipeline with a fixed margin above the forecast's 95 % quantile in the place of the price."""

    margin: float = 0.0

    def start(self, facts: BatchFacts) -> None:
        """Every row's policy binds its buffer from both sides."""
        super().start(facts)
        said = RowPolicy(buffer_min_fraction=self.margin, buffer_max_fraction=self.margin)
        self._pipeline.observe_policies(self._rows, [said] * len(self._rows))


def variants(brain: Brain) -> dict[str, Variant]:
    """All of them by name."""
    network = brain.model
    # New for every replay: an ensemble has a memory.
    return {
        WHOLE: Variant({}, network),
        "no guard": Variant({"guarded": False}, network),
        "no price but a margin": Variant({}, network, MARGINS, priced=False),
        "no adaptive buffer": Variant({"adaptive": False}, network),
        "no second question within the hour": Variant({"ask_again_above": UNREACHABLE}, network),
        "no floor of past peaks": Variant({"floor_hours": 0, "floor_hours_cheap": 0}, network),
        "changes cost nothing": Variant({"raise_gain": 0.0, "lower_gain": 0.0}, network),
        "windowed peak instead of the network": Variant({}, WindowedPeak(), SIMPLE_PRICES),
        "ensemble of network and simple models": Variant({"model": "ensemble"}, None),
        "routed by class": Variant({}, RoutedPeak(network) if network else None),
    }


def main() -> None:
    """Replay all variants, reckon, write."""
    options = read_options()
    begun = time.monotonic()
    brain, weights = judging_brain()
    (core,) = (each for each in datasets(options.traces, options.fraction) if each.name == CORE)
    rows = list(rows_of(measure(core, brain, options.jobs)))
    young = young_of(options.traces, Half.JUDGED)
    rows += cold_rows(measure_cold(young, brain.model, brain.settings(), (ALONE, TOLD)))
    name = "ablation" if options.fraction == 1 else "ablation-quick"
    print(write_results(name, rows, SEED, time.monotonic() - begun, {"weights": weights}))


def measure(core: Dataset, brain: Brain, jobs: int) -> dict[str, list[SeriesScores]]:
    """Scores of every variant, knob by knob."""
    tasks = [
        Task(
            partial(recommender, variant=variant, knob=knob, brain=brain),
            part,
            core.settings(batch),
            partial(finish, key=(CORE, name, f"{knob:g}")),
        )
        for name, variant in variants(brain).items()
        for knob in variant.knobs
        for batch in core.batches
        for part in parts(batch, 1)
    ]
    with progress("replays") as report:
        done = work_off(tasks, Engine.PROCESSES, jobs, report)
    return {
        name: [
            join([part.scores for part in done if part.key == (CORE, name, f"{knob:g}")])
            for knob in variant.knobs
        ]
        for name, variant in variants(brain).items()
    }


def recommender(batch: SeriesBatch, variant: Variant, knob: float, brain: Brain) -> ReplayRecommender:
    """The live pipeline; an ensemble is made anew, with the judging network among its members."""
    model = variant.model
    if not variant.priced:
        return Margined(brain.settings(**variant.changed), model, margin=knob)
    settings = replace(PipelineSettings(oom_price=knob), **variant.changed)
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


def cold_rows(found: dict[str, SeriesScores]) -> Iterator[Row]:
    """The first day of containers that have relatives, without what those did, and what that changes."""
    weights = draws(found[TOLD], SEED)
    count = int((weights[0] > 0).sum())
    told, alone = (figures(found[name], weights) for name in (TOLD, ALONE))
    for figure in (OOM, SLACK, CHANGES):
        title, unit = NAMES[figure], UNITS[figure]
        yield of(f"ablation.first_day.whole.{title}", interval(told[:, figure]), unit, count, COMMAND)
        name = f"ablation.first_day.no_relatives.{title}"
        yield of(name, interval(alone[:, figure]), unit, count, COMMAND)
        difference = interval((alone - told)[:, figure])
        yield of(f"{name}.minus_whole", difference, unit, count, COMMAND)


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
