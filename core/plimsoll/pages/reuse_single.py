"""One page's cells without numpy's cost of a call: `page_history.cells` for a single row, in plain numbers.

For questions between epochs (a refault, a person's `mempred status`), where forty numpy calls on arrays of
one would cost more than the answer. A test holds it to the batch, cell by cell.
"""

from math import log2

from plimsoll.pages.page_history import FAST, FOR_EVER, MIDDLE, SLOW, HistoryColumns
from plimsoll.pages.reuse_features import (
    AGES,
    BESIDE_AGE_AT,
    COUNT_AGE_AT,
    FAST_AGE_AT,
    GAP1_AGE_AT,
    GAP1_GAP2_AT,
    GAP2_GAP3_AT,
    LEVELS,
    MIDDLE_SLOW_AT,
    PASSED_AGE_AT,
    RATIO_COUNT_AT,
    REGION_AGE_AT,
    REGION_AT,
    REGION_LEVEL_AGE_AT,
    SEQUENCE_AGE_AT,
)
from plimsoll.pages.reuse_predictor import QuantisedTables

OLDEST = AGES - 1


def cells_of_one(columns: HistoryColumns, row: int, now: int) -> tuple[int, ...]:
    """The cells that a page seen before selects at this time."""
    elapsed, region = now - columns.last.item(row), columns.region.item(row)
    region_elapsed = now - columns.region_last.item(region)
    times = columns.times
    gap1, gap2, gap3 = (column.item(row) for column in (columns.gap1, columns.gap2, columns.gap3))
    age, count = log2(elapsed + 1.0), min(int(log2(columns.accesses.item(row) + 1.0)), LEVELS - 1)
    a, g1, g2 = min(int(age), OLDEST), min(int(gap1), OLDEST), min(int(gap2), OLDEST)
    fast, middle, slow = (
        _level(level.item(row) - elapsed / times.item(which) + 1.0)
        for level, which in ((columns.fast, FAST), (columns.middle, MIDDLE), (columns.slow, SLOW))
    )
    ratio = int(min(max(32.0 + 4.0 * (age - gap1), 1.0), 63.0)) if gap1 > 0 else 0
    region_level = _level(columns.region_level.item(region) - region_elapsed / times.item(MIDDLE))
    passed = log2(columns.region_count.item(region) - columns.passed.item(row) + 1.0)
    return (
        min(int(3.0 * age), 63),
        GAP1_AGE_AT + g1 * AGES + a,
        GAP1_GAP2_AT + g1 * AGES + g2,
        GAP2_GAP3_AT + g2 * AGES + min(int(gap3), OLDEST),
        FAST_AGE_AT + fast * AGES + a,
        MIDDLE_SLOW_AT + middle * LEVELS + slow,
        COUNT_AGE_AT + count * AGES + a,
        REGION_AGE_AT + min(int(log2(region_elapsed + 1.0)), OLDEST) * AGES + a,
        REGION_LEVEL_AGE_AT + region_level * AGES + a,
        SEQUENCE_AGE_AT + columns.sequence.item(row) * AGES + a,
        REGION_AT + columns.region_cell.item(row),
        RATIO_COUNT_AT + ratio * LEVELS + count,
        BESIDE_AGE_AT + min(int(_beside(columns, row, now)), OLDEST) * AGES + a,
        PASSED_AGE_AT + min(int(passed), OLDEST) * AGES + a,
    )


def predict_one(tables: QuantisedTables, columns: HistoryColumns, row: int, now: int) -> float:
    """log2 of the time to one page's next use."""
    total, steps, scale = tables.bias, tables.steps, tables.scale
    for table, cell in enumerate(cells_of_one(columns, row, now)):
        total += steps.item(cell) * scale.item(table)
    return total


def _level(value: float) -> int:
    return int(min(max(value, 0.0), LEVELS - 1.0))


def _beside(columns: HistoryColumns, row: int, now: int) -> float:
    before = columns.last.item(row - 1) if columns.has_before.item(row) else 0
    behind = columns.last.item(row + 1) if columns.has_behind.item(row) else 0
    last = max(before, behind)
    return log2(now - last + 1.0) if last > 0 else FOR_EVER
