"""Room for pods that are known to start within the day: kept on a node until they come.

In: a `Chooser` over the nodes of a moment, `Slot`s (a pod to come, what it will use in the hours of its run,
when it starts), where each was meant to go before. Out: where each is meant to go now, added to the nodes'
sums, so that whoever is placed meanwhile and whoever relieves nodes keeps room; and the slots for which there
is none within the bound. A slot stays where it was while that node keeps the bound; it is a forecast of a
place and binds nobody: the pod is placed anew when it comes. Where others are made to leave a node for a
slot, it counts there before they are gone, or whoever comes meanwhile (their successors first) would take
what they leave.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from plimsoll.placement.choose import Chooser
from plimsoll.placement.fit import deviate, margin
from plimsoll.placement.lanes import LANES, FloatArray, Loads
from plimsoll.usage.sample import HOUR_SECONDS

BoolArray = npt.NDArray[np.bool_]

# So long before a start for which no node has room others are made to leave: early enough that they are gone
# (they take their grace period), late enough that forecasts of the hour have been heard.
PREPARE_SECONDS = 900.0
LATE_SECONDS = 600.0  # a start whose pod has not come is waited for so long
MOST_NEW = 32  # slots that are found a node in one go; those that have one cost far less


@dataclass(frozen=True, slots=True)
class Slot:
    """One pod to come."""

    name: str  # of the workload and which of its pods; the same from one look to the next
    loads: Loads  # one row, by hour of the day, nothing outside its run
    start_seconds: float


@dataclass(frozen=True, slots=True)
class Kept:
    """Where room is kept."""

    places: Mapping[str, int]  # by slot
    making: Mapping[str, int]  # by slot: where others leave for it, and the bound is not kept yet
    unfit: tuple[Slot, ...]  # no node keeps the bound with these, also those that room is being made for


def within_run(
    loads: Loads, starts_seconds: Sequence[float], stays_hours: int, now_seconds: float
) -> Loads | None:
    """Loads (one row, by hour of the day) in the hours in which it runs within the day; None: in none."""
    present = int(now_seconds // HOUR_SECONDS)
    hours = {
        hour
        for start in starts_seconds
        for hour in range(int(start // HOUR_SECONDS), int(start // HOUR_SECONDS) + max(stays_hours, 1))
        if present <= hour < present + LANES
    }
    if not hours:
        return None
    runs = np.zeros(LANES, dtype=np.bool_)
    runs[[hour % LANES for hour in hours]] = True
    return loads.masked(runs[None, :])


def until_its_end(
    started_seconds: FloatArray, stays_hours: npt.NDArray[np.int64], now_seconds: float
) -> BoolArray:
    """[n, LANES] hours of the day in which pods may still run that began at these times and stay so long.

    All of them for a pod whose start is not known or that has run for longer than any before it.
    """
    present = int(now_seconds // HOUR_SECONDS)
    begun = np.floor(started_seconds / HOUR_SECONDS)
    with np.errstate(invalid="ignore"):
        left = begun + stays_hours - present  # whole hours from the present one on
        known = np.isfinite(left) & (left > 0) & (stays_hours > 0) & (stays_hours < LANES)
    ahead = (np.arange(LANES) - present) % LANES
    return np.asarray(~known[:, None] | (ahead[None, :] < np.where(known, left, LANES)[:, None]))


def keep_room(
    chooser: Chooser,
    slots: Collection[Slot],
    before: Mapping[str, int],
    allowed: Callable[[Slot], BoolArray],
    bound: float,
    making: Mapping[str, int] | None = None,
) -> Kept:
    """Add the slots to the chooser's nodes: those first for which room is being made, then by start.

    `allowed` says which nodes [N] the scheduler would let a slot's pod go to, `making` where others leave for
    a slot. Raises ValueError for a bound that is none.
    """
    made = making or {}
    places: dict[str, int] = {}
    still: dict[str, int] = {}
    unfit: list[Slot] = []
    new = 0
    for slot in sorted(slots, key=lambda each: (each.name not in made, each.start_seconds, each.name)):
        at = made.get(slot.name)
        if at is not None and allowed(slot)[at]:
            if _keeps(chooser, at, slot, bound):
                places[slot.name] = at
            else:
                still[slot.name] = at
                unfit.append(slot)
            chooser.add(at, slot.loads)
            continue
        place = before.get(slot.name)
        if place is None or not allowed(slot)[place] or not _keeps(chooser, place, slot, bound):
            if new == MOST_NEW:  # in the next look
                continue
            new += 1
            found = next(iter(chooser.rank_within(slot.loads, 1, allowed(slot))), None)
            place = None if found is None else found.place
            unfit += [] if place is not None else [slot]
        if place is not None:
            chooser.add(place, slot.loads)
            places[slot.name] = place
    return Kept(places, still, tuple(unfit))


def _keeps(chooser: Chooser, place: int, slot: Slot, bound: float) -> bool:
    return bool(margin(chooser.nodes, slot.loads, np.array([place]))[0] >= deviate(bound))
