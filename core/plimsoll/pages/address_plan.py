"""One container's memory by address: what may go, what should come back, from looks that come now and then.

In: at each look, of each process: what is mapped, what was monitored, what of it was accessed; then, of the
blocks that `see` asks for, how many pages are present. Out: parts of processes to page out, coldest first,
within a byte limit (`take`), parts to bring back (`bring_back`), idle ages, the predictor for others to start
from. A look is an epoch of `GuardedReclaim`; processes come and go, and their blocks with them. What is said
is good for half a minute after a look: later nobody knows any more whether it is still cold. What was present
once is not believed to be for ever: a part of it is asked for again at each look, all of it after others have
reclaimed (`others_took`), and what was paged out counts as gone as far as it was measured (`took`).
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from plimsoll.pages.blocks import (
    AIMED_BLOCKS,
    Keys,
    Spans,
    address_of,
    block_bytes_for,
    keys_of,
    overlapping,
    process_of,
    runs_of,
)
from plimsoll.pages.bring_back import BringBack
from plimsoll.pages.epochs import BoolArray, EpochBits, FloatArray, IntArray
from plimsoll.pages.guarded_plan import GUARDED, GuardedReclaim
from plimsoll.pages.moving import Move
from plimsoll.pages.reuse_learner import Taught
from plimsoll.pages.reuse_predictor import ReusePredictor
from plimsoll.pages.working_set import IdleAges

PAGE_BYTES = 4096
LEAST_SAMPLES = 128  # learned from here: tables from elsewhere would throw more away than they bring
LEAST_LOOKS = 8  # before that a predictor knows next to nothing, and says nothing
FRESH_SECONDS = 30.0
MOST_ASKED_BYTES = 512 << 20  # of one look: a word of eight bytes is read for each page
PRESENT_SHARE = 0.25  # of what a block once had: with less of it present, it is out
ASKED_AGAIN_SHARE = 0.125  # of all blocks, among the idle ones that are believed present, at each look
KEPT_FOR_AGAIN = 0.25  # of what a look may ask, whatever else it has to ask
LEAST_OTHERS_RATIO = 0.01  # of what is present: with more taken by others, none of it is believed
STUCK_SHARE = 0.75  # of a block's pages: with so much left after it was to go, it does not move
BELIEVED, IN_DOUBT, TRIED = 0, 1, 2
NOTHING = np.empty(0, dtype=np.int64)

Process = tuple[int, int]
"""pid and start time in ticks: a pid alone may be another's by now."""


@dataclass(frozen=True, slots=True, eq=False)
class SeenProcess:
    """One process at one look."""

    process: Process
    mapped: Spans
    watched: Spans
    accessed: Spans


@dataclass(frozen=True, slots=True, eq=False)
class Asked:
    """How many pages of each block of these stretches are present: `ranges` int64[k, 2], start and bytes."""

    process: Process
    ranges: npt.NDArray[np.int64]
    block_bytes: int


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """Memory of one process to be acted on: `ranges` uint64[k, 2]; `keys` are the plan's own."""

    process: Process
    ranges: npt.NDArray[np.uint64]
    keys: Keys = field(repr=False)

    @property
    def bytes_(self) -> int:
        """All ranges together."""
        return int(self.ranges[:, 1].sum())


@dataclass(frozen=True, slots=True, eq=False)
class _Look:
    keys: Keys
    accessed: BoolArray
    asked: tuple[Keys, ...]
    now_seconds: float


class AddressPlan:
    """Between two looks `take` and `bring_back` may be called as often as the law of reclaim has room."""

    def __init__(self, target: float, predictor: ReusePredictor | None = None) -> None:
        self.looks = 0
        self.planned_seconds = float("-inf")
        self.block_bytes = 0
        self.aimed_blocks = AIMED_BLOCKS
        """In force when a block size is chosen: at the first look, or when the memory has outgrown it."""
        self._prior, self._target = predictor, target
        self._numbers: dict[Process, int] = {}
        self._next_number = 0
        self._look: _Look | None = None
        self._page: Keys
        self._plan: GuardedReclaim
        self._back: BringBack | None = None
        self._present: IntArray
        self._peak: IntArray
        self._touched_seconds: FloatArray
        self._taken_seconds: FloatArray
        self._streak: IntArray
        self._doubt: IntArray
        self._asked_look: IntArray
        self.gone_bytes_total = 0
        """Of what was believed present, what turned out not to be: reclaimed by anybody, or unmapped."""
        self._others_bytes = 0
        self._going: IntArray
        self._coming: IntArray
        self._begin(NOTHING)

    @property
    def predictor(self) -> ReusePredictor:
        """The tables as they are now."""
        return self._plan.learner.predictor

    def take_taught(self) -> Taught | None:
        """What the newest look taught, once; None where it was nothing."""
        taught, self._plan.learner.taught = self._plan.learner.taught, None
        return taught

    def start_from(self, tables: ReusePredictor) -> bool:
        """Go on from these tables, if it knows next to nothing itself; True where it does so now."""
        if self.predictor.samples >= LEAST_SAMPLES:
            return False
        self._prior = tables
        self.predictor.tables[:] = tables.tables
        return True

    @property
    def follows(self) -> str:
        """Whose order the guard follows."""
        return self._plan.guard.current

    @property
    def returned_ratio(self) -> float:
        """Of what was brought back, the share that was used soon; NaN before there was any."""
        return float("nan") if self._back is None else self._back.precision

    def brings_back(self, wanted: bool) -> None:  # noqa: FBT001
        """Whether to learn what should come back, and to say so; it begins to learn when it is wanted."""
        if wanted != (self._back is not None):
            self._back = BringBack(self._page) if wanted else None
            self._coming = NOTHING

    def aim_at(self, target: float) -> None:
        """Another refault budget: refaults per access of a block in a look."""
        self._target = min(0.99, max(1e-6, target))
        self._plan.budget.account.aim_at(self._target)

    def speaks(self, now_seconds: float) -> bool:
        """Whether it knows this memory well enough, and recently enough."""
        return self.looks >= LEAST_LOOKS and 0.0 <= now_seconds - self.planned_seconds <= FRESH_SECONDS

    @property
    def cold_bytes(self) -> int:
        """What may still go, by the last look."""
        return int(self._present[self._going].sum()) * PAGE_BYTES

    def see(self, seen: Sequence[SeenProcess], now_seconds: float) -> tuple[Asked, ...]:
        """Begin a look; the answers go to `conclude`. Nothing seen: nothing is asked, and nothing changes."""
        mapped = [overlapping(each.mapped, each.watched) for each in seen]
        total = sum(each.total_bytes for each in mapped)
        if not total:
            self._look = None
            return ()
        if not self.block_bytes:
            self.block_bytes = block_bytes_for(total, self.aimed_blocks)
        self._number(each.process for each in seen)
        keys = self._keys(seen, mapped)
        if len(keys) > 2 * self.aimed_blocks:  # it has grown: coarser blocks, which know nothing yet
            self.block_bytes = max(2 * self.block_bytes, block_bytes_for(2 * total, self.aimed_blocks))
            self._begin(NOTHING)
            keys = self._keys(seen, mapped)
        accessed = np.isin(keys, self._keys(seen, [each.accessed for each in seen]))
        wanted = self._to_ask(keys, keys[accessed])
        asked = [(each.process, wanted[process_of(wanted) == self._numbers[each.process]]) for each in seen]
        asked = [(process, some) for process, some in asked if len(some)]
        self._look = _Look(keys, accessed, tuple(some for _, some in asked), now_seconds)
        return tuple(Asked(process, self._ranges(some), self.block_bytes) for process, some in asked)

    def conclude(self, present: Sequence[npt.NDArray[np.int64] | None], policy: str = GUARDED) -> None:
        """End the look: pages present in each block asked for, in order; None where it could not be told."""
        look, self._look = self._look, None
        if look is None:
            return
        arrived = self._follow(look, present)
        self._plan.follow(look.keys, arrived)
        if self._back is not None:
            self._back.follow(look.keys, arrived)
        resident = look.accessed | self._is_resident()
        self._peak = np.maximum(self._peak, self._present)
        self._touched_seconds[look.accessed | arrived] = look.now_seconds
        self._streak = np.where(look.accessed, self._streak + 1, 0)
        bits = EpochBits(look.accessed, np.zeros_like(look.accessed), resident & (self._present > 0))
        self._going = self._plan.step(bits, policy)
        self._coming = NOTHING if self._back is None else self._back.step(bits, self._plan.budget.out)
        self.looks += 1
        self.planned_seconds = look.now_seconds

    def take(self, limit_bytes: int) -> tuple[Part, ...]:
        """The coldest parts of at most so many bytes; they are not offered again before the next look."""
        sizes = np.cumsum(self._present[self._going]) * PAGE_BYTES
        count = int(np.searchsorted(sizes, limit_bytes, side="right"))
        rows, self._going = self._going[:count], self._going[count:]
        self._doubt[rows] = TRIED
        return self._parts(rows)

    def coldest(self, limit_bytes: int) -> tuple[Part, ...]:
        """What `take` would offer first, and goes on offering: for whoever moves it to slower memory."""
        sizes = np.cumsum(self._present[self._going]) * PAGE_BYTES
        return self._parts(self._going[: int(np.searchsorted(sizes, limit_bytes, side="right"))])

    def doubtful(self, limit_bytes: int) -> tuple[Part, ...]:
        """What the budget would let go and the guard would not; a block once, until it is accessed again."""
        sizes = np.cumsum(self._present[self._plan.vetoed]) * PAGE_BYTES
        return self._parts(self._plan.doubtful(int(np.searchsorted(sizes, limit_bytes, side="right"))))

    def asked(self, part: Part) -> Asked:
        """What is to be asked of a part after an action on it."""
        return Asked(part.process, part.ranges.astype(np.int64), self.block_bytes)

    def took(self, part: Part, left: npt.NDArray[np.int64] | None) -> None:
        """This part was to be paged out: pages `left` in each of its blocks.

        None: it could not be told, and the next look asks. What did not move is left alone for a while, so
        that it stands in nobody's way.
        """
        if left is None:
            return
        left = left[np.isin(part.keys, self._page)]
        rows = self._rows(part.keys)
        stays = left >= np.maximum(1.0, STUCK_SHARE * self._present[rows])
        self._count(rows, left)
        gone = ~self._is_resident()[rows]
        self._plan.took(rows[gone])
        self._taken_seconds[rows[gone]] = self.planned_seconds
        self._plan.budget.gave_back(rows[stays & ~gone])

    def others_took(self, bytes_: int) -> None:
        """So much was reclaimed from the container in the kernel's own order, nobody knows where."""
        self._others_bytes += bytes_
        if self._others_bytes > LEAST_OTHERS_RATIO * PAGE_BYTES * int(self._present.sum()):
            self._doubt = np.maximum(self._doubt, IN_DOUBT)
            self._others_bytes = 0

    def bring_back(self, limit_bytes: int, *, all_out: bool = False) -> tuple[Part, ...]:
        """What has earned it (`all_out`: whatever was taken last, for the container thrashes)."""
        rows = self._coming
        if all_out:
            rows = np.flatnonzero(self._plan.budget.out)
            rows = rows[np.argsort(-self._taken_seconds[rows], kind="stable")]
        sizes = np.cumsum(self._peak[rows]) * PAGE_BYTES
        rows = rows[: int(np.searchsorted(sizes, limit_bytes, side="right"))]
        self._coming = self._coming[~np.isin(self._coming, rows)]
        return self._parts(rows)

    def brought_back(self, part: Part) -> None:
        """This part was read in again."""
        rows = self._rows(part.keys)
        self._present[rows] = self._peak[rows]
        self._plan.budget.gave_back(rows)
        if self._back is not None:
            self._back.brought(rows)

    def hot(self, looks: int, unit_bytes: int) -> tuple[Part, ...]:
        """Aligned units of which every part was accessed in each of the last `looks`, by address.

        A block that is larger than a unit is of several, all as hot as it; whether they are wholly resident
        is for whoever acts to see.
        """
        rows = np.flatnonzero((self._streak >= looks) & (self._present > 0))
        each = max(1, unit_bytes // max(1, self.block_bytes))
        units, counts = np.unique(self._page[rows] // each, return_counts=True)
        whole = units[counts == each]
        kept = rows[np.isin(self._page[rows] // each, whole)]
        return self._parts(kept)

    def idle_ages(self, now_seconds: float) -> IdleAges | None:
        """Present memory by the time since it was last seen touched, a bin for each look at which some was.

        None before the first look.
        """
        if not len(self._page) or not self.looks:
            return None
        ages = np.clip(now_seconds - self._touched_seconds, 0.0, None)
        edges = np.unique(np.append(ages, 0.0))
        bins = np.searchsorted(edges, ages)
        amounts = np.bincount(bins, self._present * float(PAGE_BYTES), minlength=len(edges)).astype(
            np.float64
        )
        return IdleAges(np.append(edges, np.inf), amounts)

    def _begin(self, page: Keys) -> None:
        if self.looks:
            self.gone_bytes_total += int(self._present.sum()) * PAGE_BYTES
        self._page = page
        tables = self._prior if self.looks == 0 else self._plan.learner.predictor
        self._plan = GuardedReclaim(page, self._target, tables)
        self._back = None if self._back is None else BringBack(page)
        self._present = self._peak = np.zeros(len(page), np.int64)
        self._touched_seconds = np.zeros(len(page))
        self._taken_seconds = np.zeros(len(page))
        self._streak = np.zeros(len(page), np.int64)
        self._doubt = np.zeros(len(page), np.int64)
        self._asked_look = np.zeros(len(page), np.int64)
        self._going = self._coming = NOTHING

    def _number(self, processes: Iterable[Process]) -> None:
        """A number of its own for every process, as long as it is seen."""
        numbers = {}
        for each in processes:
            numbers[each] = self._numbers.get(each, self._next_number)
            self._next_number = max(self._next_number, numbers[each] + 1)
        self._numbers = numbers

    def _keys(self, seen: Sequence[SeenProcess], spans: Sequence[Spans]) -> Keys:
        found = [
            keys_of(each, self.block_bytes, self._numbers[process.process])
            for process, each in zip(seen, spans, strict=True)
        ]
        return np.unique(np.concatenate(found))

    def _to_ask(self, keys: Keys, accessed: Keys) -> Keys:
        """Blocks of which it is to be asked what is present: new ones, what is out, what had nothing; and of
        what is believed present, and was not accessed just now, what is in doubt and what was not asked for
        longest."""
        most = max(2, MOST_ASKED_BYTES // self.block_bytes)
        believed = (self._present > 0) & ~self._plan.budget.out
        idle = np.flatnonzero(believed & np.isin(self._page, keys) & ~np.isin(self._page, accessed))
        doubt = self._doubt[idle]
        count = max(int((doubt > BELIEVED).sum()), int(np.ceil(ASKED_AGAIN_SHARE * len(keys))))
        again = self._page[idle[np.lexsort((self._asked_look[idle], -doubt))][:count]]
        unsure = keys[~np.isin(keys, self._page[believed])]
        room = most - min(len(again), int(np.ceil(KEPT_FOR_AGAIN * most)))
        if len(unsure) > room:
            unsure = np.roll(unsure, -((self.looks * room) % len(unsure)))[:room]
        return np.sort(np.concatenate([unsure, again[: most - len(unsure)]]))

    def _follow(self, look: _Look, present: Sequence[npt.NDArray[np.int64] | None]) -> BoolArray:
        """Carry the columns over to the look's blocks; returns [n] which of them came with memory in them."""
        move, had = Move.between(self._page, look.keys), int(self._present.sum())
        self._page = look.keys
        self._present = move.carry(self._present, 0)
        self.gone_bytes_total += (had - int(self._present.sum())) * PAGE_BYTES
        self._peak = move.carry(self._peak, 0)
        self._touched_seconds = move.carry(self._touched_seconds, look.now_seconds)
        self._taken_seconds = move.carry(self._taken_seconds, 0.0)
        self._streak = move.carry(self._streak, 0)
        self._doubt = move.carry(self._doubt, BELIEVED)
        self._asked_look = move.carry(self._asked_look, self.looks)
        new = np.ones(len(look.keys), np.bool_)
        new[move.after] = False
        for keys, counts in zip(look.asked, present, strict=True):
            if counts is not None:
                self._count(self._rows(keys), counts)
        arrived: BoolArray = (new | (self._peak == 0)) & (self._present > 0)
        return arrived

    def _count(self, rows: IntArray, present: npt.NDArray[np.int64]) -> None:
        """So many pages are present in these blocks now."""
        self.gone_bytes_total += int(np.clip(self._present[rows] - present, 0, None).sum()) * PAGE_BYTES
        self._present[rows] = present
        self._doubt[rows] = BELIEVED
        self._asked_look[rows] = self.looks

    def _is_resident(self) -> BoolArray:
        resident: BoolArray = self._present >= np.maximum(1.0, PRESENT_SHARE * self._peak)
        return resident

    def _rows(self, keys: Keys) -> IntArray:
        """Rows of those keys that are still there."""
        return np.searchsorted(self._page, keys[np.isin(keys, self._page)]).astype(np.int64)

    def _parts(self, rows: IntArray) -> tuple[Part, ...]:
        keys = np.sort(self._page[rows])
        of = process_of(keys)
        parts = ((process, keys[of == number]) for process, number in self._numbers.items())
        return tuple(
            Part(process, self._ranges(some).astype(np.uint64), some) for process, some in parts if len(some)
        )

    def _ranges(self, keys: Keys) -> npt.NDArray[np.int64]:
        runs = runs_of(keys)
        starts = address_of(runs[:, 0], self.block_bytes).astype(np.int64)
        return np.stack([starts, runs[:, 1] * self.block_bytes], axis=1)
