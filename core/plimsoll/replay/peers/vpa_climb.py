"""VPA's target with the whole of Plimsoll's reactive guard (`plimsoll.guard.limits.after_climb`).

`vpa-guarded` raises who uses 92 % of the limit, as the replay contract defines it; ours also looks one bin
ahead along the last rise. What Plimsoll gains over this opponent, its forecast has gained.
"""

from plimsoll.guard.limits import GuardSettings, after_climb
from plimsoll.replay.limits import BatchFacts, ObservedBin
from plimsoll.replay.peers.vpa_guarded import VpaGuarded
from plimsoll.replay.series import FloatArray


class VpaClimb(VpaGuarded):
    """VPA's target and the guard that Plimsoll has."""

    def start(self, facts: BatchFacts) -> None:
        """Forget all."""
        super().start(facts)
        self._previous = self._last

    def observe(self, observed: ObservedBin) -> None:
        """The guard remembers the last two bins."""
        self._previous = self._last
        super().observe(observed)

    def react(self, _bin_index: int, limit_bytes: FloatArray) -> FloatArray | None:
        """Raise who is close to the limit in force, or would reach it within another bin."""
        return after_climb(self._last, self._previous, limit_bytes, GuardSettings())
