"""What a model learned on kube node A is worth to the same image on node B, beside a cold start.

In: a directory of page traces (`.pgt`) of real programs. Out: bench/results/share.json. An hour is 240 looks
of 15 seconds, as the agent's. Two containers of one image are made of one recording: its earlier and later
half, or two halves of its memory in the first hour (areas of 128 KiB, drawn by a seed). A learns for its
hour; what it would hand in goes through the bytes of the wire. B begins with nothing, with A's model, or with
that of another program, with the agent's own guard and without. Hazards of idle pages steer a closed loop
(`survival`, a refault budget of 1 %); reuse tables are judged by their forecasts and in `GuardedReclaim`.
Intervals are from a bootstrap over programs, all pairs of a program together.

    python bench/share.py --traces DIRECTORY [--jobs 2] [--share 0.1] [--seeds 3]
"""

import argparse
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import numpy as np

from pages import trace_paths
from plimsoll.pages.epochs import EpochBits, EpochView, FloatArray, cut
from plimsoll.pages.guarded_plan import GuardedReclaim
from plimsoll.pages.survival import Returns, SurvivalModel, deviance
from plimsoll.pages.working_set import IdleAges
from plimsoll.store.letters import Given, given_payload, read_given
from plimsoll.store.shared_kinds import (
    KINDS_SHARED,
    PAGES,
    REUSE,
    page_hazard,
    page_vector,
    reuse_predictor,
    reuse_vector,
)
from plimsoll.store.trying import Tried
from plimsoll_cli.output import OutputFormat, print_rows
from plimsoll_cli.traces.pgt import read_pages
from report import Row, bench_options, write_results

SEED, RESAMPLES = 7, 2000
LOOKS, LOOK_SECONDS = 240, 15.0  # an hour
TARGET = 0.01  # refaults per page of a minute's working set, each minute
AREA_PAGES_LOG2, BLOCK_PAGES_LOG2 = 5, 4
PAGE_BYTES = 4096.0
COLD, SAME, OTHER, UNGUARDED = "cold", "same image", "another image", "another image, unguarded"
ARMS = (COLD, SAME, OTHER, UNGUARDED)
EDGES = np.append(LOOK_SECONDS * np.arange(LOOKS + 1), np.inf)
COMMAND = "make bench-share PAGE_TRACES=directory"


@dataclass(frozen=True, slots=True)
class Hour:
    """One container's first hour from one start."""

    trace: str
    pair: str
    kind: str
    arm: str
    refaults: int  # pages or blocks that came back
    out: int  # page-looks that were out of memory
    loss: (
        float  # of all forecasts, the container's own learning included: MiB of deviance, or octaves squared
    )
    first_loss: float  # of the first ten minutes
    refused: bool  # by the guard


@dataclass(frozen=True, slots=True)
class Pair:
    """Two containers of one image."""

    trace: str
    name: str
    one: EpochView
    other: EpochView


def main() -> None:
    """Replay, reckon, print, write."""
    options = read_options()
    begun = time.monotonic()
    paths = trace_paths(options.traces)
    run = partial(hours_of_trace, seeds=options.seeds)
    with ProcessPoolExecutor(options.jobs) as workers:
        views = list(workers.map(partial(view_of, share=options.share), paths))
        models = list(workers.map(models_of, views))
        strangers = [models[(at + 1) % len(models)] for at in range(len(models))]
        found = [hour for hours in workers.map(run, paths, views, strangers) for hour in hours]
    rows = list(rows_of(found))
    print_rows([brief(row) for row in rows], OutputFormat.TABLE)
    name = "share" if options.share == 1 else "share-quick"
    beside = {"hours": [asdict(each) for each in found], "lost": lost(found)}
    print(write_results(name, rows, SEED, time.monotonic() - begun, beside))


def read_options() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description="measure what shared models are worth to a new container")
    parser.add_argument("--traces", type=Path, required=True, help="a directory of .pgt files")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--share", type=float, default=1.0, help="of each trace, to try it out")
    parser.add_argument("--seeds", type=int, default=3, help="ways to cut a memory in two")
    return bench_options(parser)


# -- containers of one image --------------------------------------------------------------------------------


def view_of(path: Path, share: float) -> EpochView:
    """Two hours of looks."""
    trace = read_pages(path)
    return cut(trace.head(max(1, int(share * len(trace)))), 2 * LOOKS)


def pairs_of(path: Path, view: EpochView, seeds: int) -> Iterator[Pair]:
    """The later hour after the earlier one, and halves of the memory in the earlier one, by seed."""
    halves = part(view, slice(0, LOOKS)), part(view, slice(LOOKS, 2 * LOOKS))
    yield Pair(path.stem, "earlier to later", *halves)
    areas = view.page >> AREA_PAGES_LOG2
    for seed in range(seeds):
        drawn = np.random.default_rng(SEED + seed).random(int(areas.max()) + 1) < 0.5
        mine = drawn[areas]
        parts = part(view, slice(0, LOOKS), mine), part(view, slice(0, LOOKS), ~mine)
        yield Pair(path.stem, f"half of the memory, seed {seed}", *parts)


def part(view: EpochView, looks: slice, pages: np.ndarray | None = None) -> EpochView:
    """Some looks at some pages; those that are never touched in them are not there."""
    accessed, written = view.accessed[looks], view.written[looks]
    keep = accessed.any(axis=0) if pages is None else accessed.any(axis=0) & pages
    return EpochView(view.page[keep], accessed[:, keep], written[:, keep])


def blocks(view: EpochView) -> EpochView:
    """The same by blocks of 64 KiB, as plans by address see them."""
    page, first = np.unique(view.page >> BLOCK_PAGES_LOG2, return_index=True)
    accessed, written = (
        np.logical_or.reduceat(each, first, axis=1) for each in (view.accessed, view.written)
    )
    return EpochView(page, accessed, written)


# -- what a node hands in, and what another begins with -----------------------------------------------------


def models_of(view: EpochView) -> dict[str, FloatArray]:
    """What a container of this program has learned in the first hour: another image to everybody else."""
    view = part(view, slice(0, LOOKS))
    return {PAGES: learned_pages(view), REUSE: learned_reuse(view)}


def learned_pages(view: EpochView) -> FloatArray:
    """Hazards, as they come over the wire."""
    model = SurvivalModel()
    for _ in loop(view, model):
        pass
    return over_the_wire(PAGES, page_vector(model.hazard))


def learned_reuse(view: EpochView) -> FloatArray:
    """Reuse tables, as they come over the wire."""
    plan = GuardedReclaim(blocks(view).page.astype(np.int64), TARGET)
    for _ in plan_loop(blocks(view), plan):
        pass
    return over_the_wire(REUSE, reuse_vector(plan.learner.predictor))


def over_the_wire(kind: str, vector: FloatArray) -> FloatArray:
    """What is left of a vector after both ends' bytes."""
    return read_given(kind, given_payload(Given(1, vector))).use


def hours_of_trace(path: Path, view: EpochView, stranger: dict[str, FloatArray], seeds: int) -> list[Hour]:
    """All pairs of one program, by kind and arm."""
    found = []
    for pair in pairs_of(path, view, seeds):
        pages = {
            COLD: None,
            SAME: learned_pages(pair.one),
            OTHER: stranger[PAGES],
            UNGUARDED: stranger[PAGES],
        }
        found += [pages_hour(pair, arm, start) for arm, start in pages.items()]
        tables = {COLD: None, SAME: learned_reuse(pair.one), OTHER: stranger[REUSE]}
        found += [reuse_hour(pair, arm, start) for arm, start in tables.items()]
        print(f"{path.stem}: {pair.name}", file=sys.stderr, flush=True)
    return found


# -- hazards of idle pages ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Looked:
    """What one look showed: returns that were foretold before it, pages that came back, pages out."""

    seen: Returns | None
    loss: float
    refaults: int
    out: int


def pages_hour(pair: Pair, arm: str, start: FloatArray | None) -> Hour:
    """One container under `survival`, from one start."""
    model, tried = SurvivalModel(), Tried(KINDS_SHARED[PAGES].ships())
    if start is not None:
        tried.take(Given(1, start), "given")
        model.prior = page_hazard(start)
    looks = []
    for looked in loop(pair.other, model):
        looks.append(looked)
        if looked.seen is not None and arm in {SAME, OTHER}:
            seen = looked.seen
            if tried.judge(lambda vector, seen=seen: deviance(page_hazard(vector), seen)):
                model.prior = SurvivalModel().prior
    losses = np.array([each.loss for each in looks])
    return Hour(
        pair.trace, pair.name, PAGES, arm,
        sum(each.refaults for each in looks), sum(each.out for each in looks),
        float(np.nanmean(losses)), float(np.nanmean(losses[: LOOKS // 6])), bool(tried.refused),
    )  # fmt: skip


def loop(view: EpochView, model: SurvivalModel) -> Iterator[Looked]:
    """Reclaim by idle ages, look by look: touched pages come back, what is cold by the model goes out."""
    last = np.full(view.footprint_pages, -1)
    out = np.zeros(view.footprint_pages, dtype=np.bool_)
    before: IdleAges | None = None
    taken = 0
    for look, accessed in enumerate(view.accessed):
        refaults = int((out & accessed).sum())
        out &= ~accessed
        last[accessed] = look
        ages = idle_ages(look - last[(last >= 0) & ~out])
        hazard = model.hazard
        seen = (
            None
            if before is None
            else model.observe(before, ages, LOOK_SECONDS, taken * PAGE_BYTES, refaults * PAGE_BYTES)
        )
        loss = float("nan") if seen is None else deviance(hazard, seen)
        minute = ages.working_set_bytes(60.0)
        threshold = model.threshold_seconds(ages, TARGET * minute / 60.0)
        going = (last >= 0) & ~out & ((look - last) * LOOK_SECONDS >= threshold)
        out |= going
        before, taken = ages, int(going.sum())
        yield Looked(seen, loss, refaults, int(out.sum()))


def idle_ages(looks_ago: np.ndarray) -> IdleAges:
    """A histogram of pages by when they were last touched."""
    counts = np.bincount(looks_ago, minlength=LOOKS + 1).astype(np.float64)
    return IdleAges(EDGES, counts * PAGE_BYTES)


# -- reuse tables -------------------------------------------------------------------------------------------


def reuse_hour(pair: Pair, arm: str, start: FloatArray | None) -> Hour:
    """One container under `GuardedReclaim` by blocks, from one start."""
    view, tried = blocks(pair.other), Tried(KINDS_SHARED[REUSE].ships())
    predictor = None if start is None else reuse_predictor(start)
    plan = GuardedReclaim(view.page.astype(np.int64), TARGET, predictor)
    if start is not None:
        tried.take(Given(1, start), "given")
    losses, refaults, outs = [], 0, 0
    for loss, came, out in plan_loop(view, plan):
        losses.append(loss)
        refaults, outs = refaults + came, outs + out
        taught = plan.learner.taught
        if taught is not None and arm in {SAME, OTHER}:

            def of(vector: FloatArray, taught=taught) -> float:  # noqa: ANN001
                said = vector[taught.cells].sum(axis=1) + vector[-1]
                return float(np.mean((said - taught.octaves) ** 2))

            if tried.judge(of) and plan.learner.predictor.samples < LEAST_SAMPLES:
                plan.learner.predictor.tables[:] = KINDS_SHARED[REUSE].ships()
    known = np.array(losses)
    return Hour(
        pair.trace, pair.name, REUSE, arm, refaults, outs,
        float(np.nanmean(known)), float(np.nanmean(known[: LOOKS // 6])), bool(tried.refused),
    )  # fmt: skip


LEAST_SAMPLES = 128  # as `AddressPlan.start_from`: with more of its own a container keeps its tables


def plan_loop(view: EpochView, plan: GuardedReclaim) -> Iterator[tuple[float, int, int]]:
    """Look by look: loss of what was foretold, blocks that came back, blocks out. What is planned is done."""
    touched = np.zeros(view.footprint_pages, dtype=np.bool_)
    out = np.zeros_like(touched)
    for accessed, written in zip(view.accessed, view.written, strict=True):
        came = int((out & accessed).sum())
        touched |= accessed
        out &= ~accessed
        chosen = plan.step(EpochBits(accessed, written, touched & ~out))
        plan.took(chosen)
        out[chosen] = True
        taught = plan.learner.taught
        yield (float("nan") if taught is None else plan.learner.squared_error), came, int(out.sum())


# -- figures ------------------------------------------------------------------------------------------------

FIGURES: dict[str, tuple[str, Callable[[Hour], float]]] = {
    "refaults": ("of a cold start's", lambda each: each.refaults),
    "out": ("of a cold start's", lambda each: each.out),
    "refaults_per_out": ("of a cold start's", lambda each: (each.refaults + 1.0) / (each.out + 1.0)),
    "loss": ("of a cold start's", lambda each: each.loss),
    "first_loss": ("of a cold start's", lambda each: each.first_loss),
}


def rows_of(found: Sequence[Hour]) -> Iterator[Row]:
    """By kind: each figure as a share of the cold start's, the geometric mean over pairs."""
    for kind in (PAGES, REUSE):
        here = [each for each in found if each.kind == kind]
        for figure, (unit, value) in FIGURES.items():
            logs = {arm: some for arm in ARMS[1:] if (some := ratios(here, arm, value))}
            low, high = interval(logs[SAME])
            against: dict[str, float | None] = {arm: mean(each) for arm, each in logs.items() if arm != SAME}
            count = sum(map(len, logs[SAME].values()))
            name = f"share.{kind}.{figure}"
            yield Row(name, mean(logs[SAME]), unit, count, COMMAND, low, high, against)
        for arm in (SAME, OTHER):
            share = float(np.mean([each.refused for each in here if each.arm == arm]))
            name = f"share.{kind}.refused.{arm.replace(' ', '_')}"
            yield Row(name, share, "of the containers", sum(map(len, logs[arm].values())), COMMAND)


def ratios(found: Sequence[Hour], arm: str, value: Callable[[Hour], float]) -> dict[str, list[float]]:
    """By program the logs of figures over the cold start's; one more of each, for some are 0 refaults."""
    cold = {(each.trace, each.pair): value(each) for each in found if each.arm == COLD}
    logs: dict[str, list[float]] = {}
    for each in found:
        if each.arm == arm:
            more = 1.0 if isinstance(value(each), int) else 1e-9
            log = np.log((value(each) + more) / (cold[each.trace, each.pair] + more))
            logs.setdefault(each.trace, []).append(float(log))
    return logs


def mean(logs: dict[str, list[float]]) -> float:
    """The geometric mean over all pairs."""
    return float(np.exp(np.mean([each for some in logs.values() for each in some])))


def interval(logs: dict[str, list[float]]) -> tuple[float, float]:
    """95 %: programs drawn with replacement."""
    means = np.array([np.mean(each) for each in logs.values()])
    drawn = np.random.default_rng(SEED).choice(means, (RESAMPLES, len(means))).mean(axis=1)
    low, high = np.exp(np.percentile(drawn, [2.5, 97.5]))
    return float(low), float(high)


def lost(found: Sequence[Hour]) -> list[dict[str, object]]:
    """Pairs that did worse by A's model than cold, worst first."""
    cold = {(each.kind, each.trace, each.pair): each for each in found if each.arm == COLD}
    rows = []
    for each in found:
        before = cold[each.kind, each.trace, each.pair]
        if each.arm == SAME and (each.loss > before.loss or each.refaults > before.refaults):
            rows.append({
                "kind": each.kind, "trace": each.trace, "pair": each.pair,
                "refaults": each.refaults, "cold_refaults": before.refaults,
                "loss_ratio": each.loss / max(before.loss, 1e-9), "refused": each.refused,
            })  # fmt: skip
    return sorted(rows, key=lambda row: -float(str(row["loss_ratio"])))


def brief(row: Row) -> dict[str, object]:
    """A row in the table for people."""
    shown = {"name": row.name, "value": row.value, "low": row.low, "high": row.high, "n": row.n}
    return shown | dict(row.against)


if __name__ == "__main__":
    main()
