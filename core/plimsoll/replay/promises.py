"""What a recommender promised against what came true: chances of an OOM in, a table of calibration out.

A promise is made at the start of every decision window: the chance that usage exceeds the limit before the
window is over. It is kept if over many windows as many OOMs come as the promises add up to, overall and
among those that promised alike.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from plimsoll.replay.limits import LimitReplay
from plimsoll.replay.series import BoolArray, FloatArray, SeriesBatch

# Edges of the bands of promised chance within which promised and realised are compared.
BAND_EDGES = (0.0, 0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 1.0)
BANDS = len(BAND_EDGES) - 1


@dataclass(frozen=True, slots=True)
class Kept:
    """Sums over the windows of each series, by band of the promise; [n, bands]."""

    windows: FloatArray
    promised: FloatArray  # chances added up
    realised: FloatArray  # windows with an OOM

    def take(self, mask: BoolArray) -> "Kept":
        """Only the series of `mask` [n]."""
        return Kept(self.windows[mask], self.promised[mask], self.realised[mask])


def kept(replay: LimitReplay, promised: FloatArray) -> Kept:
    """Compare promises [n, windows] (NaN: none) with the OOMs of a replay.

    Windows count from bin 0; those without a present bin are left out.
    """
    present = replay.emitted() & np.isfinite(replay.batch.usage_bytes)
    killed = present & (replay.batch.usage_bytes > replay.limit_bytes)
    seen, hit = (_by_window(mask, replay.decide_bins, promised.shape[1]) for mask in (present, killed))
    counted = seen & np.isfinite(promised)
    band = np.clip(np.searchsorted(BAND_EDGES, np.nan_to_num(promised), side="right") - 1, 0, BANDS - 1)
    chances = np.where(counted, promised, 0.0)
    by_band = [counted & (band == index) for index in range(BANDS)]
    return Kept(
        np.stack([mask.sum(axis=1) for mask in by_band], axis=1).astype(np.float64),
        np.stack([np.where(mask, chances, 0.0).sum(axis=1) for mask in by_band], axis=1),
        np.stack([(mask & hit).sum(axis=1) for mask in by_band], axis=1).astype(np.float64),
    )


def windows_of(batch: SeriesBatch, decide_bins: int) -> int:
    """Decision windows of the longest series."""
    return -(-batch.bins // decide_bins)


def join_kept(parts: Sequence[Kept]) -> Kept:
    """The series of several replays."""
    columns = (
        np.concatenate([getattr(part, name) for part in parts])
        for name in ("windows", "promised", "realised")
    )
    return Kept(*columns)


def realised_over_promised(sums: Kept, weights: FloatArray) -> FloatArray:
    """[r] realised / promised over all bands, for each row of `weights` [r, n]; 1: promises are kept."""
    promised = weights @ sums.promised.sum(axis=1)
    realised = weights @ sums.realised.sum(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(realised / promised)


def _by_window(mask: BoolArray, decide_bins: int, windows: int) -> BoolArray:
    """Whether any bin of a window is in `mask` [n, bins]: [n, windows]."""
    padded = np.pad(mask, ((0, 0), (0, windows * decide_bins - mask.shape[1])))
    return np.asarray(padded.reshape(len(mask), windows, decide_bins).any(axis=2))
