"""Synthetic series for replay tests: seeded, a few shapes, with missing bins and unlike lengths."""

from dataclasses import replace

import numpy as np

from plimsoll.replay.limits import BatchFacts, ObservedBin, Proposal
from plimsoll.replay.series import SeriesBatch, batch_of

MIB = 2.0**20


def truncated(batch: SeriesBatch, bins: int) -> SeriesBatch:
    """Every series cut after its first `bins` bins."""
    length = np.minimum(batch.length_bins, bins)
    return replace(batch, usage_bytes=batch.usage_bytes[:, :bins], length_bins=length)


def mixed_batch(seed: int = 1, days: float = 3.0) -> SeriesBatch:
    """Six series: flat, growing and restarting, daily, bursty, late and sparse, short."""
    bins = int(days * 288)
    random = np.random.default_rng(seed)
    k = np.arange(bins)
    noise = 1 + 0.02 * random.standard_normal((6, bins))
    sparse = np.where(random.random(bins) < 0.3, np.nan, 300.0)
    sparse[:20] = np.nan
    shapes = {
        "flat": np.full(bins, 200.0),
        "sawtooth": 100.0 + (k % 400) * 1.5,
        "daily": 500 + 300 * np.sin(2 * np.pi * k / 288),
        "bursty": 80.0 + 600.0 * (random.random(bins) < 0.01),
        "sparse": sparse,
        "short": np.linspace(50, 400, bins),
    }
    usage = {name: shape * noise[i] * MIB for i, (name, shape) in enumerate(shapes.items())}
    usage["short"] = usage["short"][: bins * 3 // 4]
    return batch_of("synthetic", usage)


class Scripted:
    """A recommender that says what it was told to: `decisions[bin]` and `raises[bin]`, for one series."""

    reasons = ("scripted", "scripted otherwise")

    def __init__(self, decisions: dict[int, float], raises: dict[int, float] | None = None) -> None:
        self.decisions = decisions
        self.raises = raises or {}
        self.seen: list[ObservedBin] = []
        self.asked: list[int] = []
        self.reacted: list[int] = []

    def start(self, facts: BatchFacts) -> None:
        self.facts = facts

    def observe(self, observed: ObservedBin) -> None:
        self.seen.append(observed)

    def decide(self, bin_index: int, limit_bytes: np.ndarray) -> Proposal:
        self.asked.append(bin_index)
        return Proposal(np.array([self.decisions.get(bin_index, np.nan)]), np.array([1], dtype=np.int8))

    def react(self, bin_index: int, limit_bytes: np.ndarray) -> np.ndarray | None:
        self.reacted.append(bin_index)
        raised = self.raises.get(bin_index)
        return None if raised is None else np.array([raised])
