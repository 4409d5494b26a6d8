"""The public benchmark of page prediction: `make bench-pages`.

In: a directory of page traces (`.pgt`). Out: bench/results/pages.json: replacement at 10, 25, 50 and 75 % of
the footprint beside LRU, CLOCK, S3-FIFO, ARC, LIRS, the best of fifteen library policies in hindsight and
Belady; how learning shows; what a prediction costs; and reclaim and prefetch by epochs (`pages_epochs.py`).
Intervals are from a bootstrap over traces, all capacities of a trace together.

    python bench/pages.py --traces DIRECTORY [--jobs 2] [--share 0.1]
"""

import argparse
import importlib.util
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from itertools import product
from pathlib import Path

import numpy as np

from pages_cases import FRACTIONS, GAM, LIBRARY, OURS, OURS_INT8, Case, case_of
from pages_cost import Cost, cost_of
from plimsoll.replay.page_score import PagePool, pool
from plimsoll_cli.failure import CommandError
from plimsoll_cli.output import OutputFormat, print_rows
from plimsoll_cli.progress import progress
from plimsoll_cli.traces.pgt import read_pages
from report import Row, bench_options, write_results

SEED = 7
RESAMPLES = 2000
SHOWN = (OURS, OURS_INT8, GAM, "lru", "clock", "s3fifo", "arc", "lirs", LIBRARY, "belady")
NO_LIBRARY = "libcachesim has no wheel for this machine or is not installed: make bench-pages installs it"
COMMAND = "plimsoll replay pages TRACE.pgt --policy plimsoll"

Figure = Callable[[PagePool], float]


def main() -> None:
    """Replay, reckon, print, write."""
    options = read_options()
    begun = time.monotonic()
    paths = trace_paths(options.traces)
    cases = measure(paths, options.jobs, options.share)
    rows = [*replacement_rows(cases), *learning_rows(cases), *cost_rows(paths[0], options.share)]
    document: dict[str, object] = {"replacement": document_of(cases)}
    if options.epochs and importlib.util.find_spec("pages_epochs"):
        import pages_epochs  # noqa: PLC0415

        found, beside = pages_epochs.epoch_rows(paths, options.jobs, options.share)
        rows += found
        document |= beside
    print_rows([table_row(cases, policy) for policy in present(cases)], OutputFormat.TABLE)
    print_rows([brief(row) for row in rows], OutputFormat.TABLE)
    name = "pages" if options.share == 1 else "pages-quick"
    print(write_results(name, rows, SEED, time.monotonic() - begun, document))


def read_options() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description="measure page prediction on recorded references")
    parser.add_argument("--traces", type=Path, required=True, help="a directory of .pgt files")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--share", type=float, default=1.0, help="of each trace, to try it out")
    parser.add_argument("--epochs", action=argparse.BooleanOptionalAction, default=True)
    return bench_options(parser)


def trace_paths(directory: Path) -> list[Path]:
    """The traces, in order of name."""
    paths = sorted(directory.glob("*.pgt"))
    if not paths:
        raise CommandError(f"{directory}: no *.pgt here; name a directory: make bench-pages PAGE_TRACES=...")
    return paths


def measure(paths: Sequence[Path], jobs: int, share: float) -> list[Case]:
    """All cases, in order of trace and capacity; those that take longest are begun first."""
    by_length = sorted(product(FRACTIONS, paths), key=lambda each: (each[0], -each[1].stat().st_size))
    done: list[Case] = []
    with progress("traces at a capacity") as report, ProcessPoolExecutor(jobs) as workers:
        running = [workers.submit(case_of, path, fraction, share) for fraction, path in by_length]
        for each in as_completed(running):
            done.append(each.result())
            report(len(done), len(running))
    return sorted(done, key=lambda case: (case.trace, case.fraction))


def present(cases: Sequence[Case]) -> list[str]:
    """The policies that were measured."""
    return [policy for policy in SHOWN if all(policy in case.misses for case in cases)]


def pool_of(cases: Sequence[Case], policy: str) -> PagePool:
    """The contract's figures of one policy."""
    return pool([case.of(policy) for case in cases])


def replacement_rows(cases: Sequence[Case]) -> list[Row]:
    """The contract's three figures, everybody beside ours; and what int8 costs."""
    figures: dict[str, tuple[str, Figure]] = {
        "mean_gap_percent": ("%", lambda found: found.mean_gap_percent),
        "geomean_misses_over_lru": ("of LRU's", lambda found: found.geomean_misses_over_lru),
        "worst_misses_over_lru": ("of LRU's", lambda found: found.worst_misses_over_lru),
    }
    rows = []
    for name, (unit, figure) in figures.items():
        against: dict[str, float | None] = {
            policy: figure(pool_of(cases, policy)) for policy in present(cases) if policy != OURS
        }
        against.setdefault(LIBRARY, None)
        low, high = interval(cases, figure)
        value = figure(pool_of(cases, OURS))
        why = None if against[LIBRARY] is not None else f"against {LIBRARY}: {NO_LIBRARY}"
        rows.append(
            Row(f"pages.replacement.{name}", value, unit, len(cases), COMMAND, low, high, against, why)
        )
    lost = figures["mean_gap_percent"][1]
    rows.append(
        Row(
            "pages.replacement.int8_gap_points_lost",
            lost(pool_of(cases, OURS)) - lost(pool_of(cases, OURS_INT8)),
            "points",
            len(cases),
            ".venv/bin/python bench/pages.py",
        )
    )
    return rows


def interval(cases: Sequence[Case], figure: Figure) -> tuple[float, float]:
    """95 %: traces drawn with replacement."""
    random = np.random.default_rng(SEED)
    names = sorted({case.trace for case in cases})
    of_trace = {name: [case.of(OURS) for case in cases if case.trace == name] for name in names}
    drawn = random.integers(0, len(names), (RESAMPLES, len(names)))
    values = [figure(pool([case for at in row for case in of_trace[names[at]]])) for row in drawn]
    low, high = np.nanpercentile(values, [2.5, 97.5])
    return float(low), float(high)


def learning_rows(cases: Sequence[Case]) -> list[Row]:
    """Squared error of log2 of the reuse time before it is learned from, beside a table of ages alone."""
    ours, ages = (np.array([getattr(case, name) for case in cases]) for name in ("loss", "age_loss"))
    rows = []
    for name, at in (("first", 0), ("last", -1)):
        value, against = (float(np.nanmean(losses[:, at])) for losses in (ours, ages))
        rows.append(
            Row(
                f"pages.learning.loss_{name}_tenth",
                value,
                "octaves squared",
                len(cases),
                ".venv/bin/python bench/pages.py",
                against={"age": against},
            )
        )
    return rows


def cost_rows(path: Path, share: float) -> list[Row]:
    """Time per page and epoch, and of single predictions, on one trace and one core."""
    whole = read_pages(path)
    cost: Cost = cost_of(whole.head(int(len(whole) * share)))
    command = f".venv/bin/python bench/pages.py (numpy alone, {cost.pages} pages of {path.stem}, 400 epochs)"
    low, middle, high = np.percentile(cost.batch_us, [2.5, 50, 97.5])
    single = np.percentile(cost.single_us, [50, 99])
    return [
        Row("pages.cost.us_per_page", middle, "us", len(cost.batch_us), command, low, high),
        Row("pages.cost.single_p50_us", single[0], "us", len(cost.single_us), command),
        Row("pages.cost.single_p99_us", single[1], "us", len(cost.single_us), command),
    ]


def document_of(cases: Sequence[Case]) -> dict[str, object]:
    """What the docs' tables need beside the rows."""
    losses = {
        name: np.nanmean([getattr(case, name) for case in cases], axis=0).tolist()
        for name in ("loss", "age_loss")
    }
    return {
        "policies": [table_row(cases, policy) for policy in present(cases)],
        "cases": [
            {
                "trace": case.trace,
                "fraction": case.fraction,
                "capacity_pages": case.capacity_pages,
                "misses": case.misses,
                "library_best": min(case.library, key=case.library.__getitem__) if case.library else None,
                "followed": case.followed,
                "changes": case.changes,
            }
            for case in cases
        ],
        "learning": losses,
    }


def table_row(cases: Sequence[Case], policy: str) -> dict[str, object]:
    """One policy in the table for people."""
    found = pool_of(cases, policy)
    by_size = {
        f"gap_at_{case.fraction}": pool_of(
            [each for each in cases if each.fraction == case.fraction], policy
        ).mean_gap_percent
        for case in cases
    }
    return {
        "policy": policy,
        "mean_gap_percent": found.mean_gap_percent,
        "geomean_misses_over_lru": found.geomean_misses_over_lru,
        "worst_misses_over_lru": found.worst_misses_over_lru,
        **by_size,
    }


def brief(row: Row) -> dict[str, object]:
    """A row in the table for people."""
    return {"name": row.name, "value": row.value, "unit": row.unit, "low": row.low, "high": row.high}


if __name__ == "__main__":
    main()
