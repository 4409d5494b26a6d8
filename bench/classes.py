"""What a class that is found online is worth: does it agree with the class of the whole series, are promises
kept by it, and does it pay to correct promises and prices by it?

In: recorded traces (their judged half; Plimsoll decides with weights of the training half). Out:
bench/results/classes.json. The scoring classifier sees the whole series, bursts to come included; the online
one walks along it hour by hour. Promises are told by the class that was told when each was made. Then the
tail is corrected class by class: by as much as promises of that class were broken in the other half of the
groups, with a prior of PRIOR_EXCEEDANCES kept promises, and the series are replayed once more.

    python bench/classes.py --traces DIRECTORY [--fraction 0.1]
"""

import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from arms import Brain, Promising
from drawn import Drawn
from forecast import CORE, SEED, Dataset, datasets, judging_brain, read_options
from plimsoll.forecast.window import BINS_PER_DAY, FloatArray
from plimsoll.forecast.workload_class import ClassMemory, CodeArray, WorkloadClass, workload_classes
from plimsoll.pipeline import PipelineSettings
from plimsoll.recommend.recommendation import Recommendations
from plimsoll.recommend.row_policy import RowPolicy
from plimsoll.replay.classes import SeriesClass, classify
from plimsoll.replay.limits import BatchFacts, replay_limits
from plimsoll.replay.live import FIRST_BIN
from plimsoll.replay.promises import Kept, join_kept, kept, windows_of
from plimsoll.replay.resample import UNSEEN_EVENTS, draws, figures
from plimsoll.replay.score import SeriesScores, join, score
from plimsoll.replay.series import SeriesBatch
from plimsoll.replay.split import fraction_of, group_of
from plimsoll.usage.sample import BIN_SECONDS
from report import Row, write_results

COMMAND = "make bench-classes"
# What the scoring classifier does not tell apart counts as agreement with what it calls it.
REFINES = {
    WorkloadClass.WEEKLY: SeriesClass.DIURNAL,
    WorkloadClass.STARTUP_PEAK: SeriesClass.SAWTOOTH,
    WorkloadClass.UNKNOWN: SeriesClass.IDLE,
}
PRIOR_EXCEEDANCES = 20.0
UNCORRECTED: FloatArray = np.ones(len(WorkloadClass))


@dataclass
class Classed(Promising):
    """The live pipeline, which notes the class it is told at every decision, and may be corrected by it."""

    factors: FloatArray | None = None  # [classes] of the chance of an exceedance; None: it is believed

    def start(self, facts: BatchFacts) -> None:
        """Forget all."""
        super().start(facts)
        self._memory = ClassMemory(max(facts.series, 1))
        self._told: dict[int, CodeArray] = {}

    def recommend(self, bin_index: int) -> Recommendations:
        """As the pipeline does, at a price that is as much higher as promises of the class were broken.

        A factor of a small chance is an offset of its log odds, and price x chance has only one of them.
        """
        now = float((FIRST_BIN + bin_index) * BIN_SECONDS)
        window = self._pipeline.look(self._rows, now)
        found = workload_classes(window, self._history.starts(self._rows), now)
        codes = self._told[bin_index // self._every] = self._memory.look(self._rows, found)
        if self.factors is not None:
            prices = self._pipeline.settings.oom_price * self.factors[codes]
            said = [RowPolicy(oom_price=price) for price in prices.tolist()]
            self._pipeline.observe_policies(self._rows, said)
        return super().recommend(bin_index)

    def promises(self, windows: int) -> FloatArray:
        """[n, windows], corrected; NaN where none was made."""
        factors = UNCORRECTED if self.factors is None else self.factors
        return np.minimum(super().promises(windows) * factors[self.told(windows)], 1.0)

    def told(self, windows: int) -> CodeArray:
        """The class [n, windows] at each decision."""
        codes = np.zeros((self._series, windows), dtype=np.int8)
        for window, each in self._told.items():
            codes[:, window] = each
        return codes


@dataclass(frozen=True, slots=True)
class Found:
    """What a replay of some series came to; each series' promises by the class that was told."""

    scores: SeriesScores
    last: CodeArray  # [n] the class at the end
    changes: float  # how often the class that is told became another
    by_class: Mapping[WorkloadClass, Kept]


def main() -> None:
    """Replay, correct, replay, write."""
    options = read_options()
    begun = time.monotonic()
    brain, weights = judging_brain()
    (core,) = (each for each in datasets(options.traces, options.fraction) if each.name == CORE)
    plain = [replayed(core, batch, brain, None) for batch in core.batches]
    rows = [*agreement_rows(core, plain), *kept_rows("calibration", joined(plain))]
    rows += corrected_rows(plain, crossed(core, brain, plain))
    for row in rows:
        sure = "" if row.low is None else f"[{row.low:.4g}, {row.high:.4g}] "
        print(f"{row.name:52} {row.value} {sure}{row.unit}")
    name = "classes" if options.fraction == 1 else "classes-quick"
    print(write_results(name, rows, SEED, time.monotonic() - begun, {"weights": weights}))


def replayed(core: Dataset, batch: SeriesBatch, brain: Brain, factors: FloatArray | None) -> Found:
    """One batch through the pipeline, at what it asks for by default."""
    settings: PipelineSettings = brain.settings()
    recommender = Classed(settings, brain.model, factors=factors)
    replay = replay_limits(batch, recommender, core.settings(batch))
    windows = windows_of(batch, replay.decide_bins)
    promised, told = recommender.promises(windows), recommender.told(windows)
    before, after = told[:, :-1], told[:, 1:]
    alive = np.isfinite(promised[:, 1:]) & (before != WorkloadClass.UNKNOWN)
    by_class = {
        each: kept(replay, np.where(told == each, promised, np.nan))
        for each in WorkloadClass
        if (np.isfinite(promised) & (told == each)).any()
    }
    ends = np.maximum(-(-batch.length_bins // replay.decide_bins) - 1, 0)
    last = told[np.arange(len(batch)), ends]
    return Found(score(replay), last, float(np.count_nonzero((before != after) & alive)), by_class)


def joined(found: Sequence[Found]) -> tuple[SeriesScores, dict[WorkloadClass, Kept]]:
    """The series of several replays."""
    scores = join([each.scores for each in found])
    codes = sorted({code for each in found for code in each.by_class})
    empty = {code: [each.by_class.get(code) or nothing(each) for each in found] for code in codes}
    return scores, {code: join_kept(parts) for code, parts in empty.items()}


def nothing(found: Found) -> Kept:
    """No promise of any series."""
    one = next(iter(found.by_class.values()))
    return Kept(*(np.zeros_like(column) for column in (one.windows, one.promised, one.realised)))


def factors_of(by_class: Mapping[WorkloadClass, Kept], among: FloatArray) -> FloatArray:
    """By how much [classes] a chance was too small in the series that `among` [n] weighs; 1: not known."""
    factors = UNCORRECTED.copy()
    for code, each in by_class.items():
        promised, came = (float((among @ part).sum()) for part in (each.promised, each.realised))
        factors[code] = (PRIOR_EXCEEDANCES + came) / (PRIOR_EXCEEDANCES + promised)
    return factors


def crossed(core: Dataset, brain: Brain, plain: Sequence[Found]) -> list[Found]:
    """Every batch again, each half of its groups corrected by what came of the other half."""
    scores, by_class = joined(plain)
    first = np.array([in_first(name) for name in scores.series_id])
    halves = {True: factors_of(by_class, (~first).astype(float)), False: factors_of(by_class, first * 1.0)}
    out = []
    for half, factors in halves.items():
        for batch in core.batches:
            mine = batch.take([i for i, name in enumerate(batch.series_ids) if in_first(name) is half])
            if len(mine):
                out.append(replayed(core, mine, brain, factors))
    return out


def in_first(series_id: str) -> bool:
    """Whether a series' group is in the first half of groups."""
    return fraction_of(group_of(series_id), SEED + 1) < 0.5


def agreement_rows(core: Dataset, found: Sequence[Found]) -> Iterator[Row]:
    """How many series end with the class that the whole of them has; idle ones are left out."""
    same: Counter[str] = Counter()
    count: Counter[str] = Counter()
    for batch, each in zip(core.batches, found, strict=True):
        for index, length in enumerate(batch.length_bins.tolist()):
            truth = classify(batch.usage_bytes[index, :length])
            if truth is SeriesClass.IDLE:
                continue
            agrees = agree(truth, WorkloadClass(each.last[index]))
            for name in ("all", f"source.{batch.source}", f"class.{truth.value}"):
                count[name] += 1
                same[name] += agrees
    for name, n in count.items():
        yield Row(f"classes.agreement.{name}", same[name] / n, "share of the series", n, COMMAND)
    days = sum(float(np.isfinite(batch.usage_bytes).sum()) for batch in core.batches) / BINS_PER_DAY
    changes = sum(each.changes for each in found) / days
    yield Row("classes.changes", changes, "1/container-day", sum(len(b) for b in core.batches), COMMAND)


def agree(truth: SeriesClass, told: WorkloadClass) -> bool:
    """Whether an online class is that of the whole series, or a part of it."""
    return REFINES.get(told, told.label) == truth.value


def kept_rows(title: str, found: tuple[SeriesScores, dict[WorkloadClass, Kept]]) -> Iterator[Row]:
    """Promised, realised and their ratio by the class that was told; and what burst in hindsight."""
    scores, by_class = found
    weights = draws(scores, SEED)
    bursty = (scores.series_class == SeriesClass.BURSTY.value) * weights[0]
    for code, each in by_class.items():
        windows = int((weights[0] @ each.windows).sum())
        among = told_so(scores, weights, each)
        name = f"classes.{title}.{code.label}"
        promised, realised = (weights @ column.sum(axis=1) for column in (each.promised, each.realised))
        yield among.figure(f"{name}.promised", promised, "windows of an hour")
        yield among.figure(f"{name}.realised", realised, "windows of an hour", UNSEEN_EVENTS)
        yield among.ratio(f"{name}.realised_over_promised", each, weights)
        kills = float((bursty @ each.realised).sum())
        yield Row(f"{name}.of_series_that_are_bursty", kills, "windows with a kill", windows, COMMAND)


def told_so(scores: SeriesScores, weights: FloatArray, each: Kept) -> Drawn:
    """What draws of one class are of: windows in which it was told, and the groups that have any."""
    here = weights * (each.windows.sum(axis=1) > 0)
    return replace(Drawn.of(scores, here, COMMAND), n=int((weights[0] @ each.windows).sum()))


def corrected_rows(plain: Sequence[Found], corrected: Sequence[Found]) -> Iterator[Row]:
    """What the correction does to kills, slack and changes, and to promises."""
    scores, by_class = joined(plain)
    changed, changed_by_class = joined(corrected)
    place = {name: index for index, name in enumerate(changed.series_id)}
    order = np.array([place[name] for name in scores.series_id])
    weights = draws(scores, SEED)
    among = Drawn.of(scores, weights, COMMAND)
    factors = factors_of(by_class, np.ones(len(scores)))
    for code in by_class:
        yield Row(f"classes.factor.{code.label}", float(factors[code]), "of the chance", among.n, COMMAND)
    reordered = np.zeros_like(weights)
    reordered[:, order] = weights
    before, after = figures(scores, weights), figures(changed, reordered)
    yield from among.figures("classes.plain", before)
    yield from among.figures("classes.corrected", after)
    yield from among.differences("classes.corrected", after - before, ".minus_plain")
    yield from kept_rows("corrected", (changed, changed_by_class))


if __name__ == "__main__":
    main()
