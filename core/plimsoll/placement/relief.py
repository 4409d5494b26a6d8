"""Which pods should leave a kube node before it is short, or to make room for one more, and where they go.

In: nodes, pods and where they are, how important each is, which may be moved at all. Out: moves, the most
endangered node first: for each a pod, the node that has room for it, and the probability of being short with
and without it. A pod without a node that would take it within the bound is not moved: evicting it would
only move the shortage. Least important first; among equals one whose leaving suffices, and of those the
smallest, whose caches are soonest warm again.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from plimsoll.placement.choose import DEFAULT_BOUND, BoolArray, Chooser, Places
from plimsoll.placement.fit import NodeLoads, copy_of, deviate, margin, short_probability, without_each
from plimsoll.placement.lanes import Loads

MOST_A_NODE = 8  # moves from one node: more is a node that is too small for what is on it
# Evictions begin here and end at the bound: placement fills nodes up to it, and forecasts sway about it.
DANGER = 0.1


@dataclass(frozen=True, slots=True)
class Residents:
    """P pods and what is known of each."""

    loads: Loads  # [P]
    places: Places  # [P] row of the NodeLoads
    importance: npt.NDArray[np.int64]  # [P] higher is left alone longer
    movable: BoolArray  # [P] somebody makes it anew, and its disruption budget has room
    # [P] replicas of one workload have one number; None: each pod is by itself.
    workload: npt.NDArray[np.int64] | None = None


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


@dataclass(frozen=True, slots=True)
class Room:
    """Where one more pod fits, once others have gone."""

    place: int
    moves: tuple[Relief, ...]


def endangered(nodes: NodeLoads, chance: float) -> list[int]:
    """Nodes that are short within the day with more than this chance, the most likely first.

    Those whose load is not known are none. Raises ValueError for a chance that is none.
    """
    margins = margin(nodes)
    known = np.isfinite(nodes.mean_bytes).all(axis=1)
    short = np.flatnonzero(known & (margins < deviate(chance)))
    return [int(each) for each in short[np.argsort(margins[short], kind="stable")]]


def relieve(
    nodes: NodeLoads,
    residents: Residents,
    bound: float = DEFAULT_BOUND,
    allowed: Callable[[int], BoolArray] | None = None,
) -> tuple[list[Relief], list[Unrelieved]]:
    """Moves for every node above the bound, in the order in which to carry them out.

    `allowed` says of a pod which nodes [N] the scheduler would let it go to; None: all. `nodes` is not
    changed, and nodes whose load is not known are left alone. Raises ValueError for a bound that is none.
    """
    moving = Moving(nodes, residents, bound, allowed)
    for place in moving.endangered(bound):
        moving.relieve(place)
    return moving.found, moving.left


def make_room(
    nodes: NodeLoads,
    residents: Residents,
    pod: Loads,
    candidates: Sequence[int],
    bound: float = DEFAULT_BOUND,
    allowed: Callable[[int], BoolArray] | None = None,
) -> Room | None:
    """The first of the candidate nodes that keeps the bound with `pod` (one row) once some of its residents
    have gone to other nodes, at the same time; None where that is so of none. Nothing is changed.
    """
    moving = Moving(nodes, residents, bound, allowed, at_once=True)
    for place in candidates:
        if moving.relieve(place, pod):
            return Room(place, tuple(moving.found))
        moving.undo()
    return None


def room_on(
    nodes: NodeLoads,
    residents: Residents,
    place: int,
    bound: float = DEFAULT_BOUND,
    allowed: Callable[[int], BoolArray] | None = None,
) -> Room | None:
    """Who must leave a node, at the same time, for the bound to be kept; None where it cannot be. Nothing is
    changed.
    """
    moving = Moving(nodes, residents, bound, allowed, at_once=True)
    return Room(place, tuple(moving.found)) if moving.relieve(place) else None


class Moving:
    """Moves pods on a copy of the nodes, each move seeing the ones before it."""

    def __init__(
        self,
        nodes: NodeLoads,
        residents: Residents,
        bound: float = DEFAULT_BOUND,
        allowed: Callable[[int], BoolArray] | None = None,
        *,
        at_once: bool = False,
    ) -> None:
        """As of `relieve`. `at_once`: all leave together, so that of a workload at most one may."""
        self._at_once = at_once
        self._allowed = allowed or (lambda _: np.ones(len(nodes), dtype=np.bool_))
        self._nodes = copy_of(nodes)
        self._deviate = deviate(bound)
        self._chooser = Chooser(self._nodes, bound)
        self._residents, self._places = residents, residents.places.copy()
        self._put: list[tuple[int, Loads]] = []  # what else was added, for `undo`
        self.found: list[Relief] = []
        self.left: list[Unrelieved] = []

    def endangered(self, chance: float) -> list[int]:
        """Nodes that are short with more than this chance, the most likely first."""
        return endangered(self._nodes, chance)

    def relieve(self, place: int, pod: Loads | None = None) -> bool:
        """Move pods away until the node keeps the bound, with `pod` (one row) if given, and say whether it
        does; False where nothing more can be done.
        """
        if pod is not None:
            self._chooser.add(place, pod)
            self._put.append((place, pod))
        for _ in range(MOST_A_NODE):
            if self._margin(place) >= self._deviate:
                return True
            moved = next((each for each in self._cheapest(place) if self._move(place, each)), None)
            if moved is None:
                break
        if self._margin(place) >= self._deviate:
            return True
        self.left.append(Unrelieved(place, self._short(place), self._why(place)))
        return False

    def undo(self) -> None:
        """Take back every move, and what was added beside."""
        for each in reversed(self.found):
            one = self._residents.loads.take([each.pod])
            self._chooser.add(each.to_place, one, -1.0)
            self._chooser.add(each.from_place, one)
            self._places[each.pod] = each.from_place
        for place, pod in reversed(self._put):
            self._chooser.add(place, pod, -1.0)
        self._put.clear()
        self.found.clear()
        self.left.clear()

    def _cheapest(self, place: int) -> Iterator[int]:
        """Its movable pods, the one to try first first."""
        pods = self._movable(place)
        if not len(pods):
            return
        loads = self._residents.loads
        after = margin(without_each(self._nodes, place, loads.take(pods)))
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
        may = mine & self._residents.movable & known
        if self._at_once and self._residents.workload is not None and self.found:
            leaving = self._residents.workload[[each.pod for each in self.found]]
            may &= ~np.isin(self._residents.workload, leaving)
        return np.asarray(np.flatnonzero(may), dtype=np.intp)

    def _why(self, place: int) -> str:
        if not len(self._movable(place)):
            return "none of the pods that are left on it may be moved"
        return "no other node has room within the bound for any of its pods"

    def _margin(self, place: int) -> float:
        return float(margin(self._nodes, among=np.array([place]))[0])

    def _short(self, place: int) -> float:
        return float(short_probability(np.array([self._margin(place)]))[0])
