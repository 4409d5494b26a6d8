"""What a container surely used of late: pages that were written to, counted by block.

In: looks at soft-dirty bits, each with the blocks that were written to since the look before, and how many
pages of each. Out: bytes written within a time, a lower bound of what is hot. Reads leave no such bit: a page
without it is not idle but "not written", so that nothing here may ever be taken for cold. It only holds back:
what is in use because it is written need not be found out by losing it (`refault_set`).
"""

from collections import deque
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from plimsoll.pages.blocks import Keys

IntArray = npt.NDArray[np.int64]

KEPT_SECONDS = 600.0
MOST_LOOKS = 16


@dataclass(slots=True)
class WrittenBlocks:
    """One container's looks, the newest last: time, block keys [k] ascending, pages written in each [k]."""

    _looks: deque[tuple[float, Keys, IntArray]] = field(default_factory=lambda: deque(maxlen=MOST_LOOKS))

    def see(self, keys: Keys, pages: IntArray, now_seconds: float) -> None:
        """Add a look. A clock that went back leaves nothing of before."""
        if self._looks and now_seconds < self._looks[-1][0]:
            self._looks.clear()
        while self._looks and now_seconds - self._looks[0][0] > KEPT_SECONDS:
            self._looks.popleft()
        self._looks.append((now_seconds, keys, pages))

    def written_bytes(self, now_seconds: float, within_seconds: float, page_bytes: int = 4096) -> int:
        """Distinct bytes that were written to, at least: of each block the look that showed most of it."""
        recent = [each for each in self._looks if 0.0 <= now_seconds - each[0] <= within_seconds]
        if not recent:
            return 0
        keys = np.concatenate([each[1] for each in recent])
        pages = np.concatenate([each[2] for each in recent])
        _, row = np.unique(keys, return_inverse=True)
        most = np.zeros(int(row.max(initial=-1)) + 1, np.int64)
        np.maximum.at(most, row, pages)
        return int(most.sum()) * page_bytes
