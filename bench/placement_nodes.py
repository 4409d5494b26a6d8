"""Pods on as few nodes as each way of placing them needs, and by each way on the same nodes.

In: drawn pods, an arm's name. Out: `PlacementOutcome`s, and figures of several draws with their intervals.
Shortages are compared where every arm has a place for every pod and the nodes have room for what is used: who
leaves pods out has fewer shortages for that alone.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from placement_pods import ALONE, NODE_BYTES, PLACED, SEED, SHUFFLED, VPA, Drawn
from plimsoll.replay.placement import PlacementOutcome, PlacementSettings, replay_placement

COMMAND = "make bench-placement"
# Of all nodes' memory, by what is used when the sum is at its peak: where shortages are compared.
FILLED = (0.95, 0.9, 0.85, 0.8)
REQUESTED = 0.7  # of all nodes' memory, there: no filter turns a pod away, and each arm places all of them
MOST_GROWTH = 2.0  # of the fewest nodes there could be: no arm is looked at beyond
ARMS = {
    VPA: PlacementSettings(placing=False),
    ALONE: PlacementSettings(placing=False),
    PLACED: PlacementSettings(),
    SHUFFLED: PlacementSettings(shuffled=True),
}


def equally_packed(one: Drawn, arms: Sequence[str] = (ALONE, PLACED)) -> dict[str, int]:
    """Bins in which nodes were short with each arm, all pods placed, added up over `FILLED`.

    Raises RuntimeError where a pod found no node.
    """
    short = dict.fromkeys(arms, 0)
    for filled in FILLED:
        nodes, cut = nodes_for(one, filled)
        for arm in arms:
            outcome = outcome_of(cut, arm, nodes)
            if outcome.unplaced:
                raise RuntimeError(f"{arm} leaves {outcome.unplaced} pods out on {nodes} nodes")
            short[arm] += outcome.short_node_bins
    return short


def nodes_for(one: Drawn, filled: float) -> tuple[int, Drawn]:
    """How many nodes what is used fills so far, and the pods with requests that all find room there."""
    nodes = int(np.ceil(one.usage_bytes.sum(axis=0).max() / NODE_BYTES / filled))
    share = min(REQUESTED * nodes * NODE_BYTES / one.own_bytes.sum(), 1.0)
    return nodes, replace(one, own_bytes=share * one.own_bytes)


def fewest_by_sum(one: Drawn, arm: str) -> int:
    """Nodes that the sums of requests and of usage would fill: fewer there cannot be."""
    requests = one.fleet(arm).request_bytes
    return int(np.ceil(max(requests.sum(), one.usage_bytes.sum(axis=0).max()) / NODE_BYTES))


def fewest_at_all(one: Drawn) -> int:
    """Nodes that what is used fills when its sum is at its peak: whoever places, fewer are short."""
    return int(np.ceil(one.usage_bytes.sum(axis=0).max() / NODE_BYTES))


def outcome_of(one: Drawn, arm: str, nodes: int) -> PlacementOutcome:
    """One arm on so many nodes."""
    return replay_placement(
        one.fleet(arm), nodes, NODE_BYTES, replace(ARMS.get(arm, PlacementSettings()), seed=SEED)
    )


def fewest(one: Drawn, arm: str, allowed: int) -> PlacementOutcome:
    """The fewest nodes on which all pods have a place and no more bins are short than allowed.

    VPA's own shortages are not bounded: they are what the others are allowed. Who packs up to a bound leaves
    nodes empty, and may be short once however many there are: that counts as the most that is looked at.
    """
    start = fewest_by_sum(one, arm)
    outcome = outcome_of(one, arm, start)
    for nodes in range(start + 1, int(start * MOST_GROWTH) + 2):
        if not outcome.unplaced and (arm == VPA or outcome.short_node_bins <= allowed):
            break
        outcome = outcome_of(one, arm, nodes)
    return outcome


def percent_fewer(mine: Sequence[int], other: Sequence[int]) -> tuple[float, float, float]:
    """How many percent fewer nodes, with the interval over draws."""
    return interval_of([mine, other], lambda a, b: 100.0 * (1.0 - a.sum() / b.sum()))


def ratio(mine: npt.NDArray[np.float64], other: npt.NDArray[np.float64]) -> float:
    """Of sums; as large as the first where the other is nothing."""
    return float(mine.sum() / max(other.sum(), 1.0))


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
