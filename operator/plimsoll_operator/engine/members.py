"""The live containers of all pods, columnar: which row each feeds, what it used last and which limit it has.

In: members that come and go, samples by name. Out: slots (indices into the columns) and, per row, the
highest use and the age of the least known replica. Names are looked up in two maps, for sources name pods
and the API names uids; a pod recreated under its old name takes the name over, and the old one's end does
not take it away again.
"""

import math
import sys
from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt

from plimsoll.usage.grown import grown
from plimsoll.usage.sample import FUTURE_TOLERANCE_SECONDS, MAX_PLAUSIBLE_BYTES, BoolArray, Float64Array
from plimsoll_operator.engine.messages import Member, NodeUse, PodContainer, RowUsage
from plimsoll_operator.observe.source import ContainerName

FIRST_SLOTS = 1024
UNKNOWN = -1  # slot of a container nobody told us of

SlotArray = npt.NDArray[np.int64]


class MemberTable:
    """Columns over slots; freed slots are used again."""

    def __init__(self) -> None:
        self._by_name: dict[ContainerName, int] = {}
        self._by_uid: dict[PodContainer, int] = {}
        self._names: list[ContainerName] = []  # by slot
        self._uids: list[PodContainer] = []  # by slot
        self._free: list[int] = []
        self.rows: npt.NDArray[np.int32] = np.full(FIRST_SLOTS, -1, dtype=np.int32)  # -1: slot is free
        self.limit_bytes: Float64Array = np.full(FIRST_SLOTS, np.nan)  # NaN: none set
        self.request_bytes: Float64Array = np.full(FIRST_SLOTS, np.nan)  # NaN: none set
        self._kube_nodes: dict[str, int] = {}  # code by name
        self._kube_node: npt.NDArray[np.int32] = np.zeros(FIRST_SLOTS, dtype=np.int32)  # code
        self._images: npt.NDArray[np.uint32] = np.zeros(FIRST_SLOTS, dtype=np.uint32)  # 0: not known
        self._ceiling_bytes: Float64Array = np.full(FIRST_SLOTS, np.nan)  # NaN: not known
        self._last_bytes: Float64Array = np.full(FIRST_SLOTS, np.nan)
        self._last_seconds: Float64Array = np.full(FIRST_SLOTS, np.nan)
        # As histories are told it (`EngineCore._append`): the newest, and the highest of the hour.
        self._told_bytes: Float64Array = np.full(FIRST_SLOTS, np.nan)
        self._peak_bytes: Float64Array = np.full(FIRST_SLOTS, np.nan)
        self._since_seconds: Float64Array = np.full(FIRST_SLOTS, np.nan)  # first tick it was live at

    def __len__(self) -> int:
        """Live members."""
        return len(self._by_uid)

    def add(self, member: Member) -> int:
        """Take a member in, or its new facts where it is known; return its slot."""
        uid = (member.pod_uid, sys.intern(member.container))
        slot = self._by_uid.get(uid, UNKNOWN)
        if slot == UNKNOWN:
            slot = self._new_slot(uid)
        name = (sys.intern(member.namespace), member.pod, uid[1])
        self._names[slot] = name
        self._by_name[name] = slot
        self.rows[slot] = member.row
        self.limit_bytes[slot] = math.nan if member.limit_bytes is None else member.limit_bytes
        self.request_bytes[slot] = math.nan if member.request_bytes is None else member.request_bytes
        self._kube_node[slot] = self._kube_nodes.setdefault(member.kube_node, len(self._kube_nodes))
        self._images[slot] = member.image
        self._ceiling_bytes[slot] = math.nan if member.ceiling_bytes is None else member.ceiling_bytes
        return slot

    def remove(self, uid: PodContainer) -> None:
        """Let a member go; one that is not known changes nothing."""
        slot = self._by_uid.pop(uid, UNKNOWN)
        if slot == UNKNOWN:
            return
        if self._by_name.get(self._names[slot]) == slot:
            del self._by_name[self._names[slot]]
        self.rows[slot] = -1
        self._free.append(slot)

    def slot_of(self, uid: PodContainer) -> int:
        """Return the slot of a pod's container, `UNKNOWN` if it is not live."""
        return self._by_uid.get(uid, UNKNOWN)

    def uid_of(self, slot: int) -> PodContainer:
        """Return the pod uid and container name of a slot."""
        return self._uids[slot]

    def locate(self, names: Sequence[ContainerName]) -> SlotArray:
        """Return the slot of each name, [n]; `UNKNOWN` where it is not live."""
        known = self._by_name
        return np.fromiter((known.get(name, UNKNOWN) for name in names), dtype=np.int64, count=len(names))

    def live(self) -> SlotArray:
        """Return all live slots, ascending."""
        return np.flatnonzero(self.rows >= 0)

    def pods_of(self, rows: Iterable[int]) -> dict[int, list[str]]:
        """Return the names of the live pods of each of these rows."""
        found: dict[int, list[str]] = {row: [] for row in rows}
        for slot in np.flatnonzero(np.isin(self.rows, list(found))).tolist():
            found[int(self.rows[slot])].append(self._names[slot][1])
        return found

    def begin(self, now_seconds: float) -> None:
        """A tick begins: members that came since the last one are live from now on."""
        slots = self.live()
        fresh = slots[np.isnan(self._since_seconds[slots])]
        self._since_seconds[fresh] = now_seconds

    def observe(
        self,
        slots: SlotArray,
        seconds: Float64Array,
        bytes_: Float64Array,
        now_seconds: float,
        told_bytes: Float64Array | None = None,
    ) -> BoolArray:
        """Take samples in ([n] each); return which ones could be believed. `told_bytes`: what of them the
        histories are told, NaN where they wait; None: all of it.

        Of several samples of one moment the highest counts; an older one than is known changes nothing.
        """
        told_bytes = bytes_ if told_bytes is None else told_bytes
        with np.errstate(invalid="ignore"):
            good = (slots >= 0) & (bytes_ >= 0) & (bytes_ <= self.ceilings(slots))
            good &= seconds <= now_seconds + FUTURE_TOLERANCE_SECONDS
        at, when, used = slots[good], np.minimum(seconds[good], now_seconds), bytes_[good]
        told = told_bytes[good]
        before = self._last_seconds[at]
        np.fmax.at(self._last_seconds, at, when)
        newest = when == self._last_seconds[at]
        moved = newest & ~(before == when)
        self._last_bytes[at[moved]] = np.nan
        np.fmax.at(self._last_bytes, at[newest], used[newest])
        self._told_bytes[at[moved]] = np.nan
        np.fmax.at(self._told_bytes, at[newest], told[newest])
        np.fmax.at(self._peak_bytes, at, told)
        return good

    def ceilings(self, slots: SlotArray) -> Float64Array:
        """Return what no sample of each slot can exceed, [n]; free slots and unknown kube nodes: anything."""
        return np.fmin(np.where(slots >= 0, self._ceiling_bytes[slots], np.nan), MAX_PLAUSIBLE_BYTES)

    def set_bytes(self, slots: SlotArray) -> Float64Array:
        """Return each slot's limit in force, or its request where it has none, [n]; NaN: neither."""
        limits = self.limit_bytes[slots]
        said = np.where(np.isnan(limits), self.request_bytes[slots], limits)
        return np.where(slots >= 0, said, np.nan)

    def row_limits(self, rows_count: int) -> Float64Array:
        """Return the lowest limit in force of each row's members, [rows_count]; NaN where none has one."""
        lowest = np.full(rows_count, np.nan)
        slots = self.live()
        np.fmin.at(lowest, self.rows[slots], self.limit_bytes[slots])
        return lowest

    def row_requests(self, rows_count: int) -> Float64Array:
        """Return the highest request of each row's members, [rows_count]; NaN where none has one."""
        highest = np.full(rows_count, np.nan)
        slots = self.live()
        np.fmax.at(highest, self.rows[slots], self.request_bytes[slots])
        return highest

    def node_use(self, now_seconds: float, limit_seconds: float) -> NodeUse:
        """Return what histories were told of each kube node's members, in samples younger than that."""
        slots, names = self.live(), list(self._kube_nodes)
        codes = self._kube_node[slots]
        fresh = (self._ages(slots, now_seconds) <= limit_seconds) & np.isfinite(self._last_bytes[slots])
        members, sampled = (np.bincount(each, minlength=len(names)) for each in (codes, codes[fresh]))
        used = np.bincount(codes[fresh], self._told_bytes[slots[fresh]], minlength=len(names))
        here = np.flatnonzero(members)
        return NodeUse(
            tuple(names[code] for code in here.tolist()),
            used[here].astype(np.float64),
            members[here].astype(np.int32),
            sampled[here].astype(np.int32),
        )

    def counts(self, rows: npt.NDArray[np.int32]) -> npt.NDArray[np.int32]:
        """Return how many live members each of these rows has, [n]."""
        counted = np.bincount(self.rows[self.live()], minlength=int(rows.max(initial=-1)) + 1)
        return counted[rows].astype(np.int32)

    def images_of(self, rows: npt.NDArray[np.int32]) -> npt.NDArray[np.uint32]:
        """Return the image that all live members of each of these rows run, [n], rising; 0: no one image."""
        slots = np.flatnonzero(np.isin(self.rows, rows))
        place = np.searchsorted(rows, self.rows[slots])
        least = np.full(len(rows), np.iinfo(np.uint32).max, dtype=np.uint32)
        most = np.zeros(len(rows), dtype=np.uint32)
        np.minimum.at(least, place, self._images[slots])
        np.maximum.at(most, place, self._images[slots])
        return np.where(least == most, most, np.uint32(0))

    def usage(self, now_seconds: float) -> RowUsage:
        """Return the present use of every row with live members."""
        slots = self.live()
        rows, place = np.unique(self.rows[slots], return_inverse=True)
        current = np.full(len(rows), np.nan)
        np.fmax.at(current, place, self._last_bytes[slots])
        age = np.zeros(len(rows))
        np.maximum.at(age, place, self._ages(slots, now_seconds))
        return RowUsage(rows.astype(np.int32), current, age)

    def totals(self) -> tuple[float, float]:
        """Return the sums of present use and of limits over all live members, bytes."""
        slots = self.live()
        return float(np.nansum(self._last_bytes[slots])), float(np.nansum(self.limit_bytes[slots]))

    def stale(self, now_seconds: float, limit_seconds: float) -> int:
        """Return how many live members have no sample younger than that."""
        return int(np.count_nonzero(self._ages(self.live(), now_seconds) > limit_seconds))

    def last_bytes(self, slots: SlotArray) -> Float64Array:
        """Return the newest sample of each slot, bytes, NaN where there was none."""
        return self._last_bytes[slots]

    def peak_bytes(self, slots: SlotArray) -> Float64Array:
        """Return the highest that histories were told of each slot lately; NaN where there was no sample."""
        return self._peak_bytes[slots]

    def peaks_from_now_on(self) -> None:
        """What is highest is found anew."""
        self._peak_bytes[:] = np.nan

    def lived_seconds(self, slots: SlotArray, now_seconds: float) -> Float64Array:
        """Return for how long each slot's member has been live, [n]; NaN before its first tick."""
        return now_seconds - self._since_seconds[slots]

    def _ages(self, slots: SlotArray, now_seconds: float) -> Float64Array:
        """Seconds since the last sample, or since a member without one came."""
        last = np.fmax(self._last_seconds[slots], self._since_seconds[slots])
        sampled = np.isfinite(self._last_seconds[slots])
        last = np.where(sampled, self._last_seconds[slots], last)
        return np.maximum(now_seconds - np.where(np.isnan(last), now_seconds, last), 0.0)

    def _new_slot(self, uid: PodContainer) -> int:
        if self._free:
            slot = self._free.pop()
            self._uids[slot] = uid
        else:
            slot = len(self._uids)
            self._uids.append(uid)
            self._names.append(("", "", ""))
            self._grow(slot + 1)
        self._by_uid[uid] = slot
        of_samples = (self._last_bytes, self._told_bytes, self._peak_bytes)
        for column in (*of_samples, self._last_seconds, self._since_seconds):
            column[slot] = np.nan
        return slot

    def _grow(self, count: int) -> None:
        self.rows = grown(self.rows, count, -1)
        self.limit_bytes = grown(self.limit_bytes, count, np.nan)
        self.request_bytes = grown(self.request_bytes, count, np.nan)
        self._kube_node = grown(self._kube_node, count, 0)
        self._images = grown(self._images, count, 0)
        self._ceiling_bytes = grown(self._ceiling_bytes, count, np.nan)
        self._last_bytes = grown(self._last_bytes, count, np.nan)
        self._told_bytes = grown(self._told_bytes, count, np.nan)
        self._peak_bytes = grown(self._peak_bytes, count, np.nan)
        self._last_seconds = grown(self._last_seconds, count, np.nan)
        self._since_seconds = grown(self._since_seconds, count, np.nan)
