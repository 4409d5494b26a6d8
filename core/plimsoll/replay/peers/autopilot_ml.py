"""Autopilot's ML recommender as a replay peer: the arms of `forecast.autopilot_ml`, fed hour by hour.

After Rzadca et al., "Autopilot: workload autoscaling at Google", EuroSys 2020, section 3.2.3; what of it is
the paper's and what is ours stands there. Nothing is forgotten here, so the grid of limits hangs on a
series' first hour and reaches 2400 times below and above it. The limit is what the chosen arm recommends,
with nothing around it: no floor, no guard, no buffer, as with every other peer.
"""

import numpy as np

from plimsoll.forecast.autopilot_ml import Arms, ArmSettings
from plimsoll.forecast.usage_grid import STEP, buckets_of
from plimsoll.replay.limits import BatchFacts, ObservedBin, Proposal
from plimsoll.replay.series import BINS_PER_HOUR, FloatArray

REACH = 160  # steps of the grid on either side of the first hour


class AutopilotMlPeer:
    """The ensemble's recommendation."""

    reasons: tuple[str, ...] = ("Autopilot's ML recommender: an OOM is one overrun among its costs",)

    def __init__(self, settings: ArmSettings | None = None) -> None:
        self._settings = settings or ArmSettings()

    def start(self, facts: BatchFacts) -> None:
        """Forget all."""
        self._arms = Arms(facts.series, self._settings, 2 * REACH + 1)
        self._anchor = np.full(facts.series, np.nan)
        self._hour_peak = np.full(facts.series, np.nan)

    def observe(self, observed: ObservedBin) -> None:
        """Remember the hour's peak; an hour that is over is a sample."""
        self._hour_peak = np.fmax(self._hour_peak, observed.usage_bytes)
        if observed.bin % BINS_PER_HOUR == BINS_PER_HOUR - 1:
            self._take(np.maximum(self._hour_peak, 1.0))
            self._hour_peak = np.full_like(self._hour_peak, np.nan)

    def decide(self, _bin_index: int, _limit_bytes: FloatArray) -> Proposal:
        """The recommendation after the last whole hour."""
        return Proposal(self._arms.limit * self._anchor)

    def react(self, _bin_index: int, _limit_bytes: FloatArray) -> FloatArray | None:
        """Autopilot does not react between its decisions."""
        return None

    def _take(self, peak_bytes: FloatArray) -> None:
        self._anchor = np.where(np.isnan(self._anchor), peak_bytes * STEP**REACH, self._anchor)
        buckets = buckets_of(peak_bytes[:, None], self._anchor, 2 * REACH + 1)[:, 0]
        self._arms.step(buckets, peak_bytes / self._anchor)
