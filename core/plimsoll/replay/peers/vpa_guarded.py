"""VPA's target with a 5-minute guard: when a bin uses more than 92 % of the limit, raise it to 1.12 x that
usage.

The strongest cheap opponent: whatever a recommender gains only by looking every five minutes, this one
gains too.
"""

import numpy as np

from plimsoll.replay.limits import BatchFacts, ObservedBin
from plimsoll.replay.peers.vpa import Vpa
from plimsoll.replay.series import FloatArray

GUARD_USE = 0.92
GUARD_RAISE = 1.12


class VpaGuarded(Vpa):
    """VPA's target and the guard."""

    def start(self, facts: BatchFacts) -> None:
        """Forget all."""
        super().start(facts)
        self._last = np.full(facts.series, np.nan)

    def observe(self, observed: ObservedBin) -> None:
        """As VPA; the guard remembers the last bin."""
        super().observe(observed)
        self._last = observed.usage_bytes

    def react(self, _bin_index: int, limit_bytes: FloatArray) -> FloatArray | None:
        """Raise where the last bin came close to the limit in force."""
        return np.where(self._last > GUARD_USE * limit_bytes, GUARD_RAISE * self._last, np.nan)
