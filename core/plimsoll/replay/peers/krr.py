"""KRR's `simple` strategy: request = limit = the largest usage of the last 14 days, and 15 % on top.

Robusta's Kubernetes Resource Recommender at its defaults (`history_duration` 336 h,
`memory_buffer_percentage` 15). It is run by hand or nightly; here it gets the same hourly decisions as all
others. Its optional OOM lift is off by default and is off here; the OOM's bin counts as usage like any
other. Its least recommendation of 100 MiB is left out, as VPA's of 250 MiB is: it would only add slack to
small containers.
"""

from plimsoll.replay.limits import BatchFacts, ObservedBin, Proposal
from plimsoll.replay.peers.peaks import HourlyPeaks
from plimsoll.replay.series import FloatArray

HISTORY_HOURS = 336
BUFFER = 1.15


class Krr:
    """Fourteen-day maximum x 1.15."""

    reasons: tuple[str, ...] = ("KRR knows no OOM: the limit is its 14-day maximum x 1.15",)

    def __init__(self, buffer: float = BUFFER) -> None:
        self._buffer = buffer

    def start(self, facts: BatchFacts) -> None:
        """Forget all."""
        self._peaks = HourlyPeaks(facts.series, HISTORY_HOURS)

    def observe(self, observed: ObservedBin) -> None:
        """Remember the bin's usage."""
        self._peaks.add(observed.bin, observed.usage_bytes)

    def decide(self, _bin_index: int, _limit_bytes: FloatArray) -> Proposal:
        """The recommendation as it would be printed now."""
        return Proposal(self._peaks.maximum() * self._buffer)

    def react(self, _bin_index: int, _limit_bytes: FloatArray) -> FloatArray | None:
        """KRR does not react."""
        return None
