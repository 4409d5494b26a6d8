"""The Vertical Pod Autoscaler's memory target as a replay peer: the 90th percentile of daily peaks, + 15 %.

VPA 1.8.1 `pkg/recommender/model/container.go`: one peak per 24 h window in a decaying histogram, stamped
with the window's end; a higher peak in the window takes the old one's place. An OOM counts as a sample of
max(used + 100 MiB, 1.2 used), where used is the limit. The target is applied at every decision, which
flatters VPA: its updater waits until the target leaves the recommended range or a pod is 12 h old. Its
least target of 250 MiB a pod is left out, which flatters its slack.
"""

import numpy as np

from plimsoll.replay.limits import BatchFacts, ObservedBin, Proposal, raised_after_oom
from plimsoll.replay.series import BINS_PER_DAY, BoolArray, FloatArray
from plimsoll.usage.histogram_bank import DecayingHistograms
from plimsoll.usage.sample import BIN_SECONDS

TARGET_PERCENTILE = 0.9
SAFETY_MARGIN = 1.15
WINDOW_BINS = BINS_PER_DAY
# VPA refuses times before its zero; where a replay begins is of no consequence.
START_SECONDS = 1_704_067_200.0


class Vpa:
    """VPA's target."""

    reasons: tuple[str, ...] = ("VPA's target: the OOM is one sample of its histogram",)

    def __init__(self, percentile: float = TARGET_PERCENTILE, margin: float = SAFETY_MARGIN) -> None:
        self._percentile, self._margin = percentile, margin

    def start(self, facts: BatchFacts) -> None:
        """Forget all."""
        self._rows = np.arange(facts.series)
        self._histograms = DecayingHistograms(facts.series)
        self._window_end = np.full(facts.series, -1, dtype=np.int64)  # bin; -1: no sample yet
        self._peak = np.zeros(facts.series)

    def observe(self, observed: ObservedBin) -> None:
        """A usage sample, and an OOM sample after it where there was one."""
        self._add(observed.bin, observed.usage_bytes)
        if observed.oom.any():
            self._add(observed.bin, np.where(observed.oom, raised_after_oom(observed.limit_bytes), np.nan))

    def decide(self, _bin_index: int, _limit_bytes: FloatArray) -> Proposal:
        """The target as it stands."""
        percentile = self._histograms.percentiles(self._rows, self._percentile)[:, 0]
        return Proposal(percentile * self._margin)

    def react(self, _bin_index: int, _limit_bytes: FloatArray) -> FloatArray | None:
        """VPA does not react between its decisions, but for what follows an OOM anyway."""
        return None

    def _add(self, bin_index: int, sample_bytes: FloatArray) -> None:
        sampled = ~np.isnan(sample_bytes)
        fresh = sampled & (bin_index >= self._window_end)
        higher = sampled & ~fresh & (sample_bytes > self._peak)
        if not (fresh | higher).any():
            return
        if higher.any():
            self._histograms.subtract(self._rows[higher], self._peak[higher], 1.0, self._stamp(higher))
        self._begin_windows(bin_index, fresh)
        added = fresh | higher
        self._peak = np.where(added, sample_bytes, self._peak)
        self._histograms.add(self._rows[added], self._peak[added], 1.0, self._stamp(added))

    def _begin_windows(self, bin_index: int, fresh: BoolArray) -> None:
        end = np.where(self._window_end < 0, bin_index, self._window_end)
        end = end + ((bin_index - end) // WINDOW_BINS + 1) * WINDOW_BINS
        self._window_end = np.where(fresh, end, self._window_end)

    def _stamp(self, among: BoolArray) -> FloatArray:
        return START_SECONDS + BIN_SECONDS * self._window_end[among].astype(np.float64)
