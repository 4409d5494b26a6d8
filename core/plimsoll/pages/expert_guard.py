"""Whose decisions to follow: that of the experts' shadows which missed least of late, and LRU until then.

In: which experts missed. Out: the expert to follow. Misses fade with a half-life of one and a half
capacities of references; another expert is followed once it is ahead by a share of the present one's
misses, so that noise moves nothing. Shadows are copies of each expert that run on the same references as if
they had decided.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

HALF_LIFE_CAPACITIES = 1.5  # longer is steadier, shorter follows phases
ADVANTAGE = 0.01


def leader(misses: npt.NDArray[np.float64], current: int, advantage: float) -> int:
    """The expert to follow from now on. `misses`: faded, one an expert; compiled for replays too."""
    best = np.argmin(misses)
    if misses[best] < misses[current] * (1.0 - advantage):
        return int(best)
    return current


class ExpertGuard:
    """Follows one of several experts by name; the first is the one to begin with."""

    def __init__(self, experts: Sequence[str], half_life: float, advantage: float = ADVANTAGE) -> None:
        if half_life <= 0 or not experts:
            raise ValueError(f"half-life {half_life} of {len(experts)} experts: both must be positive")
        self.experts = tuple(experts)
        self.misses: npt.NDArray[np.float64] = np.zeros(len(experts))
        self.switches = 0
        self._half_life, self._advantage, self._current = half_life, advantage, 0

    @property
    def current(self) -> str:
        """Whom to follow."""
        return self.experts[self._current]

    def observe(self, misses: npt.NDArray[np.integer], references: int) -> str:
        """Take in how often each expert's shadow missed in so many references; returns whom to follow."""
        self.misses = self.misses * 2.0 ** (-references / self._half_life) + misses
        chosen = leader(self.misses, self._current, self._advantage)
        self.switches += chosen != self._current
        self._current = chosen
        return self.current
