"""Pods that run by the clock in a replay: what they use ahead, and where room is kept for their next start.

In: in which hours each pod runs, loads and sums of an hour. Out: loads of those that run until their end, and
a chooser in which room for starts of the coming day counts, with who has it and who has none.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from plimsoll.placement.choose import Chooser
from plimsoll.placement.lanes import LANES, Loads
from plimsoll.placement.starts import Kept, Slot, keep_room
from plimsoll.usage.sample import HOUR_SECONDS

BoolArray = npt.NDArray[np.bool_]

MOST_LOOKS = 10  # in an hour: each finds some of the starts a node


@dataclass(slots=True)
class Rooms:
    """What one hour's look found."""

    chooser: Chooser
    places: dict[int, int] = field(default_factory=dict)  # by pod
    loads: dict[int, Loads] = field(default_factory=dict)  # by pod, of its next run
    unfit_now: list[int] = field(default_factory=list)  # pods that start in this hour without room

    def take(self, pod: int) -> None:
        """A pod comes: its room is free, and it is placed anew."""
        place = self.places.pop(pod, None)
        if place is not None:
            self.chooser.add(place, self.loads[pod], -1.0)

    def put(self, pod: int, place: int) -> None:
        """Room was made."""
        self.places[pod] = place
        self.chooser.add(place, self.loads[pod])


class Clock:
    """Who runs when."""

    def __init__(self, runs: BoolArray, bound: float) -> None:
        """`runs` [P, hours]."""
        self._runs, self._bound = runs, bound
        self._places: dict[str, int] = {}

    def runs_at(self, hour: int) -> BoolArray:
        """[P]"""
        return np.asarray(self._runs[:, hour])

    def present(self, hour: int) -> BoolArray:
        """[P, LANES] hours from now on until the end of the run that there is or that begins now."""
        return np.asarray(np.logical_and.accumulate(self._ahead(hour), axis=1))

    def keep(
        self, hour: int, loads: Loads, fresh: Callable[[], Chooser], allowed: Callable[[int], BoolArray]
    ) -> Rooms:
        """Room for all starts of the coming day; `fresh` makes the sums of what runs, without it."""
        later = self._ahead(hour) & ~(self.present(hour) & self._runs[:, [hour - 1]])
        coming = np.flatnonzero(later.any(axis=1)).tolist()
        of = {pod: loads.take([pod]).masked(later[[pod]]) for pod in coming}
        starts = {pod: hour + int(np.argmax(later[pod])) for pod in coming}
        slots = [Slot(str(pod), of[pod], starts[pod] * HOUR_SECONDS) for pod in coming]
        kept, chooser = Kept({}, {}, ()), fresh()
        for _ in range(MOST_LOOKS):
            if len(kept.places) + len(kept.unfit) == len(slots):
                break
            chooser = fresh()
            kept = keep_room(chooser, slots, self._places, lambda slot: allowed(int(slot.name)), self._bound)
            self._places = dict(kept.places)
        unfit = [int(each.name) for each in kept.unfit]
        places = {int(name): place for name, place in kept.places.items()}
        return Rooms(chooser, places, of, [pod for pod in unfit if starts[pod] == hour])

    def _ahead(self, hour: int) -> BoolArray:
        n, hours = self._runs.shape
        ahead = np.zeros((n, LANES), dtype=np.bool_)
        ahead[:, : min(LANES, hours - hour)] = self._runs[:, hour : hour + LANES]
        return ahead
