"""Reclaim within a refault budget: which pages go out at the end of each epoch.

In: epoch after epoch of accessed bits. Out: pages to page out. A page's level of coldness is its idle age on
a log scale, less for pages touched often and for pages in busy areas (`epoch_areas.py`). The threshold is the
lowest level at which three things hold: the evidence (`epoch_returns.py`) promises no more refaults an epoch
than the account (`epoch_account.py`) has left; what may come back at once is covered by what the window will
have allowed; and what once did come back at once is covered by what is certain to be earned. The node agent
runs this very class, over pages that come and go (`follow`), and says what it really took (`took`).
"""

import numpy as np
import numpy.typing as npt

from plimsoll.pages.epoch_account import RefaultAccount
from plimsoll.pages.epoch_areas import AREA_PAGES_LOG2, AreaActivity
from plimsoll.pages.epoch_returns import LEVELS, ReturnEvidence, beyond
from plimsoll.pages.epochs import BoolArray, EpochBits, FloatArray, IntArray
from plimsoll.pages.idle import IdleClock
from plimsoll.pages.moving import Move

LEVELS_PER_OCTAVE = 12
COUNT_WEIGHT = 0.3  # octaves of idle age that each octave of a page's count of accesses outweighs
AREA_WEIGHT = 0.15  # the same of its area's activity
LOWEST_OCTAVE = -6
OVERDRAFT = 1.5  # a mass return never seen before may cost so many times the window's allowance
MARGIN_LEVELS = 2 * LEVELS_PER_OCTAVE  # what came back at once is expected to again, up to so much colder
BURST_SHARE = 0.5  # such a part coming back at once is a mass return
CERTAIN_FUTURE = 0.5  # of the accesses so far: what the rest of the window is relied upon for
# Of what the account allows, what a part of a level may use: its evidence is that of the whole.
PART_OF_ALLOWED = 0.8
PART_LEAST_EPOCHS = 8  # idle for so long: of younger memory its level says too little to cut it
LEAST_COST = 1e-12  # refaults an epoch: no level is free
GRACE_EPOCHS = 4  # a page that came back untouched (prefetched) is left alone for so long
NOTHING = np.empty(0, dtype=np.int64)


class BudgetedReclaim:
    """The policy `plimsoll` over the pages numbered `page` [n]. State: five numbers a page."""

    def __init__(
        self, page: npt.NDArray[np.integer], target: float, area_pages_log2: int = AREA_PAGES_LOG2
    ) -> None:
        pages = len(page)
        self.account = RefaultAccount(target)
        self._page = page
        self._clock = IdleClock(pages)
        self._evidence = ReturnEvidence()
        self._areas = AreaActivity(page, area_pages_log2)
        self._count = np.zeros(pages, dtype=np.int64)
        self._level = np.zeros(pages, dtype=np.int64)  # the coldest it was since its last touch
        self._out = np.zeros(pages, dtype=np.bool_)
        self._returned = np.full(pages, -GRACE_EPOCHS - 1)

    @property
    def touched(self) -> BoolArray:
        """[n] whether a page was ever accessed, or in memory when it was first seen."""
        return self._clock.touched

    @property
    def out(self) -> BoolArray:
        """[n] what was taken and has not been seen since."""
        return self._out

    @property
    def level(self) -> IntArray:
        """[n] how cold each page is."""
        return self._level

    def age(self) -> IntArray:
        """[n] epochs since the last access."""
        return self._clock.age()

    def step(self, bits: EpochBits | None) -> IntArray:
        """Positions [k] of resident pages to page out; none where the sample says nothing."""
        chosen = self.decide(bits)
        self.took(chosen)
        return chosen

    def decide(self, bits: EpochBits | None) -> IntArray:
        """As `step`, for whoever may then take less: what is taken is told by `took`."""
        known = self._clock.touched
        if not self._clock.tick(bits) or bits is None:
            return NOTHING
        self._book(bits, known)
        free = self.free(bits)
        threshold, some = self._threshold(free)
        beyond_it = np.flatnonzero(free & (self._level >= threshold))
        if not some:
            return beyond_it
        next_level = int(self._level[free & (self._level < threshold)].max())
        return np.append(beyond_it, np.flatnonzero(free & (self._level == next_level))[:some])

    def free(self, bits: EpochBits) -> BoolArray:
        """[n] what could go at all: touched once, resident, idle, and not just brought back."""
        rested = self._clock.epoch - self._returned > GRACE_EPOCHS
        free: BoolArray = self._clock.touched & bits.resident & ~bits.accessed & rested
        return free

    def took(self, positions: IntArray) -> None:
        """These were paged out."""
        self._out[positions] = True

    def gave_back(self, positions: IntArray) -> None:
        """These were read in again unasked: they are left alone for a while."""
        self._out[positions] = False
        self._returned[positions] = self._clock.epoch

    def follow(self, page: npt.NDArray[np.integer], arrived: BoolArray) -> None:
        """Go on over other pages [m], ascending; `arrived` [m]: new ones that are in memory already."""
        move = Move.between(self._page, page)
        self._page = page
        self._clock.follow(move, arrived)
        self._areas.follow(page)
        self._count = move.carry(self._count, 0)
        self._level = move.carry(self._level, 0)
        self._out = move.carry(self._out, fresh=False)
        self._returned = move.carry(self._returned, -GRACE_EPOCHS - 1)

    def _book(self, bits: EpochBits, known: BoolArray) -> None:
        """What the epoch's touches cost, and would have cost; then every page's level anew."""
        self.account.record(int(bits.accessed.sum()), int((self._out & bits.accessed).sum()))
        back = self._out & bits.resident
        self._returned[back & ~bits.accessed] = self._clock.epoch
        self._out &= ~back
        returned = self._level[bits.accessed & known]
        self._count += bits.accessed
        self._areas.step(bits.accessed, self._clock.touched)
        self._level[bits.accessed] = 0
        idle = np.flatnonzero(self._clock.touched & ~bits.accessed)
        age = self._clock.age()[idle]
        self._level[idle] = np.maximum(
            self._level[idle], coldness(age, self._count[idle], self._areas.octaves()[idle])
        )
        self._evidence.take(returned, self._level[idle], age)

    def _threshold(self, free: BoolArray) -> tuple[int, int]:
        """The lowest level from which on everything may go (LEVELS: nothing may); how many pages of the next
        coldest may go besides.
        """
        per_epoch = self.account.per_epoch()
        if per_epoch <= 0:
            return LEVELS, 0
        out = self._out.sum() + beyond(self._level[free])
        share, seen = self._evidence.mass_return(self.account.horizon_epochs, MARGIN_LEVELS)
        cost, cover = self._evidence.refaults_per_epoch(), self._cover(seen)
        fits = (cost <= per_epoch) & (out * share <= cover)
        threshold = LEVELS - int(np.logical_and.accumulate(fits[::-1]).sum())
        return threshold, self._part_of_next(free, threshold, per_epoch, cost, cover / share)

    def _part_of_next(
        self, free: BoolArray, threshold: int, per_epoch: float, cost: FloatArray, most_out: FloatArray
    ) -> int:
        """How many pages of the coldest level below the threshold may go.

        Memory that nobody has touched since the start is of one age: all or nothing would mean nothing for
        hundreds of epochs. A part costs its part of what the level would, and no more than itself comes back
        at once. `cost` refaults an epoch and `most_out` pages out by threshold [LEVELS].
        """
        rows = np.flatnonzero(free & (self._level < threshold))
        if not len(rows):
            return 0
        level = int(self._level[rows].max())
        if int(self._clock.age()[rows[self._level[rows] == level]].min()) < PART_LEAST_EPOCHS:
            return 0
        colder_cost, colder_stock = (
            self._beyond(cost, threshold),
            self._beyond(self._evidence.stock, threshold),
        )
        level_cost = max(float(cost[level]) - colder_cost, LEAST_COST)
        share = (PART_OF_ALLOWED * per_epoch - colder_cost) / level_cost
        out_already = int((self._out & (self._level >= level) & (self._level < threshold)).sum())
        by_cost = share * (float(self._evidence.stock[level]) - colder_stock) - out_already
        going = int((self._level[free] >= threshold).sum())
        by_return = PART_OF_ALLOWED * float(most_out[level]) - float(self._out.sum()) - going
        return max(0, int(min(by_cost, by_return)))

    @staticmethod
    def _beyond(by_level: FloatArray, threshold: int) -> float:
        return float(by_level[threshold]) if threshold < LEVELS else 0.0

    def _cover(self, seen: FloatArray) -> FloatArray:
        """[LEVELS] refaults that may come at once."""
        unseen = OVERDRAFT * self.account.allowance()
        cover: FloatArray = np.where(seen >= BURST_SHARE, self.account.allowance(CERTAIN_FUTURE), unseen)
        return cover - self.account.spent


def coldness(idle_epochs: IntArray, count: IntArray, area_octaves: FloatArray) -> IntArray:
    """[n] levels of pages idle for so long, accessed in so many epochs, in areas so busy."""
    octaves = np.log2(1.0 + idle_epochs) - COUNT_WEIGHT * np.log2(1.0 + count) - AREA_WEIGHT * area_octaves
    level: IntArray = ((octaves - LOWEST_OCTAVE) * LEVELS_PER_OCTAVE).astype(np.int64)
    return level.clip(0, LEVELS - 1)
