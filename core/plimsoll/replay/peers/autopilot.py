"""Autopilot's moving-window recommender for memory: the maximum of the last 24 h and a margin of 15 %.

After Rzadca et al., "Autopilot: workload autoscaling at Google", EuroSys 2020, section 3.2.2: the memory
limit of jobs with the least tolerance for OOMs follows the maximum over a window; the 10-15 % safety margin
and the maximum over the last hour of recommendations (given here by hourly decisions) are its
post-processing. The estimator is `forecast.moving_windows`'.
"""

from plimsoll.forecast.moving_windows import MARGIN, PEAK_HOURS, window_peak
from plimsoll.replay.limits import BatchFacts, ObservedBin, Proposal
from plimsoll.replay.peers.peaks import HourlyPeaks
from plimsoll.replay.series import FloatArray


class Autopilot:
    """Day's maximum x 1.15."""

    reasons: tuple[str, ...] = ("Autopilot's window: the limit is the day's maximum x 1.15",)

    def __init__(self, margin: float = MARGIN) -> None:
        self._margin = margin

    def start(self, facts: BatchFacts) -> None:
        """Forget all."""
        self._peaks = HourlyPeaks(facts.series, PEAK_HOURS)

    def observe(self, observed: ObservedBin) -> None:
        """Remember the bin's usage."""
        self._peaks.add(observed.bin, observed.usage_bytes)

    def decide(self, _bin_index: int, _limit_bytes: FloatArray) -> Proposal:
        """The recommendation as it stands; a day without a sample says nothing."""
        return Proposal(window_peak(self._peaks.hourly_bytes()) * self._margin)

    def react(self, _bin_index: int, _limit_bytes: FloatArray) -> FloatArray | None:
        """Autopilot does not react between its decisions."""
        return None
