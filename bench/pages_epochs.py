"""Reclaim and prefetch by epochs: that part of `make bench-pages`.

In: page traces. Out: rows and a document with a table per trace: the share of the oracle's reclaim and how
well the target is met at 0.5, 1, 1.5, 2 and 5 % refaults, beside the best fixed idle age in hindsight (once
at the target, once at as many refaults as ours realised) and the plain closed loop. Ours is the policy that
the node agent runs by address (`guarded`); the refault account without its guard (`budgeted`) has rows of its
own. Prefetch is the agent's own, by epochs: in half the footprint, and beside reclaim; under demand paging
(`pages_prefetch.py`) it is a study of what a fault handler could have, which no part of the agent is.
Intervals are from a bootstrap over traces.

    python bench/pages_epochs.py --traces DIRECTORY [--jobs 2]
"""

import argparse
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import numpy as np

from pages_prefetch import demand_prefetch
from plimsoll.pages.epochs import EpochView, cut
from plimsoll.pages.trace import PageTrace
from plimsoll.replay.epochs import SCORED_FROM_EPOCH, gaps_of
from plimsoll.replay.epochs_policies import replay_by_name
from plimsoll.replay.epochs_score import EpochScore, oracle_out, score_epochs
from plimsoll_cli.output import OutputFormat, print_rows
from plimsoll_cli.traces.pgt import read_pages
from report import Row

SEED = 7
RESAMPLES = 2000
EPOCHS = 400
TARGETS = (0.005, 0.01, 0.015, 0.02, 0.05)
HEADLINE = 0.01
GUARDED, BUDGETED = "guarded", "budgeted"
HALF, AT_DEMAND = "lru:0.5", "demand paging in half the footprint"
COMMAND = "plimsoll replay epochs TRACE.pgt --policy guarded --epochs 400 --target 0.01"


@dataclass(frozen=True, slots=True)
class Reclaim:
    """One trace at one target."""

    trace: str
    target: float
    reclaimed_percent: float
    share_percent: float
    over_target: float
    budgeted_share_percent: float
    budgeted_over_target: float
    idle_share_percent: float  # best fixed idle age in hindsight, refaults within the target
    idle_share_at_realised_percent: float  # the same within as many refaults as ours realised
    adaptive_share_percent: float
    adaptive_over_target: float


@dataclass(frozen=True, slots=True)
class Prefetch:
    """One trace: what prefetch did beside one way of reclaiming."""

    trace: str
    beside: str
    coverage_percent: float
    io_ratio: float
    fewer_refaults_percent: float  # against the same without prefetch; negative: it hurts


def epoch_rows(paths: Sequence[Path], jobs: int, share: float = 1.0) -> tuple[list[Row], dict[str, object]]:
    """The rows of the contract, and the tables they are made from."""
    with ProcessPoolExecutor(jobs) as workers:
        measured = list(workers.map(partial(measure, share=share), paths))
    reclaims = [row for rows, _ in measured for row in rows]
    prefetches = [row for _, rows in measured for row in rows]
    print_rows([asdict(row) for row in reclaims], OutputFormat.TABLE)
    print_rows([asdict(row) for row in prefetches], OutputFormat.TABLE)
    document: dict[str, object] = {
        "epochs": [asdict(row) for row in reclaims],
        "prefetch": [asdict(row) for row in prefetches],
    }
    return [*reclaim_rows(reclaims), *prefetch_rows(prefetches)], document


def measure(path: Path, share: float) -> tuple[list[Reclaim], list[Prefetch]]:
    """Everything of one trace."""
    trace = read_pages(path)
    trace = trace.head(max(1, int(share * len(trace))))
    view = cut(trace, EPOCHS)
    curve = idle_curve(view)
    reclaims = [reclaim(path.stem, view, target, curve) for target in TARGETS]
    beside = [prefetch(path.stem, view, policy) for policy in (GUARDED, HALF)]
    return reclaims, [*beside, at_demand(path.stem, trace)]


def reclaim(trace: str, view: EpochView, target: float, curve: np.ndarray) -> Reclaim:
    """One trace at one target, ours and the others."""
    ours, alone, loop = (
        score_epochs(view, replay_by_name(name, view, target))
        for name in (GUARDED, BUDGETED, "idle-adaptive")
    )
    return Reclaim(
        trace,
        target,
        100 * ours.reclaimed,
        100 * ours.share_of_oracle,
        ours.refault_rate / target,
        100 * alone.share_of_oracle,
        alone.refault_rate / target,
        hindsight_percent(view, curve, target * ours.accessed),
        hindsight_percent(view, curve, ours.refaults),
        100 * loop.share_of_oracle,
        loop.refault_rate / target,
    )


def idle_curve(view: EpochView) -> np.ndarray:
    """[EPOCHS, 2] page-epochs out and refaults of every fixed idle age from one epoch on."""
    gaps = gaps_of(view.accessed)
    found = []
    for age in range(1, view.epochs + 1):
        begin = gaps.begin + age
        out = gaps.end > begin
        length = np.maximum(gaps.end - np.maximum(begin, SCORED_FROM_EPOCH), 0)[out].sum()
        found.append((length, (out & (gaps.end < view.epochs) & (gaps.end >= SCORED_FROM_EPOCH)).sum()))
    return np.array(found)


def hindsight_percent(view: EpochView, curve: np.ndarray, refaults: float) -> float:
    """The oracle's share of the idle age that reclaims most within so many refaults."""
    out, realised = curve[int(np.argmax(curve[:, 1] <= refaults))]
    return 100 * float(out) / oracle_out(view, int(realised))


def prefetch(trace: str, view: EpochView, policy: str) -> Prefetch:
    """One trace with prefetch and without."""
    without, beside = (
        score_epochs(view, replay_by_name(policy, view, HEADLINE, prefetch=on)) for on in (False, True)
    )
    return Prefetch(trace, policy, 100 * beside.coverage, beside.io_ratio, fewer(without, beside))


def at_demand(name: str, trace: PageTrace) -> Prefetch:
    """One trace under demand paging; coverage is by refaults spared, so that pollution counts against it."""
    without, beside = (demand_prefetch(trace, 0.5, prefetch=on) for on in (False, True))
    spared = 100 * (1 - beside.refaults / without.refaults) if without.refaults else float("nan")
    return Prefetch(name, AT_DEMAND, spared, beside.io_ratio, spared)


def fewer(without: EpochScore, beside: EpochScore) -> float:
    """Percent of the refaults that prefetch spared."""
    return 100 * (1 - beside.refaults / without.refaults) if without.refaults else 0.0


def reclaim_rows(found: Sequence[Reclaim]) -> list[Row]:
    """Share of the oracle at each target (the headline's has the contract's name), and control."""
    rows = []
    for target in TARGETS:
        here = [row for row in found if row.target == target]
        suffix = "" if target == HEADLINE else f".at_{100 * target:g}_percent"
        peers = {
            "idle age in hindsight": _mean([row.idle_share_percent for row in here]),
            "idle age in hindsight, refaults as realised": _mean(
                [row.idle_share_at_realised_percent for row in here]
            ),
            "idle-adaptive": _mean([row.adaptive_share_percent for row in here]),
        }
        loop = [row.adaptive_over_target for row in here]
        shares = {
            GUARDED: [row.share_percent for row in here],
            BUDGETED: [row.budgeted_share_percent for row in here],
        }
        over = {
            GUARDED: [row.over_target for row in here],
            BUDGETED: [row.budgeted_over_target for row in here],
        }
        for policy, other, named in (
            (GUARDED, BUDGETED, suffix),
            (BUDGETED, GUARDED, f".{BUDGETED}{suffix}"),
        ):
            against = {other: _mean(shares[other]), **peers}
            means = {other: _mean(over[other]), "idle-adaptive": _mean(loop)}
            worst = {other: max(over[other]), "idle-adaptive": max(loop)}
            of = "of the target"
            rows += [
                _row(f"epochs.share_of_oracle_percent{named}", "%", shares[policy], against),
                _row(f"epochs.realised_over_target{named}", of, over[policy], means),
                _single(f"epochs.worst_over_target{named}", of, max(over[policy]), len(here), worst),
            ]
    return rows


PREFETCHES = ((HALF, ""), (GUARDED, ".beside_reclaim"), (AT_DEMAND, ".study_at_demand"))


def prefetch_rows(found: Sequence[Prefetch]) -> list[Row]:
    """The contract's two rows are of the agent's own prefetch, by epochs in half the footprint."""
    rows = []
    for policy, suffix in PREFETCHES:
        here = [row for row in found if row.beside == policy]
        rows += [
            _row("prefetch.coverage_percent" + suffix, "%", [row.coverage_percent for row in here]),
            _row("prefetch.io_ratio" + suffix, "of the pages needed", [row.io_ratio for row in here]),
            _row(
                "prefetch.fewer_refaults_percent" + suffix, "%", [row.fewer_refaults_percent for row in here]
            ),
            _single(
                "prefetch.worst_fewer_refaults_percent" + suffix,
                "%",
                min(row.fewer_refaults_percent for row in here),
                len(here),
            ),
        ]
    return rows


def _row(
    name: str, unit: str, values: Sequence[float], against: dict[str, float | None] | None = None
) -> Row:
    """Mean over traces; those without a refault have no value."""
    known = np.array([value for value in values if np.isfinite(value)])
    if not len(known):
        return Row(f"pages.{name}", None, unit, 0, COMMAND, why="no trace has a refault")
    drawn = np.random.default_rng(SEED).choice(known, (RESAMPLES, len(known))).mean(axis=1)
    low, high = (float(value) for value in np.percentile(drawn, [2.5, 97.5]))
    return Row(f"pages.{name}", float(known.mean()), unit, len(known), COMMAND, low, high, against or {})


def _single(
    name: str, unit: str, value: float, n: int, against: dict[str, float | None] | None = None
) -> Row:
    """A worst case, which has no interval."""
    return Row(f"pages.{name}", value, unit, n, COMMAND, against=against or {})


def _mean(values: Sequence[float]) -> float:
    return float(np.nanmean(values))


def main() -> None:
    """This part alone, printed and not written."""
    parser = argparse.ArgumentParser(description="measure reclaim and prefetch by epochs")
    parser.add_argument("--traces", type=Path, required=True, help="a directory of .pgt files")
    parser.add_argument("--jobs", type=int, default=2)
    options = parser.parse_args()
    rows, _ = epoch_rows(sorted(options.traces.glob("*.pgt")), options.jobs)
    shown = [
        {"name": row.name, "value": row.value, "low": row.low, "high": row.high, **row.against}
        for row in rows
    ]
    for row in shown:
        print_rows([row], OutputFormat.TABLE)


if __name__ == "__main__":
    main()
