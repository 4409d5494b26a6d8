"""The live pipeline as a replay recommender: the same `History` and `LimitPipeline`, fed from recorded bins.

In: bins that have happened. Out: limits for the window to come and raises in between. Each series is
shifted so that its bin 0 is the first of an absolute hour; nothing else differs from a cluster, where
samples come from sources and limits go through the guards that only a cluster has.
"""

from dataclasses import dataclass, replace

import numpy as np

from plimsoll.forecast.prophet import PROPHET, PeakFitter
from plimsoll.forecast.prophet_desk import LOOK_AT_MOST, REFIT_SECONDS, ProphetDesk
from plimsoll.forecast.protocol import PeakModel
from plimsoll.forecast.registry import prophet_with
from plimsoll.guard.limits import LimitReason
from plimsoll.pipeline import LimitPipeline, PipelineSettings
from plimsoll.recommend.recommendation import Recommendations
from plimsoll.replay.limits import BatchFacts, ObservedBin, Proposal
from plimsoll.replay.series import BINS_PER_HOUR, FloatArray
from plimsoll.usage.history import History
from plimsoll.usage.sample import BIN_SECONDS, Quantity

# Bin 0 of every series: any multiple of 12 will do.
FIRST_BIN = 6_000_000


@dataclass
class LiveRecommender:
    """Implements `ReplayRecommender` with the pipeline that the operator runs."""

    settings: PipelineSettings
    model: PeakModel | None = None  # None: the one that the settings name
    fitter: PeakFitter | None = None  # fits on the spot where that is `prophet`; None: auto stands in
    refit_seconds: float = REFIT_SECONDS
    holidays: tuple[str, ...] = ()  # dates by the replay's own calendar: bin 0 is FIRST_BIN

    reasons = tuple(reason.label for reason in LimitReason)

    def start(self, facts: BatchFacts) -> None:
        """Forget all; a batch begins.

        The contract wants a limit from the end of the warm-up on. Where that is shorter than the past that a
        cluster waits for, the pipeline is asked sooner than it would be there; benches tell such hours apart.
        """
        least = min(self.settings.least_history_hours, facts.warmup_bins // BINS_PER_HOUR)
        self._history = History(Quantity.USAGE, max(facts.series, 1))
        self._rows = self._history.add_rows(facts.series)
        settings = replace(self.settings, least_history_hours=least)
        self._desk = None
        model = self.model
        if settings.model == PROPHET and self.fitter is not None:
            self._desk = ProphetDesk(self._history, refit_seconds=self.refit_seconds)
            for row in self._rows.tolist():
                self._desk.want(row, self.holidays)
            model = prophet_with(self._desk.book)
        self._pipeline = LimitPipeline(self._history, settings, model)

    def observe(self, observed: ObservedBin) -> None:
        """Bin `observed.bin` has happened."""
        start = _seconds(observed.bin)
        end = start + BIN_SECONDS - 1
        seen = np.isfinite(observed.usage_bytes)
        rows = self._rows[seen]
        self._history.append(rows, np.full(len(rows), start), observed.usage_bytes[seen], end)
        self._pipeline.observe_limits(self._rows, observed.limit_bytes)
        if observed.oom.any():
            self._pipeline.observe_oom(self._rows[observed.oom], end, observed.limit_bytes[observed.oom])

    def decide(self, bin_index: int, limit_bytes: FloatArray) -> Proposal:
        """The limits for the window that begins with this bin."""
        now = _seconds(bin_index)
        self._pipeline.observe_limits(self._rows, limit_bytes)
        plan = self._pipeline.settle(self.recommend(bin_index), now)
        return Proposal(plan.limit_bytes, plan.reason)

    def recommend(self, bin_index: int) -> Recommendations:
        """What the pipeline recommends when this bin begins, before hysteresis; the requests are in it."""
        now = _seconds(bin_index)
        self._fit(now)
        return self._pipeline.decide(self._rows, now)

    def react(self, bin_index: int, limit_bytes: FloatArray) -> FloatArray | None:
        """Limits to raise to from this bin on."""
        self._pipeline.observe_limits(self._rows, limit_bytes)
        raises = self._pipeline.react(self._rows, _seconds(bin_index))
        if not len(raises.rows):
            return None
        raised = np.full(len(self._rows), np.nan)
        raised[np.searchsorted(self._rows, raises.rows)] = raises.limit_bytes
        return raised

    def _fit(self, now_seconds: float) -> None:
        """What the operator's workers would have done by now: nobody waits for a replay."""
        if self._desk is None or self.fitter is None:
            return
        self._history.advance(now_seconds)
        for _ in range(-(-len(self._rows) // LOOK_AT_MOST)):
            for task in list(self._desk.due(now_seconds, len(self._rows))):
                self._desk.take(self.fitter(task))


def _seconds(bin_index: int) -> float:
    return float((FIRST_BIN + bin_index) * BIN_SECONDS)
