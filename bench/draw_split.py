"""Chooses the seed of `plimsoll.replay.split`: traces in, the evenest of the first 1000 seeds out.

Evenest: over all sources and classes, the least sum of squared relative differences between the judged and
the training bins, weighted with the root of the stratum's bins. Recommenders are not asked.

    python bench/draw_split.py TRACES
"""

import argparse
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from plimsoll.replay import split
from plimsoll.replay.classes import SeriesClass, classify
from plimsoll.replay.split import Half, half_of
from plimsoll_cli.traces.parquet import read_trace, trace_files

SEEDS = 1000


@dataclass(frozen=True, slots=True)
class Stratum:
    """Groups of one source with the bins that they have of one class."""

    source: str
    kind: str
    bins_of: dict[str, int]


def main() -> None:
    """Print the seed, and what it gives."""
    parser = argparse.ArgumentParser(description="choose the seed that splits series into halves")
    parser.add_argument("traces", type=Path)
    strata, halves = read(parser.parse_args().traces)
    best = min(range(SEEDS), key=lambda seed: unevenness(strata, seed))
    print(f"the evenest seed is {best} ({unevenness(strata, best):.3f}); the code has {split.SEED}")
    for (source, kind), (training, judged) in sorted(halves.items()):
        print(f"{source:24} {kind:9} {training:4} training {judged:4} judged")


def read(traces: Path) -> tuple[list[Stratum], dict[tuple[str, str], tuple[int, int]]]:
    """Strata of all series that may be scored, and series by half as the code has it now."""
    bins: dict[tuple[str, str], dict[str, int]] = {}
    halves: dict[tuple[str, str], tuple[int, int]] = {}
    for path in trace_files([traces]):
        batch = read_trace(path)
        for row, name in enumerate(batch.series_ids):
            usage = batch.usage_bytes[row, : batch.length_bins[row]]
            kind = classify(usage)
            if kind is SeriesClass.IDLE:
                continue
            key, group = (batch.source, kind.value), split.group_of(name)
            among = bins.setdefault(key, {})
            among[group] = among.get(group, 0) + int(np.isfinite(usage).sum())
            training, judged = halves.get(key, (0, 0))
            mine = half_of(name) is Half.TRAINING
            halves[key] = (training + mine, judged + (not mine))
    return [Stratum(source, kind, of) for (source, kind), of in bins.items()], halves


def unevenness(strata: list[Stratum], seed: int) -> float:
    """How far the halves of all strata are from even under a seed."""
    total = 0.0
    for stratum in strata:
        signs = [1 if trains(group, seed) else -1 for group in stratum.bins_of]
        bins = list(stratum.bins_of.values())
        total += float(np.dot(signs, bins)) ** 2 / sum(bins) ** 1.5
    return total


def trains(group: str, seed: int) -> bool:
    """As `half_of`, under another seed."""
    share = split.TRAINING_SHARE.get(group.partition("-")[0], split.OTHERS_TRAINING_SHARE)
    return group not in split.ALWAYS_JUDGED and split.fraction_of(group, seed) < share


if __name__ == "__main__":
    main()
