"""What a predictor remembers of every page of one memory, as columns; touched and read in batches by numpy.

In: rows of pages that were accessed, what kind of access, and a time. Out: the cells of the predictor's
tables that each page selects now. The columns are plain arrays in a NamedTuple, so that compiled replays work
on the very same state one page at a time (`plimsoll.replay.page_kernels.history`).
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from plimsoll.pages.moving import Move
from plimsoll.pages.reuse_features import (
    AGES,
    NEVER_LEVEL,
    REGION_CELLS,
    REGION_PAGES_LOG2,
    TABLES,
    cells_of,
    octaves,
    risen,
)

FAST, MIDDLE, SLOW, BESIDE = 0, 1, 2, 3  # columns of `times`
REGION_HASH = 2_654_435_761  # Knuth's multiplier: near regions fall far apart
FOR_EVER = AGES - 1.0

Floats = npt.NDArray[np.float32]
Longs = npt.NDArray[np.int64]
Rows = npt.NDArray[np.int32]


class HistoryColumns(NamedTuple):
    """One entry a page; `region_*` one a region of 32 pages, found by `region`.

    `times` float64[4]: after how long the fast, middle and slow counts halve, and how recently a neighbour
    must have been touched to count as the same sweep.
    """

    last: Longs  # time of the last access
    accesses: Longs  # ever; 0: the other columns mean nothing
    gap1: Floats  # octaves of the last gap, 0: none yet
    gap2: Floats
    gap3: Floats
    fast: Floats  # decayed counts at `last`, log2 of eighths
    middle: Floats
    slow: Floats
    sequence: npt.NDArray[np.int32]
    passed: Longs  # the region's accesses at `last`
    has_before: npt.NDArray[np.bool_]  # the row before is the page before
    has_behind: npt.NDArray[np.bool_]
    region: npt.NDArray[np.int32]
    region_cell: npt.NDArray[np.int32]
    region_last: Longs
    region_count: Longs
    region_level: Floats
    times: npt.NDArray[np.float64]


def history_columns(pages: npt.NDArray[np.integer], times: Sequence[float]) -> HistoryColumns:
    """Nothing seen yet of these pages (int[n], ascending, in units of a page)."""
    n, numbers = len(pages), pages.astype(np.int64)
    region_numbers, region = np.unique(numbers >> REGION_PAGES_LOG2, return_inverse=True)
    hashed = ((region_numbers * REGION_HASH & 0xFFFFFFFF) >> 20) % REGION_CELLS
    adjacent = np.concatenate([[False], np.diff(numbers) == 1, [False]])
    regions = len(region_numbers)

    def floats(value: float = 0.0, size: int = n) -> Floats:
        return np.full(size, value, np.float32)

    def longs(size: int = n) -> Longs:
        return np.zeros(size, np.int64)

    return HistoryColumns(
        last=longs(),
        accesses=longs(),
        gap1=floats(),
        gap2=floats(),
        gap3=floats(),
        fast=floats(NEVER_LEVEL),
        middle=floats(NEVER_LEVEL),
        slow=floats(NEVER_LEVEL),
        sequence=np.zeros(n, np.int32),
        passed=longs(),
        has_before=adjacent[:-1].copy(),
        has_behind=adjacent[1:].copy(),
        region=region.astype(np.int32),
        region_cell=hashed[region].astype(np.int32),
        region_last=longs(regions),
        region_count=longs(regions),
        region_level=floats(NEVER_LEVEL, regions),
        times=np.array(times, np.float64),
    )


def moved(
    columns: HistoryColumns, before: npt.NDArray[np.integer], after: npt.NDArray[np.integer]
) -> HistoryColumns:
    """The history of other pages (int[m], ascending): what both sets have is remembered.

    Regions start anew: their counts are of pages that may be gone.
    """
    fresh, move = history_columns(after, columns.times.tolist()), Move.between(before, after)
    kept = {
        name: move.carry(getattr(columns, name), 0)
        for name in ("last", "accesses", "gap1", "gap2", "gap3", "sequence")
    }
    levels = {name: move.carry(getattr(columns, name), NEVER_LEVEL) for name in ("fast", "middle", "slow")}
    return fresh._replace(**kept, **levels)


def touch(columns: HistoryColumns, rows: Rows, kinds: npt.NDArray[np.uint8], now: int) -> None:
    """Take in accesses at one time: distinct rows int[n], the kind of each (`AccessKind`)."""
    again = rows[columns.accesses[rows] > 0]
    columns.gap3[again] = columns.gap2[again]
    columns.gap2[again] = columns.gap1[again]
    columns.gap1[again] = octaves(now - columns.last[again])
    elapsed = now - columns.last[rows]
    for level, which in ((columns.fast, FAST), (columns.middle, MIDDLE), (columns.slow, SLOW)):
        level[rows] = risen(level[rows], elapsed, columns.times[which], 1.0)
    columns.accesses[rows] += 1
    columns.last[rows] = now
    columns.sequence[rows] = 3 * _swept(columns, rows, now) + kinds
    regions, accesses = np.unique(columns.region[rows], return_counts=True)
    columns.region_level[regions] = risen(
        columns.region_level[regions],
        now - columns.region_last[regions],
        columns.times[MIDDLE],
        accesses.astype(np.float64),
    )
    columns.region_last[regions] = now
    columns.region_count[regions] += accesses
    columns.passed[rows] = columns.region_count[columns.region[rows]]


def cells(columns: HistoryColumns, rows: Rows, now: int) -> npt.NDArray[np.int16]:
    """int16[n, tables]: the cells that pages seen before select at this time."""
    elapsed, region = now - columns.last[rows], columns.region[rows]
    region_elapsed = now - columns.region_last[region]
    beside = np.maximum(_last_beside(columns, rows, -1), _last_beside(columns, rows, 1))
    found = cells_of(
        octaves(elapsed),
        columns.gap1[rows],
        columns.gap2[rows],
        columns.gap3[rows],
        columns.fast[rows] - elapsed / columns.times[FAST],
        columns.middle[rows] - elapsed / columns.times[MIDDLE],
        columns.slow[rows] - elapsed / columns.times[SLOW],
        octaves(columns.accesses[rows]),
        columns.sequence[rows],
        octaves(region_elapsed),
        columns.region_level[region] - region_elapsed / columns.times[MIDDLE],
        columns.region_cell[rows],
        np.where(beside > 0, octaves(now - beside), FOR_EVER),
        octaves(columns.region_count[region] - columns.passed[rows]),
    )
    out = np.empty((len(rows), len(TABLES)), np.int16)
    for table, cell in enumerate(found):
        out[:, table] = cell
    return out


def _swept(columns: HistoryColumns, rows: Rows, now: int) -> npt.NDArray[np.int32]:
    """Bit 0: the page before was touched just before; bit 1: the page behind."""
    recently = now - columns.times[BESIDE]
    swept = np.zeros(len(rows), np.int32)
    for bit, step in ((1, -1), (2, 1)):
        last = _last_beside(columns, rows, step)
        swept += bit * ((last > 0) & (last >= recently))
    return swept


def _last_beside(columns: HistoryColumns, rows: Rows, step: int) -> Longs:
    """When the page one before or behind was touched; 0: never, or there is none."""
    there = columns.has_before[rows] if step < 0 else columns.has_behind[rows]
    found: Longs = np.where(there, columns.last[np.where(there, rows + step, rows)], 0)
    return found
