"""The oracle: the next hour's maximum, known beforehand. The least slack that never sees an OOM at hourly
decisions.

It alone is given the usage to come, and is exempt from causality.
"""

import numpy as np

from plimsoll.replay.limits import BatchFacts, ObservedBin, Proposal
from plimsoll.replay.series import FloatArray, SeriesBatch


class Oracle:
    """Knows `batch`."""

    reasons: tuple[str, ...] = ("the oracle knows the hour to come",)

    def __init__(self, batch: SeriesBatch) -> None:
        self._usage = batch.usage_bytes

    def start(self, facts: BatchFacts) -> None:
        """Take note of how long an hour is."""
        self._window = facts.decide_bins

    def observe(self, observed: ObservedBin) -> None:
        """It knew."""

    def decide(self, bin_index: int, _limit_bytes: FloatArray) -> Proposal:
        """The maximum from here to the window's end; an hour without a sample keeps the limit before it."""
        end = (bin_index // self._window + 1) * self._window
        peak: FloatArray = np.fmax.reduce(self._usage[:, bin_index:end], axis=1)
        return Proposal(np.where(peak > 0, peak, np.nan))

    def react(self, _bin_index: int, _limit_bytes: FloatArray) -> FloatArray | None:
        """Nothing surprises it."""
        return None
