"""What each part of the pipeline earns: it is taken away, and the judged half is replayed again.

In: the traces of `bench/forecast.py`, on its judged half, with its weights of the training half. Out:
bench/results/ablation.json: for the whole and for each variant the OOMs at slack .268, the slack at 76
OOMs, the limit changes there, each with a 95 % interval over groups and the paired difference to the whole;
and how the promises of each were kept at the price that ships, which is what the buffer is for. The knob is
the price of a kill; where the price is what was taken away, the margin that stands in its place. What young
containers hear of relatives no replay under the contract may hear: that part is taken away from their first
day alone, as in `bench/cold.py`. The trees that taught the network are taught anew, from the training half,
which takes minutes. Simple models have priors that ship, from series of both halves: what they lose, they
lose with that help. A part that earns nothing is off, or gone; a variant that would be better is worth a
look.

    python bench/ablation.py --traces DIRECTORY [--jobs 2] [--fraction 0.1]
"""

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np

from arms import Brain, plimsoll
from cold import ALONE, TOLD, young_of
from cold import measure as measure_cold
from drawn import NAMES, UNITS, Drawn
from forecast import CORE, SEED, STRESS, Dataset, Part, datasets, finish, judging_brain, read_options
from forecast_rows import groups
from plimsoll.forecast.boosted import BoostedPeak
from plimsoll.forecast.ensemble import EnsemblePeak
from plimsoll.forecast.holt_winters import HoltWinters
from plimsoll.forecast.protocol import PeakModel
from plimsoll.forecast.routed import RoutedPeak
from plimsoll.forecast.seasonal import SeasonalPeak
from plimsoll.forecast.windowed import WindowedPeak
from plimsoll.guard.limits import GuardSettings
from plimsoll.pipeline import PipelineSettings
from plimsoll.recommend.objective import DEFAULT_OBJECTIVE, price_at
from plimsoll.recommend.row_policy import RowPolicy
from plimsoll.replay.limits import BatchFacts, ReplayRecommender
from plimsoll.replay.live import LiveRecommender
from plimsoll.replay.promises import Kept, join_kept
from plimsoll.replay.resample import CHANGES, OOM, SLACK, at, draws, figures
from plimsoll.replay.score import SeriesScores, join
from plimsoll.replay.series import FloatArray, SeriesBatch
from plimsoll.replay.split import Half
from plimsoll_cli.progress import progress
from plimsoll_cli.traces.engine import Engine
from plimsoll_cli.traces.parquet import read_trace, trace_files
from plimsoll_cli.traces.tasks import Task, parts, work_off
from prior_teacher import teach
from report import Row, write_results
from train_prior import SEED as TRAINING_SEED
from train_prior import TREE_WEIGHTS, material_of, training_half

COMMAND = "make bench-ablation"
WHOLE = "whole"
BROKEN = "realised_over_promised"
PRICES = (0.06, 0.15, 0.3, 0.6, 1.2, 2.0, 3.0, 5.0, 9.0, 16.0)
# Models that say little of the tail are tight at other prices.
SIMPLE_PRICES = (0.05, 0.15, 0.4, 1.0, 2.5, 6.0)
TREE_PRICES = (0.06, 0.15, 0.4, 1.2, 3.0, 9.0)  # trees take many times a network's time
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
    promising: bool = False  # its promises are compared with what came, at the price that ships


@dataclass
class Margined(LiveRecommender):
    """The live pipeline with a fixed margin above the forecast's 95 % quantile in the place of the price."""

    margin: float = 0.0

    def start(self, facts: BatchFacts) -> None:
        """Every row's policy binds its buffer from both sides."""
        super().start(facts)
        said = RowPolicy(buffer_min_fraction=self.margin, buffer_max_fraction=self.margin)
        self._pipeline.observe_policies(self._rows, [said] * len(self._rows))


NO_BUFFER = "no adaptive buffer"
TREES = "boosted trees instead of the network they taught"


def variants(brain: Brain, trees: PeakModel | None) -> dict[str, Variant]:
    """All of them by name."""
    network = brain.model
    # Below a threshold that nobody reaches no use is close to its limit, and no limit is floored for that.
    never = GuardSettings(climb_threshold=UNREACHABLE, looks_ahead=False)
    without_rise = GuardSettings(looks_ahead=False)
    # New for every replay: an ensemble has a memory.
    return {
        WHOLE: Variant({}, network, promising=True),
        "no guard": Variant({"guarded": False}, network, promising=True),
        "no raise near the limit": Variant({"guard": never}, network, promising=True),
        "no look at the rise": Variant({"guard": without_rise}, network, promising=True),
        "no second question within the hour": Variant(
            {"ask_again_above": UNREACHABLE}, network, promising=True
        ),
        NO_BUFFER: Variant({"adaptive": False}, network, promising=True),
        "no floor of past peaks": Variant({"floored": False}, network),
        "changes cost nothing": Variant({"raise_gain": 0.0, "lower_gain": 0.0}, network),
        "no price but a margin": Variant({}, network, MARGINS, priced=False),
        **({} if trees is None else {TREES: Variant({}, trees, TREE_PRICES)}),
        "windowed peak instead of the network": Variant({}, WindowedPeak(), SIMPLE_PRICES),
        "ensemble of network and simple models": Variant({"model": "ensemble"}, None),
        "routed by class": Variant({}, RoutedPeak(network) if network else None),
    }


@dataclass(frozen=True, slots=True)
class Measured:
    """What one variant came to, knob by knob, and how its promises were kept; None: it was not asked."""

    scores: list[SeriesScores]
    at_shipped: SeriesScores | None = None
    kept: Kept | None = None


def main() -> None:
    """Replay all variants, reckon, write."""
    options = read_options()
    begun = time.monotonic()
    brain, weights = judging_brain()
    (core,) = (each for each in datasets(options.traces, options.fraction) if each.name == CORE)
    found = measure(core, brain, trees_of(options.traces), options.jobs)
    rows = [*rows_of({name: each.scores for name, each in found.items()}), *promise_rows(found)]
    young = young_of(options.traces, Half.JUDGED)
    rows += cold_rows(measure_cold(young, brain.model, brain.settings(), (ALONE, TOLD)))
    name = "ablation" if options.fraction == 1 else "ablation-quick"
    print(write_results(name, rows, SEED, time.monotonic() - begun, {"weights": weights}))


def trees_of(traces: Path) -> PeakModel | None:
    """Trees as they teach the network that judges: from the training half alone.

    None where there are no machines among the traces, which teach them too (the sample has none).
    """
    batches = [training_half(read_trace(path)) for path in trace_files([traces])]
    if not any(batch.source in STRESS for batch in batches):
        return None
    material = material_of(batches)
    machines, altered = TREE_WEIGHTS
    taught = [(material.plain, 1.0), (material.altered, altered), (material.machines, machines)]
    return BoostedPeak(teach(taught, TRAINING_SEED))


def measure(core: Dataset, brain: Brain, trees: PeakModel | None, jobs: int) -> dict[str, Measured]:
    """Scores and promises of every variant."""
    made = variants(brain, trees)
    asked = {name: variant.knobs for name, variant in made.items()}
    shipped = shipped_price(brain)
    tasks = [
        Task(
            partial(recommender, variant=variant, knob=knob, brain=brain, promising=promising),
            part,
            core.settings(batch),
            partial(finish, key=(CORE, name, setting(knob, promising=promising))),
        )
        for name, variant in made.items()
        for knob, promising in [
            *((knob, False) for knob in asked[name]),
            *([(shipped, True)] if variant.promising else []),
        ]
        for batch in core.batches
        for part in parts(batch, 1)
    ]
    with progress("replays") as report:
        done = work_off(tasks, Engine.PROCESSES, jobs, report)
    return {name: gathered(name, variant.knobs, shipped, done) for name, variant in made.items()}


def setting(knob: float, *, promising: bool) -> str:
    """A knob, and whether promises are noted there, in a word."""
    return f"{knob:g}{' promising' if promising else ''}"


def shipped_price(brain: Brain) -> float:
    """What a kill costs where nobody asks for anything."""
    if brain.table is None:
        raise ValueError("the judging brain has no table of prices")
    return price_at(DEFAULT_OBJECTIVE, brain.table)


def gathered(name: str, knobs: tuple[float, ...], shipped: float, done: list[Part]) -> Measured:
    """The parts of one variant."""

    def parts_at(knob: float, *, promising: bool) -> list[Part]:
        key = (CORE, name, setting(knob, promising=promising))
        return [part for part in done if part.key == key]

    scores = [join([part.scores for part in parts_at(knob, promising=False)]) for knob in knobs]
    promised = parts_at(shipped, promising=True)
    kept = [part.kept for part in promised if part.kept is not None]
    if not kept:
        return Measured(scores)
    return Measured(scores, join([part.scores for part in promised]), join_kept(kept))


def recommender(
    batch: SeriesBatch, variant: Variant, knob: float, brain: Brain, *, promising: bool = False
) -> ReplayRecommender:
    """The live pipeline; an ensemble is made anew, with the judging network among its members."""
    model = variant.model
    if not variant.priced:
        return Margined(brain.settings(**variant.changed), model, margin=knob)
    settings = replace(PipelineSettings(oom_price=knob), **variant.changed)
    if settings.model == "ensemble" and brain.model is not None:
        network = brain.model
        model = EnsemblePeak((lambda: network, WindowedPeak, SeasonalPeak, HoltWinters))
    return plimsoll(batch, settings, model, promising=promising)


def rows_of(found: dict[str, list[SeriesScores]]) -> Iterator[Row]:
    """Each variant's figures at the two operating points, and how far they are from the whole's."""
    weights = draws(found[WHOLE][0], SEED)
    among = Drawn.of(found[WHOLE][0], weights, COMMAND)
    at_most = [among.unseen_kills] + [np.nan] * (len(FIGURES) - 1)
    points = {name: at_points(scores, weights) for name, scores in found.items()}
    for name, columns in points.items():
        slug = name.replace(" ", "_")
        for (title, unit), values, most in zip(FIGURES, columns.T, at_most, strict=True):
            yield among.figure(f"ablation.{slug}.{title}", values, unit, most)
        if name != WHOLE:
            for (title, unit), values, most in zip(
                FIGURES, (columns - points[WHOLE]).T, at_most, strict=True
            ):
                yield among.difference(f"ablation.{slug}.{title}.minus_whole", values, unit, most)


def promise_rows(found: Mapping[str, Measured]) -> Iterator[Row]:
    """At the price that ships: kills and slack, and realised over promised chances, over all and by class."""
    for name, each in found.items():
        if each.at_shipped is None or each.kept is None:
            continue
        slug = name.replace(" ", "_")
        everything = draws(each.at_shipped, SEED)
        among = Drawn.of(each.at_shipped, everything, COMMAND)
        yield from among.figures(f"ablation.{slug}.shipped", figures(each.at_shipped, everything))
        yield among.ratio(f"ablation.{slug}.calibration.{BROKEN}", each.kept, everything)
        for kind, of_kind in groups(each.at_shipped):
            if kind.startswith("class."):
                title = f"ablation.{slug}.calibration.{kind.removeprefix('class.')}.{BROKEN}"
                weights = draws(each.at_shipped, SEED, of_kind)
                yield Drawn.of(each.at_shipped, weights, COMMAND).ratio(title, each.kept, weights)


def cold_rows(found: dict[str, SeriesScores]) -> Iterator[Row]:
    """The first day of containers that have relatives, without what those did, and what that changes."""
    weights = draws(found[TOLD], SEED)
    among = Drawn.of(found[TOLD], weights, COMMAND)
    told, alone = (figures(found[name], weights) for name in (TOLD, ALONE))
    yield from among.figures("ablation.first_day.whole", told)
    yield from among.figures("ablation.first_day.no_relatives", alone)
    yield from among.differences("ablation.first_day.no_relatives", alone - told, ".minus_whole")


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
