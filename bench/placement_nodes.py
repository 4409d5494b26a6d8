"""Pods on as few nodes as each way of placing them needs, and on as many nodes as another needs.

In: drawn pods, an arm's name. Out: `PlacementOutcome`s, and figures of several draws with their intervals.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from placement_pods import ALONE, NODE_BYTES, PLACED, SEED, SHUFFLED, VPA, Drawn
from plimsoll.replay.placement import PlacementOutcome, PlacementSettings, replay_placement

COMMAND = "make bench-placement"
OVERCOMMITTED = 0.85  # of the requests, where shortages are compared: equal packing, too tight for comfort
MOST_GROWTH = 2.0  # of the fewest nodes there could be: no arm is looked at beyond
ARMS = {
    VPA: PlacementSettings(placing=False),
    ALONE: PlacementSettings(placing=False),
    PLACED: PlacementSettings(),
    SHUFFLED: PlacementSettings(shuffled=True),
}


def equally_packed(
    one: Drawn, nodes: int, arms: Sequence[str] = (ALONE, PLACED)
) -> dict[str, PlacementOutcome]:
    """All arms on so many nodes, with requests cut so that all pods have a place with each."""
    cut = replace(one, own_bytes=OVERCOMMITTED * one.own_bytes)
    return {arm: outcome_of(cut, arm, nodes) for arm in arms}


def fewest_by_sum(one: Drawn, arm: str) -> int:
    """Nodes that the sums of requests and of usage would fill: fewer there cannot be."""
    requests = one.fleet(arm).request_bytes
    return int(np.ceil(max(requests.sum(), one.usage_bytes.sum(axis=0).max()) / NODE_BYTES))


def outcome_of(one: Drawn, arm: str, nodes: int) -> PlacementOutcome:
    """One arm on so many nodes."""
    return replay_placement(
        one.fleet(arm), nodes, NODE_BYTES, replace(ARMS.get(arm, PlacementSettings()), seed=SEED)
    )


def fewest(one: Drawn, arm: str, allowed: int) -> PlacementOutcome:
    """The fewest nodes on which all pods have a place and no more bins are short than allowed.

    VPA's own shortages are not bounded: they are what the others are allowed.
    """
    start = fewest_by_sum(one, arm)
    for nodes in range(start, int(start * MOST_GROWTH) + 2):
        outcome = outcome_of(one, arm, nodes)
        if not outcome.unplaced and (arm == VPA or outcome.short_node_bins <= allowed):
            return outcome
    raise RuntimeError(f"{arm} does not get along with {MOST_GROWTH} times the fewest nodes")


def percent_fewer(mine: Sequence[int], other: Sequence[int]) -> tuple[float, float, float]:
    """How many percent fewer nodes, with the interval over draws."""
    return interval_of([mine, other], lambda a, b: 100.0 * (1.0 - a.sum() / b.sum()))


def interval_of(
    columns: Sequence[Sequence[float]], figure: Callable[..., float], count: int = 2000
) -> tuple[float, float, float]:
    """A figure of paired columns, and its 95 % interval by the bootstrap over draws."""
    values = [np.asarray(each, dtype=np.float64) for each in columns]
    rng = np.random.default_rng(SEED)
    picked = rng.integers(len(values[0]), size=(count, len(values[0])))
    spread = [figure(*(each[at] for each in values)) for at in picked]
    low, high = np.quantile(spread, [0.025, 0.975])
    return float(figure(*values)), float(low), float(high)
