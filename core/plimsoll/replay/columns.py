"""Limits as they are written down: a replay's matrix out as columns, columns of a file back in as a matrix.

The columns are the contract's: one row for every bin from the warm-up to a series' last, in order of
series and bin. What comes back in may have been made by another program: what does not fit is reported,
never guessed.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from plimsoll.replay.limits import LimitReplay
from plimsoll.replay.rules import Violation
from plimsoll.replay.series import FloatArray, IntArray, SeriesBatch


@dataclass(frozen=True, slots=True)
class LimitColumns:
    """The rows of a limits file. `series` indexes `series_ids`, `reason` indexes `reasons` (-1: none)."""

    series_ids: Sequence[str]
    series: npt.NDArray[np.int32]  # [m]
    bin: npt.NDArray[np.int32]  # [m]
    limit_bytes: FloatArray  # [m]
    reasons: Sequence[str]
    reason: npt.NDArray[np.int16]  # [m]


def to_columns(replay: LimitReplay) -> LimitColumns:
    """What a replay emitted, series by series."""
    series, bins = np.nonzero(replay.emitted())
    return LimitColumns(
        replay.batch.series_ids,
        series.astype(np.int32),
        bins.astype(np.int32),
        replay.limit_bytes[series, bins],
        replay.reasons,
        replay.reason[series, bins].astype(np.int16),
    )


def from_columns(
    batch: SeriesBatch, columns: LimitColumns, warmup_bins: int, decide_bins: int
) -> tuple[LimitReplay, list[Violation]]:
    """The replay that `columns` tell of, and where they break "exactly once for every bin from the warm-up
    on".

    Rows of series that are not in `batch` are left alone. A bin without a limit stays NaN.
    """
    row_of = {series_id: row for row, series_id in enumerate(batch.series_ids)}
    lookup = np.array([row_of.get(series_id, -1) for series_id in columns.series_ids] or [-1])
    row = lookup[columns.series]
    known = (row >= 0) & ~np.isnan(columns.limit_bytes)  # a NaN is no limit
    row, bins, limit = row[known], columns.bin[known], columns.limit_bytes[known]
    inside = (bins >= warmup_bins) & (bins < batch.length_bins[row])
    count = np.zeros(batch.usage_bytes.shape, dtype=np.int32)
    np.add.at(count, (row[inside], bins[inside]), 1)
    limits = np.full(batch.usage_bytes.shape, np.nan)
    limits[row[inside], bins[inside]] = limit[inside]
    reason = np.full(batch.usage_bytes.shape, -1, dtype=np.int16)
    reason[row[inside], bins[inside]] = columns.reason[known][inside]
    replay = LimitReplay(batch, warmup_bins, decide_bins, limits, reason, tuple(columns.reasons))
    outside = _by_series(
        replay, row[~inside], bins[~inside], "a limit outside the bins from the warm-up to the last"
    )
    missing, at = np.nonzero(replay.emitted() & (count != 1))
    return replay, outside + _by_series(replay, missing, at, "not exactly one limit")


def _by_series(replay: LimitReplay, rows: IntArray, bins: IntArray, message: str) -> list[Violation]:
    """One violation a series, at its first such bin: a file that lacks a series lacks thousands of rows."""
    violations = []
    for row in np.unique(rows).tolist():
        there = bins[rows == row]
        of = f" (and in {len(there) - 1} more bins)" if len(there) > 1 else ""
        violations.append(Violation(replay.batch.series_ids[row], int(there.min()), message + of))
    return violations
