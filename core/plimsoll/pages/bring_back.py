"""What should come back before it is asked for, and whether bringing it back has paid.

In: the epochs of a container's memory, what is out, what was brought back. Out: positions to bring back:
those whose gate has earned it (`EarnedPrefetch`), as long as what really was brought back was used soon. The
gate learns from all idle pages, out or resident; this record counts real reads alone, and closes the door
where they were for nothing. It fades, so that the door opens again for a trial.
"""

import numpy as np

from plimsoll.pages.blocks import Keys
from plimsoll.pages.epochs import BoolArray, EpochBits, IntArray
from plimsoll.pages.moving import Move
from plimsoll.pages.prefetch import LEAST_PRECISION, USEFUL_EPOCHS, EarnedPrefetch

LEAST_JUDGED = 16.0  # reads before they are held against it
FADE_PER_EPOCH = 0.99
RESERVE_RATIO = 0.1  # of the container's limit and of the node's memory: kept free of what nobody asked for
MOST_STEP_BYTES = 16 << 20  # at once: a read of more would hold up the next tick
NOTHING = np.empty(0, dtype=np.int64)
NEVER = -1


def room_bytes(usage_bytes: int, limit_bytes: float, available_bytes: int, total_bytes: int) -> int:
    """What may be read in at once: neither the container's limit nor the node's last reserve is touched."""
    below = (1.0 - RESERVE_RATIO) * limit_bytes - usage_bytes
    spare = available_bytes - RESERVE_RATIO * total_bytes
    return int(max(0.0, min(below, spare, MOST_STEP_BYTES)))


class BringBack:
    """Over the pages numbered `page` int64[n], ascending."""

    def __init__(self, page: Keys) -> None:
        self._gate = EarnedPrefetch(page)
        self._page = page
        self._epoch = 0
        self._brought = np.full(len(page), NEVER, dtype=np.int64)
        self._useful = self._judged = 0.0

    @property
    def precision(self) -> float:
        """Share of reads that were worth it, faded; NaN before the first was judged."""
        return self._useful / self._judged if self._judged else float("nan")

    @property
    def is_open(self) -> bool:
        """Whether reads have paid, or have not been judged often enough."""
        return self._judged < LEAST_JUDGED or self.precision >= LEAST_PRECISION

    def step(self, bits: EpochBits, out: BoolArray) -> IntArray:
        """Positions of pages that are out and should come back."""
        coming = self._gate.step(bits, out)
        if not bits.accessed.any():
            return NOTHING
        self._epoch += 1
        self._judge(bits.accessed)
        return coming if self.is_open else NOTHING

    def brought(self, positions: IntArray) -> None:
        """These were read in."""
        self._brought[positions] = self._epoch

    def follow(self, page: Keys, arrived: BoolArray) -> None:
        """Go on over other pages [m], ascending; what went before it was judged says nothing."""
        self._brought = Move.between(self._page, page).carry(self._brought, NEVER)
        self._gate.follow(page, arrived)
        self._page = page

    def _judge(self, accessed: BoolArray) -> None:
        self._useful *= FADE_PER_EPOCH
        self._judged *= FADE_PER_EPOCH
        waiting = self._brought != NEVER
        used = waiting & accessed
        given_up = waiting & ~accessed & (self._epoch - self._brought >= USEFUL_EPOCHS)
        self._useful += float(used.sum())
        self._judged += float(used.sum() + given_up.sum())
        self._brought[used | given_up] = NEVER
