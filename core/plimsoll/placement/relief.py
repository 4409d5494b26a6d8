"""Which pods should leave a kube node before it is short, and where they would go.

In: nodes, pods and where they are, how important each is, which may be moved at all. Out: proposals, the most
endangered node first: for each a pod, the node that has room for it, and the probability of being short with
and without it. A pod without a node that would take it within the bound is not proposed: evicting it would
only move the shortage. Least important first; among equals one whose leaving suffices, and of those the
smallest, whose caches are soonest warm again.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from plimsoll.placement.choose import DEFAULT_BOUND, BoolArray, Chooser, Places
from plimsoll.placement.fit import NodeLoads, deviate, margin, short_probability
from plimsoll.placement.lanes import Loads

MOST_A_NODE = 8  # proposals for one node: more is a node that is too small for what is on it


@dataclass(frozen=True, slots=True)
class Residents:
    """P pods and what is known of each."""

    loads: Loads  # [P]
    places: Places  # [P] row of the NodeLoads
    importance: npt.NDArray[np.int64]  # [P] higher is left alone longer
    movable: BoolArray  # [P] somebody makes it anew, and its disruption budget has room


@dataclass(frozen=True, slots=True)
class Relief:
    """One pod that should go."""

    pod: int
    from_place: int
    to_place: int
    short_before: float  # of the node that it leaves
    short_after: float
    short_there: float  # of the node that it goes to, with it


@dataclass(frozen=True, slots=True)
class Unrelieved:
    """A node that stays above the bound."""

    place: int
    short: float
    why: str


def relieve(
    nodes: NodeLoads,
    residents: Residents,
    bound: float = DEFAULT_BOUND,
    allowed: Callable[[int], BoolArray] | None = None,
) -> tuple[list[Relief], list[Unrelieved]]:
    """Proposals for every node above the bound, in the order in which to carry them out.

    `allowed` says of a pod which nodes [N] the scheduler would let it go to; None: all. `nodes` is not
    changed, and nodes whose load is not known are left alone. Raises ValueError for a bound that is none.
    """
    work = _Work(nodes, residents, bound, allowed)
    for place in work.endangered():
        work.relieve(place)
    return work.found, work.left


class _Work:
    def __init__(
        self,
        nodes: NodeLoads,
        residents: Residents,
        bound: float,
        allowed: Callable[[int], BoolArray] | None,
    ) -> None:
        self._allowed = allowed or (lambda _: np.ones(len(nodes), dtype=np.bool_))
        columns = (nodes.mean_bytes.copy(), nodes.variance.copy(), nodes.third.copy())
        self._nodes = NodeLoads(nodes.capacity_bytes, *columns, nodes.inflation)
        self._deviate = deviate(bound)
        self._chooser = Chooser(self._nodes, bound)
        self._residents, self._places = residents, residents.places.copy()
        self.found: list[Relief] = []
        self.left: list[Unrelieved] = []

    def endangered(self) -> list[int]:
        """Nodes above the bound, the most likely to be short first."""
        margins = margin(self._nodes)
        known = np.isfinite(self._nodes.mean_bytes).all(axis=1)
        short = np.flatnonzero(known & (margins < self._deviate))
        return [int(each) for each in short[np.argsort(margins[short], kind="stable")]]

    def relieve(self, place: int) -> None:
        """Move pods away until the node keeps the bound, or nothing more can be done."""
        for _ in range(MOST_A_NODE):
            if self._margin(place) >= self._deviate:
                return
            moved = next((each for each in self._cheapest(place) if self._move(place, each)), None)
            if moved is None:
                break
        if self._margin(place) < self._deviate:
            self.left.append(Unrelieved(place, self._short(place), self._why(place)))

    def _cheapest(self, place: int) -> Iterator[int]:
        """Its movable pods, the one to try first first."""
        pods = self._movable(place)
        if not len(pods):
            return
        loads = self._residents.loads
        here = NodeLoads(
            np.full(len(pods), self._nodes.capacity_bytes[place]),
            self._nodes.mean_bytes[place] - loads.mean_bytes[pods],
            self._nodes.variance[place] - loads.variance[pods],
            self._nodes.third[place] - loads.third[pods],
            np.full(len(pods), self._nodes.inflation[place]),
        )
        after = margin(here)
        suffices = after >= self._deviate
        size = loads.mean_bytes[pods].max(axis=1)
        # Where none suffices, the one that leaves the widest margin.
        second = np.where(suffices, size, -after * size.max(initial=1.0))
        order = np.lexsort((second, ~suffices, self._residents.importance[pods]))
        yield from pods[order].tolist()

    def _move(self, place: int, pod: int) -> bool:
        one = self._residents.loads.take([pod])
        elsewhere = self._allowed(pod).copy()
        elsewhere[place] = False
        there = next(iter(self._chooser.rank_within(one, 1, elsewhere)), None)
        if there is None:
            return False
        before = self._short(place)
        self._chooser.add(place, one, -1.0)
        self._chooser.add(there.place, one)
        self._places[pod] = there.place
        self.found.append(Relief(pod, place, there.place, before, self._short(place), there.short_after))
        return True

    def _movable(self, place: int) -> Places:
        mine = (self._places == place) & (self._residents.places == place)  # what has just come stays
        known = np.isfinite(self._residents.loads.mean_bytes).all(axis=1)
        return np.asarray(np.flatnonzero(mine & self._residents.movable & known), dtype=np.intp)

    def _why(self, place: int) -> str:
        if not len(self._movable(place)):
            return "none of the pods that are left on it may be moved"
        return "no other node has room within the bound for any of its pods"

    def _margin(self, place: int) -> float:
        return float(margin(self._nodes, among=np.array([place]))[0])

    def _short(self, place: int) -> float:
        return float(short_probability(np.array([self._margin(place)]))[0])
