"""Idle age: epochs since a page was last seen accessed, and the plain policies that reclaim by it.

In: epoch after epoch of bits. Out: which pages to page out. `IdleAge` is what most reclaimers do: a fixed
threshold. `AdaptiveIdleAge` closes a loop around it: it counts at which age pages came back lately and takes
the lowest age whose share of the accesses stayed within the target. `HeldTo` is a memory of a fixed size: the
oldest go when it is full, as on a container at its limit.
"""

from typing import Protocol

import numpy as np

from plimsoll.pages.epochs import BoolArray, EpochBits, FloatArray, IntArray
from plimsoll.pages.moving import Move

NEVER = -1
DECAY_PER_EPOCH = 0.99  # of the counts of the adaptive loop: half a weight after 69 epochs
MOST_AGE = 4096


class ReclaimPolicy(Protocol):
    """Decides at the end of each epoch which pages go out."""

    def step(self, bits: EpochBits | None) -> IntArray:
        """Positions [k] of resident, touched pages to page out. None: the sample is missing, so hold."""


class IdleClock:
    """Counts epochs and knows each page's last touch; epochs without a single accessed page do not count.

    A sample without any access tells of a sampler that failed or a process that stood still; neither is a
    reason to take memory away.
    """

    def __init__(self, pages: int) -> None:
        self.epoch = 0
        self._last = np.full(pages, NEVER, dtype=np.int64)

    @property
    def touched(self) -> BoolArray:
        """[n] whether a page was ever accessed."""
        touched: BoolArray = self._last != NEVER
        return touched

    def age(self) -> IntArray:
        """[n] epochs since the last access; as old as the clock where there was none."""
        return np.where(self.touched, self.epoch - self._last, self.epoch + 1)

    def tick(self, bits: EpochBits | None) -> bool:
        """Take in one epoch; False where it says nothing, and the caller holds."""
        if bits is None or not bits.accessed.any():
            return False
        self.epoch += 1
        self._last[bits.accessed] = self.epoch
        return True

    def follow(self, move: Move, arrived: BoolArray) -> None:
        """Go on over other pages [m]; those that arrived in memory count as touched now."""
        self._last = move.carry(self._last, NEVER)
        self._last[arrived & (self._last == NEVER)] = self.epoch


class IdleAge:
    """Pages out whatever was idle for a fixed number of epochs."""

    def __init__(self, pages: int, idle_epochs: int) -> None:
        if idle_epochs < 1:
            raise ValueError(f"an idle age of {idle_epochs} epochs is not one or more")
        self._clock = IdleClock(pages)
        self._idle_epochs = idle_epochs

    def step(self, bits: EpochBits | None) -> IntArray:
        """Positions of resident pages at least so old."""
        if not self._clock.tick(bits) or bits is None:
            return np.empty(0, dtype=np.int64)
        old = self._clock.touched & (self._clock.age() >= self._idle_epochs)
        return np.flatnonzero(old & bits.resident)


class AdaptiveIdleAge:
    """Takes the lowest idle age at which recent returns stay within the target."""

    def __init__(self, pages: int, target: float) -> None:
        self._clock = IdleClock(pages)
        self._target = target
        self._returns: FloatArray = np.zeros(MOST_AGE + 1)
        self._accesses = 0.0

    def step(self, bits: EpochBits | None) -> IntArray:
        """Positions of resident pages older than the age found."""
        before, known = self._clock.age(), self._clock.touched
        if not self._clock.tick(bits) or bits is None:
            return np.empty(0, dtype=np.int64)
        self._count(before[bits.accessed & known], int(bits.accessed.sum()))
        old = known & (self._clock.age() >= self._threshold())
        return np.flatnonzero(old & bits.resident)

    def _count(self, ages: IntArray, accesses: int) -> None:
        self._returns *= DECAY_PER_EPOCH
        self._accesses = self._accesses * DECAY_PER_EPOCH + accesses
        self._returns += np.bincount(np.minimum(ages, MOST_AGE), minlength=MOST_AGE + 1)

    def _threshold(self) -> int:
        """The lowest age from which on returns make up less than the target."""
        from_age_on = np.cumsum(self._returns[::-1])[::-1]
        within = np.flatnonzero(from_age_on <= self._target * self._accesses)
        return max(1, int(within[0])) if len(within) else MOST_AGE + 1


class HeldTo:
    """Keeps so many pages resident, the most recently used ones; what an epoch accessed stays in any case."""

    def __init__(self, pages: int, capacity_pages: int) -> None:
        if capacity_pages < 1:
            raise ValueError(f"a memory of {capacity_pages} pages holds nothing")
        self._capacity_pages = capacity_pages
        self._clock = IdleClock(pages)
        self._fresh = np.zeros(pages, dtype=np.int64)
        self._out = np.zeros(pages, dtype=np.bool_)

    def step(self, bits: EpochBits | None) -> IntArray:
        """Positions of the oldest pages beyond the capacity; a page that was prefetched is new."""
        if not self._clock.tick(bits) or bits is None:
            return np.empty(0, dtype=np.int64)
        self._fresh[bits.accessed | (self._out & bits.resident)] = self._clock.epoch
        beyond = max(0, int(bits.resident.sum()) - self._capacity_pages)
        idle = np.flatnonzero(bits.resident & ~bits.accessed)
        chosen: IntArray = idle[np.argsort(self._fresh[idle], kind="stable")[:beyond]]
        self._out = self._clock.touched & ~bits.resident
        self._out[chosen] = True
        return chosen
