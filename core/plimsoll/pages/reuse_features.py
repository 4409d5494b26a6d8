"""What a reuse predictor knows of a page, and the table cells that this selects.

In: the page's own past (age, last three gaps, three decayed access frequencies, count, kind) and that of
its neighbourhood (32-page region, the pages beside it). Out: one cell in each of `TABLES` lookup tables. The
functions here are written once and used twice: on whole arrays by numpy (the agent, `page_history.py`), and
compiled for single pages (replays); so each stands alone and uses only what both understand.

Time is counted in references (replays) or in any other unit that is the same for all pages of one memory;
the tables start from what is seen, so the unit does not matter.
"""

from typing import Any, Final

import numpy as np

AGES: Final = 26  # buckets of an octave each: two to the 25th references is for ever
FINE_AGES: Final = 64  # of a third of an octave
LEVELS: Final = 16  # octaves of a decayed count, in eighths of an access
RATIOS: Final = 64  # quarter octaves of age over last gap, 32 where they are equal
REGION_CELLS: Final = 4096
SEQUENCES: Final = 12  # four states of the pages beside it, three kinds of access
REGION_PAGES_LOG2: Final = 5
NEVER_LEVEL: Final = -100.0

# Name and cells of each table, in order; a cell's number counts on through all of them.
TABLES: Final = (
    ("age", FINE_AGES),
    ("gap1_age", AGES * AGES),
    ("gap1_gap2", AGES * AGES),
    ("gap2_gap3", AGES * AGES),
    ("fast_age", LEVELS * AGES),
    ("middle_slow", LEVELS * LEVELS),
    ("count_age", LEVELS * AGES),
    ("region_age", AGES * AGES),
    ("region_level_age", LEVELS * AGES),
    ("sequence_age", SEQUENCES * AGES),
    ("region", REGION_CELLS),
    ("ratio_count", RATIOS * LEVELS),
    ("beside_age", AGES * AGES),
    ("passed_age", AGES * AGES),
)
FIRST_CELL: Final = tuple(sum(cells for _, cells in TABLES[:at]) for at in range(len(TABLES) + 1))
CELLS: Final = FIRST_CELL[-1]
(
    AGE_AT,
    GAP1_AGE_AT,
    GAP1_GAP2_AT,
    GAP2_GAP3_AT,
    FAST_AGE_AT,
    MIDDLE_SLOW_AT,
    COUNT_AGE_AT,
    REGION_AGE_AT,
    REGION_LEVEL_AGE_AT,
    SEQUENCE_AGE_AT,
    REGION_AT,
    RATIO_COUNT_AT,
    BESIDE_AGE_AT,
    PASSED_AGE_AT,
    _,
) = FIRST_CELL

Value = Any  # a number, or an array of them


def octaves(count: Value) -> Value:
    """log2(count + 1): ages, gaps and counts on one scale; 0 is none."""
    return np.log2(count + 1.0)


def risen(level: Value, elapsed: Value, halving: Value, accesses: Value) -> Value:
    """A decayed count, as log2 of eighths, after more accesses `elapsed` after the last."""
    return np.log2(np.exp2(level - elapsed / halving) + 8.0 * accesses)


def cells_of(  # noqa: PLR0913, PLR0917  (arrays or numbers: numba knows no columns by name)
    age: Value,  # octaves since the page's last access
    gap1: Value,  # octaves of its last gap; 0: none yet
    gap2: Value,
    gap3: Value,
    fast: Value,  # decayed counts now, log2 of eighths
    middle: Value,
    slow: Value,
    count: Value,  # octaves of accesses ever
    sequence: Value,  # 3 * (bit 0: the page before was touched just before, bit 1: the page behind) + kind
    region_age: Value,  # octaves since the region's last access
    region_level: Value,
    region_cell: Value,
    beside_age: Value,  # octaves since the last access of a page beside it
    passed: Value,  # octaves of accesses to the region since the page's own
) -> Value:
    """One cell of each table: a tuple of 14 whole numbers, or of arrays of them."""
    a = np.int32(np.minimum(age, 25.0))
    g1 = np.int32(np.minimum(gap1, 25.0))
    g2 = np.int32(np.minimum(gap2, 25.0))
    g3 = np.int32(np.minimum(gap3, 25.0))
    n = np.int32(np.minimum(count, 15.0))
    q1 = np.int32(np.minimum(np.maximum(fast + 1.0, 0.0), 15.0))
    q2 = np.int32(np.minimum(np.maximum(middle + 1.0, 0.0), 15.0))
    q3 = np.int32(np.minimum(np.maximum(slow + 1.0, 0.0), 15.0))
    ratio = np.int32(np.minimum(np.maximum(32.0 + 4.0 * (age - gap1), 1.0), 63.0) * (gap1 > 0.0))
    return (
        AGE_AT + np.int32(np.minimum(3.0 * age, 63.0)),
        GAP1_AGE_AT + g1 * AGES + a,
        GAP1_GAP2_AT + g1 * AGES + g2,
        GAP2_GAP3_AT + g2 * AGES + g3,
        FAST_AGE_AT + q1 * AGES + a,
        MIDDLE_SLOW_AT + q2 * LEVELS + q3,
        COUNT_AGE_AT + n * AGES + a,
        REGION_AGE_AT + np.int32(np.minimum(region_age, 25.0)) * AGES + a,
        REGION_LEVEL_AGE_AT + np.int32(np.minimum(np.maximum(region_level, 0.0), 15.0)) * AGES + a,
        SEQUENCE_AGE_AT + sequence * AGES + a,
        REGION_AT + region_cell,
        RATIO_COUNT_AT + ratio * LEVELS + n,
        BESIDE_AGE_AT + np.int32(np.minimum(beside_age, 25.0)) * AGES + a,
        PASSED_AGE_AT + np.int32(np.minimum(passed, 25.0)) * AGES + a,
    )
