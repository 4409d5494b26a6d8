"""Whose decisions to follow: that of the experts' shadows which missed least of late, and LRU until then.

In: which experts missed. Out: the expert to follow. Misses fade with a half-life of one and a half
capacities of references; another expert is followed once it is ahead by a share of the present one's
misses, so that noise moves nothing. Shadows are copies of each expert that run on the same references as if
they had decided. Should the memory itself come to miss more than LRU's shadow (experts that take turns at
being right at the wrong time), it is held to LRU until that has worn off.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

HALF_LIFE_CAPACITIES = 1.5  # longer is steadier, shorter follows phases
ADVANTAGE = 0.01
# The watch over the guard: over a long half-life no more than so much above LRU, and a quarter of a memory.
WATCH_CAPACITIES = 32.0
WATCH_EXCESS = 0.02
WATCH_SLACK_CAPACITIES = 0.25


def leader(misses: npt.NDArray[np.float64], current: int, advantage: float) -> int:
    """The expert to follow from now on. `misses`: faded, one an expert; compiled for replays too."""
    best = np.argmin(misses)
    if misses[best] < misses[current] * (1.0 - advantage):
        return int(best)
    return current


def held_to_lru(own: float, lru: float, capacity: float, held: bool) -> bool:  # noqa: FBT001  (compiled)
    """Whether to follow nobody but LRU: `own` and `lru` misses over the watch's half-life, faded.

    Ends at half of what it began at, so that it does not flutter.
    """
    bound = WATCH_EXCESS * lru + WATCH_SLACK_CAPACITIES * capacity
    return own - lru > (0.5 * bound if held else bound)


class ExpertGuard:
    """Follows one of several experts by name; the first is LRU, to begin with and to fall back to."""

    def __init__(self, experts: Sequence[str], capacity: float, advantage: float = ADVANTAGE) -> None:
        if capacity <= 0 or not experts:
            raise ValueError(f"capacity {capacity} for {len(experts)} experts: both must be positive")
        self.experts = tuple(experts)
        self.misses: npt.NDArray[np.float64] = np.zeros(len(experts))
        self.switches = 0
        self.held = False
        self._own = self._lru = 0.0
        self._capacity, self._advantage, self._current = capacity, advantage, 0

    @property
    def current(self) -> str:
        """Whom to follow."""
        return self.experts[self._current]

    def observe(self, misses: npt.NDArray[np.integer], references: int, own_misses: int) -> str:
        """Take in how often each expert's shadow and the memory itself missed in so many references."""
        passed = references / self._capacity
        self.misses = self.misses * 2.0 ** (-passed / HALF_LIFE_CAPACITIES) + misses
        worn = 2.0 ** (-passed / WATCH_CAPACITIES)
        self._own, self._lru = self._own * worn + own_misses, self._lru * worn + float(misses[0])
        self.held = held_to_lru(self._own, self._lru, self._capacity, self.held)
        chosen = 0 if self.held else leader(self.misses, self._current, self._advantage)
        self.switches += chosen != self._current
        self._current = chosen
        return self.current
