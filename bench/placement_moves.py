"""What placement does beyond preferring a node: relief, gates, `Require`, room for who comes by the clock.

In: draws of `placement_pods`. Out: of each way the bins in which nodes were short, over those of `Prefer`
alone on the same nodes, evictions for each thousand pod-days, and how many of them were in vain; the same
with the forecasts of other pods, with and without the guard that falls silent. Nodes are those of
`placement_nodes.equally_packed`. Nothing recorded says which pods a CronJob made: for `clock` each eighth
pod is taken to run from its own hour on, for four hours a day.

    python bench/placement.py --part moves [--traces DIRECTORY] [--pods N] [--draws N]
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from placement_nodes import COMMAND, FILLED, interval_of, nodes_for, ratio
from placement_pods import ALONE, NODE_BYTES, PAST_DAYS, SEED, Drawn
from plimsoll.placement.lanes import LANES
from plimsoll.replay.placement import Fleet, PlacementOutcome, PlacementSettings, replay_placement
from plimsoll.replay.series import BINS_PER_DAY, BINS_PER_HOUR
from report import Row

PREFER = "prefer"
WAYS = {
    "requests": PlacementSettings(placing=False),
    PREFER: PlacementSettings(),
    "relief": PlacementSettings(relieving=True),
    "gates": PlacementSettings(holding=True),
    "require": PlacementSettings(required=True),
    "all": PlacementSettings(relieving=True, holding=True, required=True),
    "wrong": PlacementSettings(relieving=True, holding=True, shuffled=True),
    "wrong_unguarded": PlacementSettings(relieving=True, holding=True, shuffled=True, guarded=False),
}
BY_CLOCK = {
    PREFER: PlacementSettings(),
    "clock": PlacementSettings(keeping=True),
    "clock_and_relief": PlacementSettings(keeping=True, relieving=True),
}
CLOCK_SHARE, CLOCK_HOURS = 8, 4


@dataclass(frozen=True)
class Sum:
    """What came of one draw, over all fillings."""

    short_bins: int
    evictions: int
    in_vain: int
    held: int
    unplaced: int


def moves_rows(drawn: Sequence[Drawn]) -> list[Row]:
    """Measure, print."""
    rows = []
    for ways, clock in ((WAYS, False), (BY_CLOCK, True)):
        found = {way: [summed(one, each, clock=clock) for one in drawn] for way, each in ways.items()}
        pods = sum(len(one.own_bytes) for one in drawn)
        days = drawn[0].usage_bytes.shape[1] / BINS_PER_DAY - PAST_DAYS
        for way in ways:
            if way != PREFER:
                rows += _of_way(way, found[way], found[PREFER], pods, days * len(FILLED))
    return rows


def by_clock(one: Drawn, fleet: Fleet) -> Fleet:
    """The same pods, of which each eighth runs for four hours a day from an hour of its own on."""
    n, hours = len(one.own_bytes), fleet.usage_bytes.shape[1] // BINS_PER_HOUR
    runs = np.ones((n, hours), dtype=np.bool_)
    some = np.arange(0, n, CLOCK_SHARE)
    begins = np.random.default_rng(SEED).integers(LANES, size=len(some))
    runs[some] = (np.arange(hours) - begins[:, None]) % LANES < CLOCK_HOURS
    usage = np.where(np.repeat(runs, BINS_PER_HOUR, axis=1), fleet.usage_bytes, 0.0)
    return replace(fleet, usage_bytes=usage, runs=runs)


def summed(one: Drawn, settings: PlacementSettings, *, clock: bool) -> Sum:
    """One way on one draw; `clock`: some run by the clock."""
    outcomes: list[PlacementOutcome] = []
    for filled in FILLED:
        nodes, cut = nodes_for(one, filled)
        fleet = cut.fleet(ALONE)
        fleet = by_clock(one, fleet) if clock else fleet
        outcomes.append(replay_placement(fleet, nodes, NODE_BYTES, replace(settings, seed=SEED)))
    return Sum(
        sum(each.short_node_bins for each in outcomes),
        sum(each.evictions for each in outcomes),
        sum(each.evictions_in_vain for each in outcomes),
        sum(each.held for each in outcomes),
        sum(each.unplaced for each in outcomes),
    )


def _of_way(way: str, found: Sequence[Sum], preferred: Sequence[Sum], pods: int, days: float) -> list[Row]:
    short = interval_of([[each.short_bins for each in of] for of in (found, preferred)], ratio)
    per = 1000.0 / (pods * days) * len(found)
    evictions = interval_of([[each.evictions for each in found]], lambda each: per * each.mean())
    vain = interval_of(
        [[each.in_vain for each in found], [each.evictions for each in found]],
        lambda a, b: 100.0 * ratio(a, b),
    )
    bins, of_prefer = (sum(each.short_bins for each in of) for of in (found, preferred))
    held, out = sum(each.held for each in found), sum(each.unplaced for each in found)
    print(f"{way}: {bins} short bins against {of_prefer}, {held} held, {out} without a node", flush=True)

    def row(name: str, unit: str, figure: tuple[float, float, float]) -> Row:
        value, low, high = figure
        print(f"{way}: {name} {value:.3g} [{low:.3g}, {high:.3g}] {unit}", flush=True)
        return Row(f"placement.moves.{way}.{name}", value, unit, pods, COMMAND, low, high)

    return [
        row("short_bins_ratio", "of Prefer alone", short),
        row("evictions_per_1000_pod_days", "evictions", evictions),
        row("evictions_in_vain_percent", "%", vain),
    ]
