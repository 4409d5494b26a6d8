"""How busy the neighbourhood of each page is: a cold page in a cold area stays cold.

In: which pages were accessed in an epoch. Out: per page, the octave of its area's activity. An area is an
aligned stretch of addresses about as large as an allocator's arena; its activity is the decayed share of its
touched pages that an epoch accesses.
"""

import numpy as np
import numpy.typing as npt

from plimsoll.pages.epochs import BoolArray, FloatArray
from plimsoll.pages.moving import Move

AREA_PAGES_LOG2 = 12  # 16 MiB of 4 KiB pages
DECAY_PER_EPOCH = 0.97
LEAST_ACTIVITY = 1e-3  # an area this quiet counts as one that never stirs: ten octaves below a busy one


class AreaActivity:
    """`page` [n]: page numbers that keep the order of addresses; an area has 2 ** `pages_log2` pages."""

    def __init__(self, page: npt.NDArray[np.integer], pages_log2: int = AREA_PAGES_LOG2) -> None:
        self._pages_log2 = pages_log2
        self._areas, self._area = np.unique(page >> pages_log2, return_inverse=True)
        self._activity = np.zeros(len(self._areas))

    def follow(self, page: npt.NDArray[np.integer]) -> None:
        """Go on over other pages; an area that was there before is as busy as it was."""
        areas, self._area = np.unique(page >> self._pages_log2, return_inverse=True)
        self._activity = Move.between(self._areas, areas).carry(self._activity, 0.0)
        self._areas = areas

    def step(self, accessed: BoolArray, touched: BoolArray) -> None:
        """Take in one epoch; `touched` [n] includes it."""
        areas = len(self._activity)
        pages = np.bincount(self._area[touched], minlength=areas)
        busy = np.bincount(self._area[accessed], minlength=areas) / np.maximum(pages, 1)
        self._activity = DECAY_PER_EPOCH * self._activity + (1 - DECAY_PER_EPOCH) * busy

    def octaves(self) -> FloatArray:
        """[n] log2 of the activity of each page's area: 0 is all of it in every epoch."""
        octave: FloatArray = np.log2(self._activity + LEAST_ACTIVITY)[self._area]
        return octave
