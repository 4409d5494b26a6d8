"""Which predictor sees memory pressure coming: tables and bench/results/pressure.json.

In: runs under stress, recorded on a real kernel (`--recordings FILES`) or, without any, made by a MODEL of
a kernel (`pressure_kernel.py`), in which case every row's name says `model`. Each pattern of stress is
judged by networks trained on the other patterns only; every predictor starts anew in each run and learns as
it goes. Out: log loss, Brier score, AUC (over all samples, and over those made while calm), accuracy by
band of memory used, the first 200 predictions apart, time per prediction with update, bytes of state, and
what acting on forecasts does to OOM kills, compactions and response time (in the model).

    make bench-pressure [BENCH_ARGS="--seeds 8 --recordings build/pressure/*.jsonl.gz"]
"""

import argparse
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from plimsoll.pressure import registry
from plimsoll.pressure.guarded import Guarded
from plimsoll.pressure.outcome import Outcomes
from plimsoll.pressure.protocol import FloatArray, PressurePredictor, Source
from plimsoll.pressure.sample import ScopeKind
from plimsoll.pressure.weights import Weights
from pressure_cost import cost_rows
from pressure_data import Judged, Run, modelled, recorded
from pressure_scores import BANDS, FIRST, Said, accuracy, auc, band_of, brier, interval, loss
from pressure_training import Trained, prepared, rows_of, teacher_says, train
from pressure_trial import trial_rows
from report import Row, bench_options, write_results

SEED = 7
SEEDS = 8
TEACHER, UNGUARDED = "trees (teacher)", "boosted-unguarded"
ORDER = (*registry.NAMES, UNGUARDED, TEACHER)
CHOSEN = registry.DEFAULT


@dataclass(frozen=True, slots=True)
class Fold:
    """What is judged, and the networks that have not seen it."""

    runs: tuple[Judged, ...]
    trained: Trained


def main() -> None:
    """Make or read runs, train, judge, print, write."""
    parser = argparse.ArgumentParser(description="pressure predictors compared")
    parser.add_argument("--seeds", type=int, default=SEEDS, help="runs of the model per pattern and level")
    parser.add_argument("--recordings", type=Path, nargs="*", default=[])
    parser.add_argument("--no-trial", action="store_true", help="leave out what acting on forecasts does")
    arguments = bench_options(parser)
    began = time.monotonic()
    runs = list(recorded(arguments.recordings)) or list(modelled(range(arguments.seeds)))
    source = "recorded" if arguments.recordings else "model"
    command = f"make bench-pressure BENCH_ARGS='--seeds {arguments.seeds}'"
    folds = list(left_out(runs))
    said = {
        name: Said.joined([said_by(name, fold, number) for number, fold in enumerate(folds)])
        for name in ORDER
    }
    show(said, source)
    rows = quality_rows(said, source, command) + cost_rows(
        folds[0].runs[-1], as_weights(folds[0].trained), command
    )
    beside = {"source": source}
    path = write_results("pressure", rows, SEED, time.monotonic() - began, beside)
    if not arguments.no_trial:
        trained = {fold.runs[0].run.pattern: as_weights(fold.trained) for fold in folds}
        rows += trial_rows(trained, arguments.seeds, command)
        path = write_results("pressure", rows, SEED, time.monotonic() - began, beside)
    print(f"wrote {path.name}; runs: {len(runs)} ({source})")


def left_out(runs: Sequence[Run]) -> "list[Fold]":
    """One fold a pattern: judged on it, trained on all others."""
    folds = []
    ready = [prepared(run) for run in runs]
    for pattern in dict.fromkeys(run.pattern for run in runs):
        others = [one for one in ready if one.judged.run.pattern != pattern]
        mine = tuple(one.judged for one in ready if one.judged.run.pattern == pattern)
        folds.append(Fold(mine, train(others, SEED)))
        print(f"trained without {pattern}", flush=True)
    return folds


def as_weights(trained: Trained) -> Weights:
    """As they would ship."""
    return Weights(trained.boosted, trained.gru, trained.mlp4, {})


def maker(name: str, weights: Weights) -> Callable[[ScopeKind, int], PressurePredictor]:
    """How a fresh predictor of this name is made."""
    if name == UNGUARDED:
        return lambda kind, _: Guarded(name, weights.boosted, kind, guard=False)
    return lambda kind, seed: registry.predictor(name, kind, weights, seed)


def said_by(name: str, fold: Fold, first: int) -> Said:
    """What this predictor said in every run of the fold."""
    if name == TEACHER:
        return Said.joined(
            [_said_by_trees(fold.trained, one, first * 1000 + at) for at, one in enumerate(fold.runs)]
        )
    make = maker(name, as_weights(fold.trained))
    return Said.joined(
        [played(make(one.run.kind, at), one, first * 1000 + at) for at, one in enumerate(fold.runs)]
    )


def played(predictor: PressurePredictor, one: Judged, number: int) -> Said:
    """One run, sample by sample: forecast, and learn what came of earlier ones."""
    outcomes = Outcomes()
    probability, fallback = [], []
    for sample in one.samples:
        for done in outcomes.see(sample):
            predictor.update(done.forecast, done.pressure)
        forecast = predictor.predict(sample, sample.seconds)
        outcomes.expect(forecast)
        probability.append(forecast.probability)
        fallback.append(forecast.source is Source.FALLBACK)
    return said_of(one, np.array(probability), np.array(fallback), number)


def _said_by_trees(trained: Trained, one: Judged, number: int) -> Said:
    probability = np.full(len(one.samples), np.nan)
    known = ~np.isnan(one.came)
    probability[known] = teacher_says(trained.trees, rows_of(one).features)
    return said_of(one, probability, np.zeros(len(probability), dtype=bool), number)


def said_of(one: Judged, probability: FloatArray, fallback: FloatArray, number: int) -> Said:
    """Join what was said to what came; a predictor that said nothing is taken to have said one half."""
    kept = ~np.isnan(one.came)
    return Said(
        np.where(np.isnan(probability), 0.5, probability)[kept],
        one.came[kept],
        one.pressed[kept] == 1.0,
        one.used_ratio[kept],
        np.arange(len(probability))[kept],
        np.full(int(kept.sum()), number),
        fallback[kept],
    )


# -- what is shown and written ------------------------------------------------------------------------------


def show(said: Mapping[str, Said], source: str) -> None:
    """The tables."""
    any_said = next(iter(said.values()))
    print(
        f"\n{source}: {len(any_said.came)} predictions, {any_said.came.mean():.1%} met pressure, "
        f"{any_said.came[~any_said.pressed].mean():.1%} of those made while calm"
    )
    head = (
        "predictor",
        "loss",
        "loss<200",
        "loss calm",
        "brier",
        "auc",
        "auc calm",
        "auc calm<200",
        "acc %",
        "fallback %",
    )
    print(" | ".join(head))
    for name, one in said.items():
        first, calm = one.take(one.index < FIRST), one.take(~one.pressed)
        both = first.take(~first.pressed)
        figures = (loss(one), loss(first), loss(calm), brier(one), auc(one), auc(calm), auc(both))
        print(
            " | ".join(
                [
                    f"{name:18}",
                    *(f"{figure:.4f}" for figure in figures),
                    f"{100 * accuracy(one):.2f}",
                    f"{100 * one.fallback.mean():.1f}",
                ]
            )
        )
    print("accuracy % by band of memory used: " + " | ".join(BANDS))
    for name, one in said.items():
        print(
            f"{name:18} | "
            + " | ".join(f"{100 * accuracy(one.take(band_of(one, band))):.2f}" for band in BANDS)
        )


FIGURES: dict[str, tuple[Callable[[Said], float], str]] = {
    "log_loss": (loss, "nats"),
    "brier": (brier, "1"),
    "auc": (auc, "1"),
}


def quality_rows(said: Mapping[str, Said], source: str, command: str) -> list[Row]:
    """Rows of the chosen predictor, with all others beside it."""
    parts: dict[str, Callable[[Said], Said]] = {
        "": lambda one: one,
        ".first_200": lambda one: one.take(one.index < FIRST),
        ".calm": lambda one: one.take(~one.pressed),
    }
    rows = []
    for part, chosen in parts.items():
        cut = {name: chosen(one) for name, one in said.items()}
        for figure, (measure, unit) in FIGURES.items():
            rows.append(_row(f"pressure.{source}.{figure}{part}", cut, measure, unit, command))
    for band in BANDS:
        cut = {name: one.take(band_of(one, band)) for name, one in said.items()}
        rows.append(_row(f"pressure.{source}.accuracy_percent.{band}", cut, _accuracy_percent, "%", command))
    if source == "model":
        why = "needs a recording of a real kernel: see docs/pressure.md"
        rows += [Row(f"pressure.accuracy_percent.{band}", None, "%", 0, command, why=why) for band in BANDS]
    return rows


def _accuracy_percent(said: Said) -> float:
    return 100.0 * accuracy(said)


def _row(
    name: str, cut: Mapping[str, Said], measure: Callable[[Said], float], unit: str, command: str
) -> Row:
    mine = cut[CHOSEN]
    low, high = interval(mine, measure, SEED)
    against = {peer: measure(one) for peer, one in cut.items() if peer != CHOSEN}
    return Row(name, measure(mine), unit, len(mine.came), command, low, high, against)


if __name__ == "__main__":
    main()
