"""Columns that are indexed by row numbers and become longer as higher numbers come.

In: a column and a row number it must have. Out: the column itself, or a longer one with a value that says
nothing in its new rows. It doubles at least, so that rows that come one by one cost no copy each.
"""

from typing import TypeVar

import numpy as np
import numpy.typing as npt

Kind = TypeVar("Kind", bound=np.generic)


def grown(column: npt.NDArray[Kind], rows: int, fill: float) -> npt.NDArray[Kind]:
    """`column` [n, ...] with at least `rows` rows; those that are new hold `fill`."""
    missing = rows - len(column)
    if missing <= 0:
        return column
    extra = np.full((max(missing, len(column)), *column.shape[1:]), fill, dtype=column.dtype)
    return np.concatenate([column, extra])


def rows_up_to(rows: npt.NDArray[np.integer]) -> int:
    """How many rows a column must have to be indexed by `rows` [n]."""
    return int(np.max(rows, initial=-1)) + 1
