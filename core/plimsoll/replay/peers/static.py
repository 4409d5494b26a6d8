"""A static limit, as set by a careful person once:
the 99th percentile of the warm-up x 1.2, never changed.
"""

import numpy as np

from plimsoll.replay.limits import BatchFacts, ObservedBin, Proposal
from plimsoll.replay.series import FloatArray

PERCENTILE = 99
HEADROOM = 1.2


class Static:
    """One limit for ever; after an OOM's window is over it is back where it was."""

    reasons: tuple[str, ...] = ("a static limit is never changed",)

    def __init__(self, headroom: float = HEADROOM) -> None:
        self._headroom = headroom

    def start(self, facts: BatchFacts) -> None:
        """Forget all."""
        self._watched = np.full((facts.series, facts.warmup_bins), np.nan)
        self._limit: FloatArray | None = None

    def observe(self, observed: ObservedBin) -> None:
        """Only the warm-up is of interest."""
        if observed.bin < self._watched.shape[1]:
            self._watched[:, observed.bin] = observed.usage_bytes

    def decide(self, _bin_index: int, _limit_bytes: FloatArray) -> Proposal:
        """The limit that the warm-up gave."""
        if self._limit is None:
            self._limit = np.full(len(self._watched), np.nan)
            seen = ~np.isnan(self._watched).all(axis=1)
            self._limit[seen] = np.nanpercentile(self._watched[seen], PERCENTILE, axis=1) * self._headroom
        return Proposal(self._limit)

    def react(self, _bin_index: int, _limit_bytes: FloatArray) -> FloatArray | None:
        """Never."""
        return None
