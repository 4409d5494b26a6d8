"""The replay of memory limits: recorded usage and a recommender in, the limit in force in every bin out.

All series of a batch walk together, bin by bin, each from its own bin 0. Before bin k happens the
recommender has been told bins < k only, so causality holds by construction. At the first bin of every
decision window it is asked for a limit, in every guard bin whether a limit must rise at once. A bin whose
usage exceeds its limit is an OOM; from the next bin to the end of its window the limit is then at least R
= max(1.2 L, L + 100 MiB), whatever the recommender says. Until the warm-up is over usage is only watched.
The rules are those of the replay contract.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from plimsoll.replay.series import BINS_PER_DAY, BoolArray, FloatArray, SeriesBatch
from plimsoll.usage.sample import BIN_SECONDS

MIB = 2**20
OOM_RAISE_FACTOR = 1.2
OOM_RAISE_BYTES = 100 * MIB
# In force when a recommender has nothing to say at the end of the warm-up (not one sample was seen):
# what VPA's recommender gives a container that it knows nothing about.
COLD_LIMIT_BYTES = 250.0 * MIB


@dataclass(frozen=True, slots=True)
class ReplaySettings:
    """How a replay runs. All in bins of 300 s."""

    warmup_bins: int = BINS_PER_DAY
    decide_bins: int = 12
    guard_bins: int = 1

    def __post_init__(self) -> None:
        if self.warmup_bins < 1 or self.decide_bins < 1 or self.guard_bins < 1:
            raise ValueError(f"replay settings must be at least one bin ({BIN_SECONDS} s) each: {self}")


@dataclass(frozen=True, slots=True)
class BatchFacts:
    """What a recommender may know of a batch before it begins: nothing that a live one would not."""

    series: int
    warmup_bins: int
    decide_bins: int
    guard_bins: int


@dataclass(frozen=True, slots=True)
class ObservedBin:
    """One bin that has happened. `limit_bytes` is NaN and `oom` False during the warm-up."""

    bin: int
    usage_bytes: FloatArray  # [n] NaN: missing
    limit_bytes: FloatArray  # [n] in force while it happened
    oom: BoolArray  # [n] usage was above the limit


@dataclass(frozen=True, slots=True)
class Proposal:
    """The limits asked for from a bin on. NaN: nothing to say, what is in force stays.

    `reason[i]` indexes `ReplayRecommender.reasons`; it is written down where the limit falls below an
    OOM's R.
    """

    limit_bytes: FloatArray  # [n]
    reason: npt.NDArray[np.int8] | None = None  # [n]; None: reasons[0] for all


class ReplayRecommender(Protocol):
    """What a peer or the live pipeline's adapter does in a replay.

    Called in this order: `start` once; then for each bin k from 0: [k >= warm-up: `decide(k, limits)` if k
    begins a window or is the first bin after the warm-up; then `react(k, limits)` if k is a guard bin;]
    `observe(bin k)`.
    """

    reasons: tuple[str, ...]  # why a limit may fall below an OOM's R; at least one

    def start(self, facts: BatchFacts) -> None:
        """Forget all; a batch of `facts.series` series begins."""
        ...

    def observe(self, observed: ObservedBin) -> None:
        """Bin `observed.bin` has happened."""
        ...

    def decide(self, bin_index: int, limit_bytes: FloatArray, /) -> Proposal:
        """The limits for the window that begins with this bin.

        `limit_bytes` [n]: in force so far (NaN at first).
        """
        ...

    def react(self, bin_index: int, limit_bytes: FloatArray, /) -> FloatArray | None:
        """Limits [n] to raise to from this bin on (NaN or lower than in force:
        no raise), or None for no raise.
        """
        ...


@dataclass(frozen=True, slots=True)
class LimitReplay:
    """What a replay emitted:
    every series' limits from the warm-up on. Before it, and after a series' end: NaN.
    """

    batch: SeriesBatch
    warmup_bins: int
    decide_bins: int
    limit_bytes: FloatArray  # [n, bins]
    reason: npt.NDArray[np.integer]  # [n, bins] index into `reasons`; -1: none needed
    reasons: tuple[str, ...]

    def emitted(self) -> BoolArray:
        """Mask [n, bins] of the bins that have a limit: from the warm-up to each series' last."""
        bins = np.arange(self.batch.bins)
        return (bins >= self.warmup_bins) & (bins < self.batch.length_bins[:, None])


Progress = Callable[[int, int], None]  # (bins done, bins in all)


def replay_limits(
    batch: SeriesBatch,
    recommender: ReplayRecommender,
    settings: ReplaySettings,
    progress: Progress | None = None,
) -> LimitReplay:
    """Replay `recommender` over all series of `batch` at once."""
    n, bins = batch.usage_bytes.shape
    recommender.start(BatchFacts(n, settings.warmup_bins, settings.decide_bins, settings.guard_bins))
    run = _Run(batch, recommender, settings)
    for bin_index in range(bins):
        run.step(bin_index)
        if progress is not None:
            progress(bin_index + 1, bins)
    floor = oom_floor(batch.usage_bytes, run.limits, settings.decide_bins)
    reason = np.where(run.limits < floor, run.reasons, -1).astype(np.int8)
    replay = LimitReplay(
        batch, settings.warmup_bins, settings.decide_bins, run.limits, reason, recommender.reasons
    )
    run.limits[~replay.emitted()] = np.nan
    reason[~replay.emitted()] = -1
    return replay


def raised_after_oom(limit_bytes: FloatArray) -> FloatArray:
    """R: the least limit after an OOM at `limit_bytes`, by the contract.

    `guard.limits.after_oom` says the same today, but by settings of ours, and those rule no peer.
    """
    return np.maximum(OOM_RAISE_FACTOR * limit_bytes, limit_bytes + OOM_RAISE_BYTES)


def oom_floor(usage_bytes: FloatArray, limit_bytes: FloatArray, decide_bins: int) -> FloatArray:
    """The highest R [n, bins] of the OOMs in the 24 h before each bin, 0 where there was none."""
    floor = np.zeros_like(limit_bytes)
    series, bins = np.nonzero(usage_bytes > limit_bytes)
    raised = raised_after_oom(limit_bytes[series, bins])
    for row, k, least in zip(series.tolist(), bins.tolist(), raised.tolist(), strict=True):
        end = max(k + BINS_PER_DAY, (k // decide_bins + 1) * decide_bins - 1)
        np.maximum(floor[row, k + 1 : end + 1], least, out=floor[row, k + 1 : end + 1])
    return floor


class _Run:
    """The state of one replay between two bins."""

    def __init__(self, batch: SeriesBatch, recommender: ReplayRecommender, settings: ReplaySettings) -> None:
        n, bins = batch.usage_bytes.shape
        self.columns = np.ascontiguousarray(batch.usage_bytes.T)
        self.recommender = recommender
        self.settings = settings
        self.limit = np.full(n, np.nan)
        self.reason = np.zeros(n, dtype=np.int8)
        self.window_floor = np.zeros(n)
        self.limits = np.full((n, bins), np.nan)
        self.reasons = np.full((n, bins), -1, dtype=np.int8)

    def step(self, bin_index: int) -> None:
        usage = self.columns[bin_index]
        if bin_index >= self.settings.warmup_bins:
            self._set_limits(bin_index)
            self.limits[:, bin_index] = self.limit
            self.reasons[:, bin_index] = self.reason
        oom = usage > self.limit
        self.recommender.observe(ObservedBin(bin_index, usage, self.limit, oom))
        if oom.any():
            np.maximum(
                self.window_floor, np.where(oom, raised_after_oom(self.limit), 0.0), out=self.window_floor
            )

    def _set_limits(self, bin_index: int) -> None:
        # A new array every time: what was handed to the recommender is never changed under it.
        first = bin_index == self.settings.warmup_bins
        if first or bin_index % self.settings.decide_bins == 0:
            self._decide(bin_index)
        limit = self.limit
        if bin_index % self.settings.guard_bins == 0:
            raised = self.recommender.react(bin_index, limit)
            limit = limit if raised is None else np.fmax(limit, np.where(np.isfinite(raised), raised, np.nan))
        self.limit = np.maximum(limit, self.window_floor)

    def _decide(self, bin_index: int) -> None:
        if bin_index % self.settings.decide_bins == 0:
            self.window_floor = np.zeros_like(self.window_floor)
        proposal = self.recommender.decide(bin_index, self.limit)
        said = np.isfinite(proposal.limit_bytes) & (proposal.limit_bytes > 0)
        held = np.where(np.isnan(self.limit), COLD_LIMIT_BYTES, self.limit)
        self.limit = np.where(said, proposal.limit_bytes, held)
        if proposal.reason is not None:
            self.reason = np.where(said, proposal.reason, self.reason).astype(np.int8)


__all__ = [
    "BatchFacts",
    "LimitReplay",
    "ObservedBin",
    "Proposal",
    "ReplayRecommender",
    "ReplaySettings",
    "oom_floor",
    "raised_after_oom",
    "replay_limits",
]
