"""Recorded series as training rows: what a model sees, and the smallest limit the next hour would survive.

In: binned series. Out: features and needs. Rows are taken at every hour (also 20 and 40 minutes later) and
wherever the pipeline would ask again; some series are altered (a constant added, part of the minimum taken
off, neighbours merged), so that the model learns shapes and not levels.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from plimsoll.forecast.features import features
from plimsoll.forecast.window import BINS_PER_DAY, BINS_PER_HOUR, HISTORY_HOURS, UsageWindow
from plimsoll.guard.limits import GuardSettings
from plimsoll.pipeline import PipelineSettings
from plimsoll.recommend.lessons import needs
from plimsoll.replay.series import SeriesBatch
from plimsoll.replay.split import group_of

FIRST_BIN = 36  # rows need three hours of past
LEAST_SEEN_BINS = 6  # of the coming hour
ASK_AGAIN_ABOVE = PipelineSettings().ask_again_above
FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Rows:
    """Training rows of one or many series."""

    row: npt.NDArray[np.float32]  # [m, f]
    level: npt.NDArray[np.float32]  # [m, levels, g]
    need: npt.NDArray[np.int64]  # [m] index of the first level that survives; len(LOG_LEVELS): none does
    group: npt.NDArray[np.str_]  # [m] rows of one group never lie on both sides of a split

    def take(self, mask: npt.NDArray[np.bool_]) -> "Rows":
        """Only the rows of `mask`."""
        return Rows(self.row[mask], self.level[mask], self.need[mask], self.group[mask])


def join(parts: Sequence[Rows]) -> Rows:
    """All rows of several."""
    columns = (
        np.concatenate([getattr(part, name) for part in parts]) for name in ("row", "level", "need", "group")
    )
    return Rows(*columns)


def rows_of(
    batches: Sequence[SeriesBatch],
    offsets: Sequence[int],
    every: int = 1,
    augment: np.random.Generator | None = None,
) -> Rows:
    """Rows of all series, `every`-th hour, at these offsets (bins) after it."""
    parts = []
    for batch in batches:
        for index, series_id in enumerate(batch.series_ids):
            usage = batch.usage_bytes[index, : batch.length_bins[index]]
            usage = usage if augment is None else altered(usage, augment)
            bins = decision_bins(usage, offsets, every)
            if len(bins):
                parts.append(_rows(usage, bins, group_of(series_id)))
    return join(parts)


def altered(usage: FloatArray, random: np.random.Generator) -> FloatArray:
    """A series that could have been: on a pedestal, on a smaller one, or of two replicas."""
    kind = random.integers(3)
    if kind == 0:
        return usage + np.nanmedian(usage) * np.exp(random.normal(-0.7, 0.8))
    if kind == 1:
        return usage - np.nanmin(usage) * random.uniform(0.3, 0.9)
    return np.asarray(np.fmax(usage[:-1], usage[1:]))


def decision_bins(usage: FloatArray, offsets: Sequence[int], every: int) -> npt.NDArray[np.int64]:
    """Bins at whose start a row is taken."""
    last = len(usage) - LEAST_SEEN_BINS
    regular = [np.arange(FIRST_BIN + offset, last, BINS_PER_HOUR * every) for offset in offsets]
    return np.concatenate([*regular, np.array(asked_again(usage)[::every], dtype=np.int64)])


def asked_again(usage: FloatArray) -> list[int]:
    """Bins after which the pipeline asks before the hour is over: usage left what the last forecast knew."""
    known, out = np.nan, []
    for k in range(FIRST_BIN, len(usage)):
        if k % BINS_PER_HOUR == 0:
            known = np.fmax.reduce(usage[k - BINS_PER_HOUR : k])
        elif usage[k - 1] > ASK_AGAIN_ABOVE * known:
            known = usage[k - 1]
            out.append(k)
    return out


def windows_at(usage: FloatArray, bins: npt.NDArray[np.int64]) -> UsageWindow:
    """What a history holds at the start of each of these bins, when bin 0 begins an absolute hour."""
    padded = np.concatenate([np.full(BINS_PER_DAY, np.nan), usage])
    recent = np.full((len(bins), BINS_PER_DAY), np.nan)
    hourly = np.full((len(bins), HISTORY_HOURS), np.nan)
    hours = np.fmax.reduce(
        np.pad(usage, (0, -len(usage) % BINS_PER_HOUR), constant_values=np.nan).reshape(-1, BINS_PER_HOUR),
        axis=1,
    )
    past = np.concatenate([np.full(HISTORY_HOURS, np.nan), hours])
    for i, k in enumerate(bins.tolist()):
        recent[i, :-1] = padded[k + 1 : k + BINS_PER_DAY]
        hour = k // BINS_PER_HOUR
        hourly[i, :-1] = past[hour + 1 : hour + HISTORY_HOURS]
        if k % BINS_PER_HOUR:
            hourly[i, -1] = np.fmax.reduce(usage[hour * BINS_PER_HOUR : k])
    return UsageWindow(recent, hourly)


def _rows(usage: FloatArray, bins: npt.NDArray[np.int64], group: str) -> Rows:
    seen = features(windows_at(usage, bins))
    ahead = np.concatenate([usage, np.full(BINS_PER_HOUR, np.nan)])
    coming = np.stack([ahead[k : k + BINS_PER_HOUR] for k in bins.tolist()])
    need = needs(coming, seen.reference_bytes, GuardSettings())
    good = (np.isfinite(coming).sum(axis=1) >= LEAST_SEEN_BINS) & np.isfinite(seen.reference_bytes)
    return Rows(seen.row[good], seen.level[good], need[good], np.full(int(good.sum()), group))
