"""VPA's target with the whole of Plimsoll's reactive guard (`plimsoll.guard.limits.after_climb`).

`vpa-guarded` raises who uses 92 % of the limit, as the replay contract defines it; ours also looks one bin
ahead along the last rise. What Plimsoll gains over this opponent, its forecast has gained.
"""

import numpy as np

from plimsoll.guard.limits import GuardSettings, after_climb
from plimsoll.replay.limits import BatchFacts, ObservedBin
from plimsoll.replay.peers.vpa import Vpa
from plimsoll.replay.series import FloatArray


class VpaClimb(Vpa):
    """VPA's target and the guard that Plimsoll has."""

    def start(self, facts: BatchFacts) -> None:
        """Forget all."""
        super().start(facts)
        self._last = self._previous = np.full(facts.series, np.nan)

    def observe(self, observed: ObservedBin) -> None:
        """As VPA; the guard remembers the last two bins."""
        super().observe(observed)
        self._previous, self._last = self._last, observed.usage_bytes

    def react(self, _bin_index: int, limit_bytes: FloatArray) -> FloatArray | None:
        """Raise who is close to the limit in force, or would reach it within another bin."""
        return after_climb(self._last, self._previous, limit_bytes, GuardSettings())
