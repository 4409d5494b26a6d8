"""What `Prefer` alone, relief and gates do on recorded series, way by way and draw by draw (decision 0348).

In: draws of `placement_pods`, of the judged half. Out: of each way the bins in which nodes were short, over
all fillings and draws, those over the scheduler's alone on the same nodes, evictions, pods held, and in how
many draws it was worse than the scheduler; written to `bench/results/placement_recorded.json`. Fewer pods
than in the other parts, so that it is done in minutes; intervals are over draws.

    python bench/placement.py --part recorded [--traces DIRECTORY] [--pods N] [--draws N]
"""

from collections.abc import Iterator, Sequence

import numpy as np

from placement_moves import PREFER, WAYS, Sum, summed
from placement_nodes import interval_of, ratio
from placement_pods import Drawn
from report import Row

PODS, DRAWS = 300, 6
ALONE = "requests"
ASKED = (ALONE, PREFER, "relief", "gates", "wrong")
COMMAND = 'make bench-placement BENCH_ARGS="--part recorded"'


def recorded_rows(drawn: Sequence[Drawn]) -> list[Row]:
    """Measure, print."""
    found: dict[str, list[Sum]] = {way: [] for way in ASKED}
    for number, one in enumerate(drawn):
        for way in ASKED:
            found[way].append(summed(one, WAYS[way], clock=False))
            print(f"draw {number}: {way} {found[way][-1]}", flush=True)
    return list(figures(found, sum(len(one.own_bytes) for one in drawn)))


def figures(found: dict[str, list[Sum]], pods: int) -> Iterator[Row]:
    """Rows of what was counted."""
    alone = [each.short_bins for each in found[ALONE]]
    preferred = [each.short_bins for each in found[PREFER]]
    for way, sums in found.items():
        short = [each.short_bins for each in sums]
        yield _row(way, "short_bins", "bins", pods, interval_of([short], np.sum))
        yield _row(way, "evictions", "pods", pods, interval_of([[each.evictions for each in sums]], np.sum))
        yield _row(way, "held", "pods", pods, interval_of([[each.held for each in sums]], np.sum))
        if way == ALONE:
            continue
        of_alone = interval_of([short, alone], ratio)
        yield _row(way, "short_bins_ratio", "of the scheduler alone", pods, of_alone)
        worse = sum(own > other for own, other in zip(short, alone, strict=True))
        yield Row(f"placement.recorded.{way}.draws_worse", worse, "draws", len(sums), COMMAND)
        if way != PREFER:
            averted = interval_of([preferred, short], lambda a, b: float(a.sum() - b.sum()))
            yield _row(way, "short_bins_averted", "bins of Prefer alone", pods, averted)


def _row(way: str, name: str, unit: str, pods: int, figure: tuple[float, float, float]) -> Row:
    value, low, high = figure
    print(f"{way}: {name} {value:.3g} [{low:.3g}, {high:.3g}] {unit}", flush=True)
    return Row(f"placement.recorded.{way}.{name}", float(value), unit, pods, COMMAND, float(low), float(high))
