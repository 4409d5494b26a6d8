"""Changes to the live pipeline that were tried and are not there: buffers that begin where their class's are,
and raises that look further ahead.

In: recorded traces. Out: bench/results/tried.json: for each change kills and slack at the two operating
points, what it does at the price that ships (kills of growing series, the first day, realised over promised
chances), and all of it minus the pipeline as it is, with intervals over groups. First on the training half,
each third of whose groups is decided by a network taught by the others;
then on the judged half, by the weights of the training half.

`starts of a row`: the shift (`recommend.buffer.next_shift`) that rows of a class have come to, each weighing
as many hours as it was judged, is added to that of other rows of the class, and less so with each hour of
which they have a record of their own. `starts of one row`: the same with the shift that all hours of a class
would have come to had they been a single row's, whose bound is then one of the class. Between the folds the
classes' shifts are those of the other folds; on the judged half those of the whole training half. In a
cluster they would be the operator's; a replay may not look at other series of its own half.

    python bench/tried.py --traces DIRECTORY [--jobs 2] [--fraction 0.1]
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np

from ablation import FIGURES, at_points, shipped_price
from arms import Brain, Promising
from drawn import Drawn
from forecast import COLD, CORE, SEED, Dataset, datasets, judging_brain, options_of
from forecast_rows import groups
from plimsoll.forecast.hazard import HazardPeak
from plimsoll.forecast.protocol import FittedPeak, Hindcast, Memoryless, PeakDistribution, PeakModel
from plimsoll.forecast.window import BINS_PER_HOUR, FloatArray, IntArray, UsageWindow, peak
from plimsoll.forecast.workload_class import ClassMemory, CodeArray, WorkloadClass, workload_classes
from plimsoll.guard.limits import Raises
from plimsoll.pipeline import LimitPipeline
from plimsoll.recommend.buffer import LEAST_SHIFT, MOST_SHIFT, SHIFT_STEP, shifted
from plimsoll.recommend.recommendation import Recommendations
from plimsoll.replay.classes import SeriesClass
from plimsoll.replay.limits import BatchFacts, LimitReplay, ReplayRecommender
from plimsoll.replay.live import FIRST_BIN
from plimsoll.replay.promises import Kept, join_kept, kept, windows_of
from plimsoll.replay.resample import draws, figures
from plimsoll.replay.score import SeriesScores, join, score
from plimsoll.replay.series import SeriesBatch
from plimsoll.replay.split import Half, group_of
from plimsoll.usage.sample import BIN_SECONDS
from plimsoll_cli.progress import progress
from plimsoll_cli.traces.engine import Engine
from plimsoll_cli.traces.parquet import read_trace, trace_files
from plimsoll_cli.traces.tasks import Task, work_off
from report import Row, bench_options, write_results
from train_prior import FOLDS, STRESS, material_of, networks, training_half

COMMAND = "make bench-tried"
PLAIN = "plain"
PRICES = (0.4, 2.5)  # with the one that ships, around both operating points
FADING_HOURS = 48.0  # of an own record, after which half is left of what the class gave
PRIOR_HOURS = 100.0  # of rows that need no shift, which a class of few hours is drawn to
SLOPE_BINS = 6
NO_SHIFT: FloatArray = np.zeros(len(WorkloadClass))


@dataclass(frozen=True, slots=True)
class Change:
    """What differs from the pipeline."""

    starts: str = ""  # "mean", "one row": which shift of a class its rows are given
    rise_bins: float = 1.0  # how often the last bin's rise is taken to come again
    slope_bins: float = 0.0  # for how long the slope of the last half hour is taken to last


CHANGES: Mapping[str, Change] = {
    PLAIN: Change(),
    "starts of a row": Change(starts="mean"),
    "starts of one row": Change(starts="one row"),
    "three rises ahead": Change(rise_bins=3.0),
    "an hour of slope ahead": Change(slope_bins=float(BINS_PER_HOUR)),
}


@dataclass(frozen=True, slots=True)
class Came:
    """What the rows of a replay had come to at its end."""

    shift: FloatArray  # [n]
    hours: FloatArray  # [n] whose promise was closed
    surplus: FloatArray  # [n] exceedances beyond those promised
    code: CodeArray  # [n] the class that was told last


@dataclass(frozen=True, slots=True)
class Found:
    """One replay of some series."""

    key: tuple[str, str, str]  # dataset, change, price
    scores: SeriesScores
    kept: Kept
    came: Came


class Shifted(Memoryless):
    """A model whose every level is moved, row by row."""

    def __init__(self, model: PeakModel, shift: FloatArray) -> None:
        """`shift` [rows of the history] is read anew at each forecast."""
        self.name = model.name
        self._model, self._shift = model, shift

    def fit(self, window: UsageWindow) -> FittedPeak:
        """As the model does."""
        if window.rows is None:
            raise ValueError("a shift is of rows of a history")
        return ShiftedFit(self._model.fit(window), self._shift[window.rows])


@dataclass(frozen=True, slots=True)
class ShiftedFit:
    """What a shifted model says."""

    fitted: FittedPeak
    shift: FloatArray  # [n]

    def predict(self, horizon_seconds: float, levels: FloatArray) -> PeakDistribution:
        """Every level times e^shift."""
        return shifted(self.fitted.predict(horizon_seconds, levels), self.shift)

    def hindcast(self) -> Hindcast:
        """The model's."""
        return self.fitted.hindcast()


class Climbing(LimitPipeline):
    """The pipeline whose guard may look further ahead than one rise of one bin."""

    change = Change()

    def react(self, rows: IntArray, now_seconds: float) -> Raises:
        """As ever; the guard looks at the last half hour."""
        self._slope = slope_of(self.history.five_minute(rows, SLOPE_BINS + 2).astype(np.float64))
        return super().react(rows, now_seconds)

    def _climb(self, recent: FloatArray, limit_bytes: FloatArray) -> FloatArray:
        climbed = super()._climb(recent, limit_bytes)
        usage = peak(recent[:, -2:])
        previous = np.where(np.isnan(recent[:, -1]), recent[:, -3], recent[:, -2])
        last = np.where(np.isnan(previous), 0.0, usage - previous) * self.change.rise_bins
        return np.fmax(
            climbed, ahead(usage, np.fmax(last, self._slope * self.change.slope_bins), limit_bytes)
        )


def slope_of(recent: FloatArray) -> FloatArray:
    """Bytes a bin [n] by which usage rose in the last `SLOPE_BINS` of `recent` [n, bins]: the lesser of the
    mean of all of them and that of the later half; 0: it did not rise.
    """
    now = peak(recent[:, -2:])
    with np.errstate(invalid="ignore"):
        whole = (now - recent[:, -2 - SLOPE_BINS]) / SLOPE_BINS
        later = (now - recent[:, -2 - SLOPE_BINS // 2]) / (SLOPE_BINS // 2)
    return np.fmax(np.nan_to_num(np.minimum(whole, later)), 0.0)


def ahead(usage: FloatArray, rise: FloatArray, limit_bytes: FloatArray, ratio: float = 1.12) -> FloatArray:
    """Limit [n] to rise to where `rise` [n] more would reach it, as `after_climb` does; NaN: none."""
    wanted = ratio * usage + rise
    with np.errstate(invalid="ignore"):
        heading = (rise > 0) & (usage + rise > limit_bytes) & (wanted > limit_bytes)
    return np.where(heading, wanted, np.nan)


@dataclass
class Tried(Promising):
    """The live pipeline with a change."""

    change: Change = Change()
    class_shift: FloatArray | None = None  # [classes]; None: nothing is given

    def start(self, facts: BatchFacts) -> None:
        """Forget all."""
        super().start(facts)
        if self.model is None:
            raise ValueError("what is tried is tried with a model of its own")
        self._given = np.zeros(self._history.capacity)
        settings = self._pipeline.settings
        self._pipeline = Climbing(self._history, settings, Shifted(self.model, self._given))
        self._pipeline.change = self.change
        self._memory = ClassMemory(max(facts.series, 1))
        self._codes: CodeArray = np.zeros(facts.series, dtype=np.int8)

    def recommend(self, bin_index: int) -> Recommendations:
        """As the pipeline does, its rows given what their class is."""
        now = float((FIRST_BIN + bin_index) * BIN_SECONDS)
        window = self._pipeline.look(self._rows, now)
        found = workload_classes(window, self._history.starts(self._rows), now)
        self._codes = self._memory.look(self._rows, found)
        if self.class_shift is not None:
            hours = self._history.promises.record(self._rows).hours
            left = FADING_HOURS / (FADING_HOURS + hours)
            self._given[self._rows] = self.class_shift[self._codes] * left
        return super().recommend(bin_index)

    def came(self) -> Came:
        """What the rows have come to."""
        record = self._history.promises.record(self._rows)
        return Came(record.shift, record.hours, record.exceeded - record.promised, self._codes)


def class_shifts(came: Sequence[Came], how: str) -> FloatArray:
    """The shift [classes] of rows of each class; rows that were told none are as all are."""
    shift, hours, surplus, code = (
        np.concatenate([getattr(each, name) for each in came])
        for name in ("shift", "hours", "surplus", "code")
    )

    def of(among: FloatArray) -> float:
        if how == "one row":
            return float(np.clip(SHIFT_STEP * (among @ surplus), LEAST_SHIFT, MOST_SHIFT))
        return float(among @ (hours * shift) / (among @ hours + PRIOR_HOURS))

    shifts = np.array([of((code == each).astype(np.float64)) for each in WorkloadClass])
    shifts[WorkloadClass.UNKNOWN] = of(np.ones(len(code)))
    return shifts


@dataclass(frozen=True, slots=True)
class Fold:
    """A third of the training half's groups."""

    model: PeakModel  # that the other thirds taught
    sets: list[Dataset]


def main() -> None:
    """Train the folds, replay a half or both, write."""
    parser = options_of("judge changes that were tried and are not there")
    parser.add_argument("--half", type=Half, help="training, or judged; else both")
    options = bench_options(parser)
    begun = time.monotonic()
    brain, weights = judging_brain()
    price, work = shipped_price(brain), partial(worked_off, jobs=options.jobs)
    folds = folds_of(options.traces, options.fraction)
    came = [[each.came for each in work(plain_tasks(fold, price))] for fold in folds]
    rows: list[Row] = []
    if options.half is not Half.JUDGED:
        found: list[Found] = []
        for place, fold in enumerate(folds):
            others = [each for other, list_ in enumerate(came) if other != place for each in list_]
            found += work(tasks(fold.sets, fold.model, price, shifts_of(others)))
        rows += half_rows(found, "training", price)
    given = shifts_of([each for list_ in came for each in list_])
    rows += given_rows(given, sum(len(each.shift) for list_ in came for each in list_))
    if options.half is not Half.TRAINING and brain.model is not None:
        judged = datasets(options.traces, options.fraction)[:2]
        rows += half_rows(work(tasks(judged, brain.model, price, given)), "judged", price)
    for row in rows:
        sure = "" if row.low is None else f"[{row.low:.4g}, {row.high:.4g}] "
        print(f"{row.name:72} {row.value} {sure}{row.unit}")
    name = "tried" if options.half is None else f"tried-{options.half}"
    name += "" if options.fraction == 1 else "-quick"
    print(write_results(name, rows, SEED, time.monotonic() - begun, {"weights": weights}))


def folds_of(traces: Path, fraction: float) -> list[Fold]:
    """The training half in thirds."""
    trained = datasets(traces, fraction, Half.TRAINING)[:2]
    return [Fold(model, [of_groups(each, named) for each in trained]) for named, model in fold_models(traces)]


def plain_tasks(fold: Fold, price: float) -> list[Task[Found]]:
    """The containers of a fold by the pipeline as it is."""
    return tasks(fold.sets[:1], fold.model, price, {PLAIN: None}, (price,))


def shifts_of(came: Sequence[Came]) -> dict[str, FloatArray | None]:
    """What each change gives to rows of a class."""
    return {name: class_shifts(came, each.starts) if each.starts else None for name, each in CHANGES.items()}


def fold_models(traces: Path) -> list[tuple[frozenset[str], PeakModel]]:
    """The training half's groups in thirds, each with networks that the others taught."""
    material = material_of([training_half(read_trace(path)) for path in trace_files([traces])])
    named = np.random.default_rng(SEED).permutation(np.unique(material.plain.group)).tolist()
    folds = [frozenset(named[fold::FOLDS]) for fold in range(FOLDS)]
    everything = frozenset(named) | frozenset(np.unique(material.machines.group).tolist())
    return [(fold, HazardPeak(tuple(networks(material, everything - fold, (1, 1))[1]))) for fold in folds]


def of_groups(dataset: Dataset, named: frozenset[str]) -> Dataset:
    """The series of these groups."""
    batches = [
        batch.take([row for row, name in enumerate(batch.series_ids) if group_of(name) in named])
        for batch in dataset.batches
        if batch.source not in STRESS
    ]
    return replace(dataset, batches=tuple(batch for batch in batches if len(batch)))


def tasks(
    sets: Sequence[Dataset],
    model: PeakModel,
    shipped: float,
    given: Mapping[str, FloatArray | None],
    prices: Sequence[float] = PRICES,
) -> list[Task[Found]]:
    """Every change along the price on containers, and at the price that ships on them and their first day."""
    return [
        Task(
            partial(tried, model=model, price=price, change=CHANGES[name], class_shift=class_shift),
            batch,
            dataset.settings(batch),
            partial(finish, key=(dataset.name, name, f"{price:g}")),
        )
        for name, class_shift in given.items()
        for dataset in sets
        for price in (sorted({*prices, shipped}) if dataset.name == CORE else [shipped])
        for batch in dataset.batches
    ]


def tried(
    _batch: SeriesBatch, model: PeakModel, price: float, change: Change, class_shift: FloatArray | None
) -> ReplayRecommender:
    """The pipeline with a change, at one price."""
    settings = Brain(model).settings()
    return Tried(replace(settings, oom_price=price), model, change=change, class_shift=class_shift)


def finish(replay: LimitReplay, recommender: ReplayRecommender, key: tuple[str, str, str]) -> Found:
    """Score a replay in the process that made it."""
    if not isinstance(recommender, Tried):
        raise TypeError("a replay of something else")
    promised = recommender.promises(windows_of(replay.batch, replay.decide_bins))
    return Found(key, score(replay), kept(replay, promised), recommender.came())


def worked_off(wanted: Sequence[Task[Found]], jobs: int) -> list[Found]:
    """What every task gives."""
    with progress("replays") as report:
        return work_off(wanted, Engine.PROCESSES, jobs, report)


# -- rows -----------------------------------------------------------------------------------------------


def given_rows(given: Mapping[str, FloatArray | None], series: int) -> Iterator[Row]:
    """What rows of each class are given on the judged half."""
    for name, told in given.items():
        for kind in () if told is None else WorkloadClass:
            yield Row(
                f"tried.{slug(name)}.shift.{kind.label}", float(told[kind]), "of the log", series, COMMAND
            )


def half_rows(found: Sequence[Found], half: str, shipped: float) -> Iterator[Row]:
    """Every change's figures on one half, and what they are minus those of the pipeline as it is."""
    prices = [f"{price:g}" for price in sorted({*PRICES, shipped})]

    def scores(dataset: str, name: str, price: str) -> SeriesScores:
        return join([each.scores for each in found if each.key == (dataset, name, price)])

    for dataset in (CORE, COLD):
        plain = scores(dataset, PLAIN, f"{shipped:g}")
        kinds = {"": plain.scored}
        if dataset == CORE:
            growth = SeriesClass.GROWTH.value
            kinds |= {f"{name}.": among for name, among in groups(plain) if name == f"class.{growth}"}
        for kind, among in kinds.items():
            weights = draws(plain, SEED, among)
            drawn, before = Drawn.of(plain, weights, COMMAND), figures(plain, weights)
            for name in CHANGES:
                stem = f"tried.{half}.{slug(name)}.{'' if dataset == CORE else 'first_day.'}{kind}"
                after = figures(scores(dataset, name, f"{shipped:g}"), weights)
                yield from drawn.figures(f"{stem}shipped", after)
                if name != PLAIN:
                    yield from drawn.differences(f"{stem}shipped", after - before, ".minus_plain")
    yield from point_rows({name: [scores(CORE, name, each) for each in prices] for name in CHANGES}, half)
    for name in CHANGES:
        mine = [each for each in found if each.key == (CORE, name, f"{shipped:g}")]
        yield from kept_rows(mine, f"tried.{half}.{slug(name)}")


def point_rows(curves: Mapping[str, list[SeriesScores]], half: str) -> Iterator[Row]:
    """At slack .268 and at 76 kills."""
    plain = curves[PLAIN][0]
    weights = draws(plain, SEED)
    among = Drawn.of(plain, weights, COMMAND)
    points = {name: at_points(scores, weights) for name, scores in curves.items()}
    for name, columns in points.items():
        minus = (columns - points[PLAIN]).T
        for (title, unit), values, difference in zip(FIGURES, columns.T, minus, strict=True):
            stem = f"tried.{half}.{slug(name)}.{title}"
            most = among.unseen_kills if title.startswith("oom") else np.nan
            yield among.figure(stem, values, unit, most)
            if name != PLAIN:
                yield among.difference(f"{stem}.minus_plain", difference, unit, most)


def kept_rows(found: Sequence[Found], stem: str) -> Iterator[Row]:
    """Realised over promised chances at the price that ships: of all, and by the class told in the end."""
    scores, sums = join([each.scores for each in found]), join_kept([each.kept for each in found])
    codes = np.concatenate([each.came.code for each in found])
    everything = draws(scores, SEED)
    yield Drawn.of(scores, everything, COMMAND).ratio(f"{stem}.realised_over_promised", sums, everything)
    for kind in WorkloadClass:
        if (scores.scored & (codes == kind)).any():
            weights = draws(scores, SEED, codes == kind)
            among = Drawn.of(scores, weights, COMMAND)
            yield among.ratio(f"{stem}.{kind.label}.realised_over_promised", sums, weights)


def slug(name: str) -> str:
    """A change's name in a row's."""
    return name.replace(",", "").replace(" ", "_")


if __name__ == "__main__":
    main()
