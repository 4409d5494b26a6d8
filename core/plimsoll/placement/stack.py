"""All pods on as few nodes as the bound allows: what a plan, and the yardstick's rival, are made of.

In: `Loads` of n pods, one capacity. Out: the place of each pod. Largest need first onto the best node of
`Chooser`, then nodes are emptied one after the other, the least filled first, as long as their pods find room
elsewhere. Few pods are packed in several orders, and the best packing is kept.

Source: best fit decreasing (Johnson 1973) with the vector rule of `choose.py`; emptying bins is the bin
elimination of Falkenauer's grouping heuristics (1996), without the genetic part; other orders are iterated
greedy search (Ruiz and Stuetzle 2007).
"""

import numpy as np

from plimsoll.placement.choose import DEFAULT_BOUND, Chooser, Places, own_need_bytes
from plimsoll.placement.fit import empty_nodes
from plimsoll.placement.lanes import FloatArray, Loads

MOST_ROUNDS = 8
# Few pods are packed in several orders: the largest first is not always best; with many it hardly matters.
SEED, SHAKE, MOST_ORDERS, MOST_PLACED = 7, 0.25, 60, 1500
MIB = 2**20


class TooLargeError(ValueError):
    """A pod that fits no node alone; `pod` is its row."""

    def __init__(self, pod: int, need_bytes: float, capacity_bytes: float) -> None:
        self.pod = pod
        alone, has = need_bytes / MIB, capacity_bytes / MIB
        super().__init__(f"pod {pod} alone needs {alone:.0f} MiB at the bound, a node has {has:.0f}")


def pack(pods: Loads, capacity_bytes: float, bound: float = DEFAULT_BOUND) -> Places:
    """[n] a node number, from 0 without gaps, for each pod. Raises TooLargeError.

    The same pods are packed the same way each time.
    """
    needs = own_need_bytes(pods, bound)
    best = _packed(pods, needs, np.argsort(-needs, kind="stable"), capacity_bytes, bound)
    least = np.ceil(pods.mean_bytes.sum(axis=0).max(initial=0.0) / capacity_bytes)
    rng = np.random.default_rng(SEED)
    for _ in range(min(MOST_ORDERS, MOST_PLACED // max(len(pods), 1))):
        if best.max(initial=-1) + 1 <= least:
            break
        shaken = needs * np.exp(rng.normal(0.0, SHAKE, len(needs)))
        found = _packed(pods, needs, np.argsort(-shaken, kind="stable"), capacity_bytes, bound)
        best = found if found.max() < best.max() else best
    return best


def _packed(pods: Loads, needs: FloatArray, order: Places, capacity_bytes: float, bound: float) -> Places:
    """One packing, in this order."""
    nodes = empty_nodes(np.full(max(len(pods), 1), capacity_bytes), pods.mean_bytes.shape[1])
    chooser = Chooser(nodes, bound)
    places = np.zeros(len(pods), dtype=np.intp)
    for pod in order.tolist():
        choice = next(iter(chooser.rank_within(pods.take([pod]), 1)), None)
        if choice is None:
            raise TooLargeError(pod, float(needs[pod]), capacity_bytes)
        places[pod] = choice.place
        chooser.add(choice.place, pods.take([pod]))
    for _ in range(MOST_ROUNDS):
        if not _empty_one(pods, places, chooser, needs):
            break
    return np.unique(places, return_inverse=True)[1].astype(np.intp)


def _empty_one(pods: Loads, places: Places, chooser: Chooser, needs: FloatArray) -> bool:
    """Move all pods of one node to others; False where no node can be emptied."""
    used = np.unique(places)
    for place in used[np.argsort(chooser.need_bytes[used], kind="stable")].tolist():
        mine = np.flatnonzero(places == place)
        mine = mine[np.argsort(-needs[mine], kind="stable")]
        allowed = np.zeros(len(chooser.nodes), dtype=np.bool_)
        allowed[used[used != place]] = True
        moved: list[tuple[int, int]] = []
        for pod in mine.tolist():
            one = pods.take([pod])
            choice = next(iter(chooser.rank_within(one, 1, allowed)), None)
            if choice is None:
                break
            chooser.add(choice.place, one)
            moved.append((pod, choice.place))
        if len(moved) == len(mine):
            for pod, to in moved:
                places[pod] = to
                chooser.add(place, pods.take([pod]), -1.0)
            return True
        for pod, to in moved:
            chooser.add(to, pods.take([pod]), -1.0)
    return False
