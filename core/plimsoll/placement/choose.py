"""Which kube node one more pod should go to: the fewest nodes at a stated probability of being short.

In: `NodeLoads`, a pod's `Loads`, which nodes the scheduler would allow, a bound. Out: `Choice`s, best first,
or none where nothing is known. The rule: of the nodes in use that stay within the bound, the one whose need
grows least by the pod (its peak falls into their valley) and that is left with least room (best fit); an
empty node comes last. Where no node keeps the bound, the one that is left with the widest margin: the
scheduler would place the pod somewhere all the same.

Source: best fit by marginal need is the vector form of best fit by residual capacity (Panigrahy, Talwar,
Uyeda and Wieder, "Heuristics for Vector Bin Packing", Microsoft Research 2011), with the need at a bound in
place of a fixed size.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from plimsoll.placement.fit import (
    NodeLoads,
    deviate,
    margin,
    most_margin,
    move,
    need,
    need_by_lane,
    needed_bytes,
    short_probability,
    with_pod,
)
from plimsoll.placement.lanes import FloatArray, Loads

BoolArray = npt.NDArray[np.bool_]
Places = npt.NDArray[np.intp]

DEFAULT_BOUND = 0.02  # probability of being short at any time within a day
COMFORT = 0.0005  # up to which nodes are filled while there is room elsewhere
# Nodes that are looked at closely, tightest first; more only where none of these has room.
CANDIDATES = 64
# Bytes of need added that a byte of room left weighs. Without it, and with room counting for a node, nodes
# are short as often or more often (`bench/placement.py --part rules`).
ROOM_WEIGHT = 0.1


@dataclass(frozen=True, slots=True)
class Choice:
    """A node for a pod."""

    place: int  # row of the NodeLoads
    short_before: float  # probability of being short within the day, without the pod ...
    short_after: float  # ... and with it
    added_bytes: float  # by how much its need grows


class Chooser:
    """Chooses for one pod after the other, each seeing where the ones before it went."""

    def __init__(self, nodes: NodeLoads, bound: float = DEFAULT_BOUND, comfort: float | None = None) -> None:
        """`comfort`: up to where `prefer` fills nodes; None: the bound. Raises ValueError for none."""
        self.nodes = nodes
        self._comfort = None if comfort is None else Chooser(nodes, comfort)
        self._deviate = deviate(bound)
        self._need: FloatArray = np.full(len(nodes), np.nan)
        self._worst: Places = np.zeros(len(nodes), dtype=np.intp)  # the lane in which each needs most
        self._look(np.arange(len(nodes)))
        self._empty: BoolArray = (nodes.mean_bytes == 0).all(axis=1)

    @property
    def need_bytes(self) -> FloatArray:
        """[N] what each node needs at the bound; NaN where it is not known."""
        return self._need

    def choose(self, pod: Loads, allowed: BoolArray | None = None) -> Choice | None:
        """The node for `pod` (one row) of those `allowed` [N]; None: no opinion. Nothing is changed.

        A pod whose own load is not known gets none.
        """
        return next(iter(self.rank(pod, 1, allowed)), None)

    def rank(self, pod: Loads, count: int, allowed: BoolArray | None = None) -> list[Choice]:
        """Up to `count` nodes, the best first: a scheduler that looks at few of them finds one of these."""
        kept = self.rank_within(pod, count, allowed)
        if kept or not np.isfinite(pod.mean_bytes).all():
            return kept
        known = np.isfinite(self._need) if allowed is None else np.isfinite(self._need) & allowed
        return self._safest(np.flatnonzero(known), pod, count)

    def prefer(self, pod: Loads, count: int, allowed: BoolArray | None = None) -> list[Choice]:
        """Up to `count` nodes that a scheduler should rather take, the best first.

        Those of `rank` at the bound of comfort: where none keeps that, the widest margin is better than the
        tightest fit. What may be and what should be are two bounds: filled up to the first while there is
        room elsewhere, nodes are short more often (decision 0378).
        """
        return (self if self._comfort is None else self._comfort).rank(pod, count, allowed)

    def rank_within(self, pod: Loads, count: int, allowed: BoolArray | None = None) -> list[Choice]:
        """The same of nodes that keep the bound alone; none where no node does."""
        if not np.isfinite(pod.mean_bytes).all():
            return []
        room = self.nodes.capacity_bytes - self._need
        # In a node's worst hour at least the pod's quietest one is added.
        may = np.isfinite(self._need) & (room >= pod.mean_bytes.min())
        if allowed is not None:
            may &= allowed
        found: list[Choice] = []
        for few in self._candidates(np.flatnonzero(may), room, pod):
            fits = few[margin(self.nodes, pod, few) >= self._deviate]
            found += self._best(fits, pod, count - len(found))
            if len(found) >= count:
                break
        return found

    def add(self, place: int, pod: Loads, sign: float = 1.0) -> None:
        """Put the pod on a node (or take it away, sign -1)."""
        move(self.nodes, place, pod, sign)
        self.moved(place)

    def moved(self, place: int) -> None:
        """A node's loads were changed: what it needs now."""
        self._look(np.array([place]))
        self._empty[place] = bool((self.nodes.mean_bytes[place] <= 0).all())
        if self._comfort is not None:
            self._comfort.moved(place)

    def _look(self, places: Places) -> None:
        """What these nodes need, and when."""
        inflation = self.nodes.inflation[places]
        by_lane = need_by_lane(*with_pod(self.nodes, None, places), inflation, self._deviate)
        self._need[places], self._worst[places] = by_lane.max(axis=1), by_lane.argmax(axis=1)

    def _candidates(self, may: Places, room: FloatArray, pod: Loads) -> Iterator[Places]:
        """Nodes in use, tightest first, a few at a time; then one empty node of each size.

        Beyond the first few only those that may turn out to have the room: on full nodes nearly none has, and
        to look at every hour of thousands takes tens of milliseconds.
        """
        used, empty = may[~self._empty[may]], may[self._empty[may]]
        ordered = used[np.argsort(room[used], kind="stable")]
        yield ordered[:CANDIDATES]
        for at in range(CANDIDATES, len(ordered), 8 * CANDIDATES):
            rest = ordered[at : at + 8 * CANDIDATES]
            rest = rest[self._hopes(rest, pod) >= self._deviate]
            yield from (rest[i : i + CANDIDATES] for i in range(0, len(rest), CANDIDATES))
        if len(empty):
            sizes = np.unique(self.nodes.capacity_bytes[empty], return_index=True)[1]
            yield from (empty[[each]] for each in sizes.tolist())

    def _hopes(self, places: Places, pod: Loads) -> FloatArray:
        """[places] no less than the margins that they are left with."""
        lanes = np.column_stack([self._worst[places], np.full(len(places), pod.mean_bytes[0].argmax())])
        return most_margin(self.nodes, pod, places, lanes)

    def _safest(self, places: Places, pod: Loads, count: int) -> list[Choice]:
        """Nodes that are left with the widest margins; of those alike the first."""
        hopes = self._hopes(places, pod)
        order = np.argsort(-hopes, kind="stable")
        places, hopes = places[order], np.append(hopes[order], -np.inf)
        then, looked, few = np.empty(0), 0, max(CANDIDATES, 2 * count)
        while looked < len(places):
            then = np.append(then, margin(self.nodes, pod, places[looked : looked + few]))
            looked = len(then)
            if looked >= count and np.partition(then, -count)[-count] > hopes[looked]:
                break  # no other can have as wide a margin
            few *= 2
        best = places[:looked][np.lexsort((places[:looked], -then))[:count]]
        return self._told(best, pod, needed_bytes(self.nodes, self._deviate, pod, best))

    def _best(self, fits: Places, pod: Loads, count: int) -> list[Choice]:
        after = needed_bytes(self.nodes, self._deviate, pod, fits)
        left = self.nodes.capacity_bytes[fits] - after
        order = np.argsort(after - self._need[fits] + ROOM_WEIGHT * left, kind="stable")[:count]
        return self._told(fits[order], pod, after[order])

    def _told(self, places: Places, pod: Loads, after_bytes: FloatArray) -> list[Choice]:
        before = short_probability(margin(self.nodes, among=places)).tolist()
        then = short_probability(margin(self.nodes, pod, places)).tolist()
        added = (after_bytes - self._need[places]).tolist()
        return [Choice(*each) for each in zip(places.tolist(), before, then, added, strict=True)]


def own_need_bytes(pods: Loads, bound: float = DEFAULT_BOUND) -> FloatArray:
    """[n] what each pod would need at the bound if it were alone on a node."""
    return need(pods.mean_bytes, pods.variance, pods.third, np.ones(len(pods)), deviate(bound))
