"""Whole jobs on the same days: pods that have a common fate, and rows by workload, as the operator has them.

In: `placement_pods.whole_jobs`. Out: for each way of counting pods (by its own past, by its workload's row)
the nodes that all pods need, the shortages on the same nodes, and how often nothing is said. The requests are
those of the operator, by workload, in all arms. Few of the recordings have jobs of several tasks: the figures
tell of those, and of what all series of a source have in common.

    python bench/placement.py --part fates [--traces DIRECTORY] [--pods N] [--draws N]
"""

from collections.abc import Sequence
from pathlib import Path

from placement_nodes import COMMAND, equally_packed, fewest, interval_of, percent_fewer, ratio
from placement_pods import ALONE, BY_WORKLOAD, PLACED, VPA, Drawn, whole_jobs
from plimsoll.replay.placement import PlacementOutcome
from plimsoll.replay.split import Half
from report import Row

COUNTED = (PLACED, BY_WORKLOAD)


def fate_rows(traces: Path, pods: int, count: int) -> list[Row]:
    """Measure, print."""
    drawn = whole_jobs(traces, pods, count, Half.JUDGED)
    found: dict[str, list[PlacementOutcome]] = {arm: [] for arm in (VPA, ALONE, *COUNTED)}
    short: dict[str, list[int]] = {arm: [] for arm in (ALONE, *COUNTED)}
    for one in drawn:
        allowed = 0
        for arm, outcomes in found.items():
            outcomes.append(fewest(one, arm, allowed))
            allowed = outcomes[-1].short_node_bins if arm == VPA else allowed
        for arm, bins in equally_packed(one, tuple(short)).items():
            short[arm].append(bins)
    print("whole jobs:", {arm: [each.nodes for each in of] for arm, of in found.items()}, "short", short)
    return [row for arm in COUNTED for row in _of_arm(arm, drawn, found, short)]


def _of_arm(
    arm: str,
    drawn: Sequence[Drawn],
    found: dict[str, list[PlacementOutcome]],
    short: dict[str, list[int]],
) -> list[Row]:
    n = sum(len(one.own_bytes) for one in drawn)
    nodes = {each: [outcome.nodes for outcome in of] for each, of in found.items()}
    silent = [outcome.unopinionated / outcome.placements for outcome in found[arm]]

    def row(name: str, unit: str, figure: tuple[float, float, float]) -> Row:
        value, low, high = figure
        print(f"{arm}: {name} {value:.3g} [{low:.3g}, {high:.3g}] {unit}", flush=True)
        return Row(f"placement.fates.{arm}.{name}", value, unit, n, COMMAND, low, high)

    return [
        row("nodes_saved_percent", "%", percent_fewer(nodes[arm], nodes[VPA])),
        row("nodes_saved_over_requests_percent", "%", percent_fewer(nodes[arm], nodes[ALONE])),
        row("shortages_ratio", "", interval_of([short[arm], short[ALONE]], ratio)),
        row("no_opinion_percent", "%", interval_of([silent], lambda each: 100.0 * each.mean())),
    ]
