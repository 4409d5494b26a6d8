"""The Vertical Pod Autoscaler's memory target (v1.7) as a replay peer: the 90th percentile of daily peaks,
+ 15 %.

Decaying histogram of one peak a day (`vpa_histogram.py`); an OOM counts as a sample of max(used + 100 MiB,
1.2 used) where used is the larger of the limit and the window's peak. The target is applied at every
decision, which flatters VPA: its updater waits until the target leaves the recommended range or a pod is
12 h old.
"""

import numpy as np

from plimsoll.replay.limits import BatchFacts, ObservedBin, Proposal, raised_after_oom
from plimsoll.replay.peers.vpa_histogram import PeakHistograms
from plimsoll.replay.series import FloatArray

TARGET_PERCENTILE = 0.9
SAFETY_MARGIN = 1.15


class Vpa:
    """VPA's target."""

    reasons: tuple[str, ...] = ("VPA's target: the OOM is one sample of its histogram",)

    def start(self, facts: BatchFacts) -> None:
        """Forget all."""
        self._histograms = PeakHistograms(facts.series)

    def observe(self, observed: ObservedBin) -> None:
        """A usage sample, and an OOM sample after it where there was one."""
        self._histograms.add(observed.bin, observed.usage_bytes)
        if observed.oom.any():
            sample = np.where(observed.oom, raised_after_oom(observed.limit_bytes), np.nan)
            self._histograms.add(observed.bin, sample)

    def decide(self, bin_index: int, limit_bytes: FloatArray) -> Proposal:  # noqa: ARG002
        """The target as it stands."""
        return Proposal(self._histograms.percentile(TARGET_PERCENTILE) * SAFETY_MARGIN)

    def react(self, bin_index: int, limit_bytes: FloatArray) -> FloatArray | None:  # noqa: ARG002
        """VPA does not react between its decisions, but for what follows an OOM anyway."""
        return None
