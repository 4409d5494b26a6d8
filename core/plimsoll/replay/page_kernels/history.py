"""`plimsoll.pages.page_history`, one page at a time: the same columns, the same definitions, compiled."""

from plimsoll.pages.page_history import BESIDE, FAST, FOR_EVER, MIDDLE, SLOW, HistoryColumns
from plimsoll.pages.reuse_features import cells_of as cells_of_values
from plimsoll.pages.reuse_features import octaves as octaves_of
from plimsoll.pages.reuse_features import risen as risen_by
from plimsoll.replay.page_kernels.compiled import compiled

octaves = compiled(octaves_of)
risen = compiled(risen_by)
cells_of = compiled(cells_of_values)


@compiled
def touch(columns: HistoryColumns, page: int, kind: int, now: int) -> None:
    """Take in one access."""
    elapsed = now - columns.last[page]
    if columns.accesses[page] > 0:
        columns.gap3[page] = columns.gap2[page]
        columns.gap2[page] = columns.gap1[page]
        columns.gap1[page] = octaves(elapsed)
    columns.fast[page] = risen(columns.fast[page], elapsed, columns.times[FAST], 1.0)
    columns.middle[page] = risen(columns.middle[page], elapsed, columns.times[MIDDLE], 1.0)
    columns.slow[page] = risen(columns.slow[page], elapsed, columns.times[SLOW], 1.0)
    columns.accesses[page] += 1
    columns.last[page] = now
    recently = now - columns.times[BESIDE]
    before, behind = _last_before(columns, page), _last_behind(columns, page)
    swept = (before > 0 and before >= recently) + 2 * (behind > 0 and behind >= recently)
    columns.sequence[page] = 3 * swept + kind
    region = columns.region[page]
    region_elapsed = now - columns.region_last[region]
    columns.region_level[region] = risen(
        columns.region_level[region], region_elapsed, columns.times[MIDDLE], 1.0
    )
    columns.region_last[region] = now
    columns.region_count[region] += 1
    columns.passed[page] = columns.region_count[region]


@compiled
def cells(columns: HistoryColumns, page: int, now: int):  # type: ignore[no-untyped-def]  # noqa: ANN201
    """The cells that a page seen before selects now: a tuple of one whole number a table."""
    elapsed, region = now - columns.last[page], columns.region[page]
    region_elapsed = now - columns.region_last[region]
    beside = max(_last_before(columns, page), _last_behind(columns, page))
    return cells_of(
        octaves(elapsed),
        columns.gap1[page],
        columns.gap2[page],
        columns.gap3[page],
        columns.fast[page] - elapsed / columns.times[FAST],
        columns.middle[page] - elapsed / columns.times[MIDDLE],
        columns.slow[page] - elapsed / columns.times[SLOW],
        octaves(columns.accesses[page]),
        columns.sequence[page],
        octaves(region_elapsed),
        columns.region_level[region] - region_elapsed / columns.times[MIDDLE],
        columns.region_cell[page],
        octaves(now - beside) if beside > 0 else FOR_EVER,
        octaves(columns.region_count[region] - columns.passed[page]),
    )


@compiled
def _last_before(columns: HistoryColumns, page: int) -> int:
    return int(columns.last[page - 1]) if columns.has_before[page] else 0


@compiled
def _last_behind(columns: HistoryColumns, page: int) -> int:
    return int(columns.last[page + 1]) if columns.has_behind[page] else 0
