"""From one set of pages to the next, for a process grows and shrinks while its predictors run.

In: the numbers of the pages before and after, both ascending. Out: a `Move`, which carries a column over: a
page that both sets have keeps its value, one that came has a fresh one, one that went is forgotten.
"""

from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import numpy.typing as npt

Kind = TypeVar("Kind", bound=np.generic)
Rows = npt.NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class Move:
    """Rows [k] of the pages that both sets have, before and after; `pages` there are after."""

    before: Rows
    after: Rows
    pages: int

    @classmethod
    def between(cls, before: npt.NDArray[np.integer], after: npt.NDArray[np.integer]) -> "Move":
        """From page numbers [n] to page numbers [m], each ascending and without repeats."""
        _, old, new = np.intersect1d(before, after, assume_unique=True, return_indices=True)
        return cls(old, new, len(after))

    def carry(self, column: npt.NDArray[Kind], fresh: object) -> npt.NDArray[Kind]:
        """The column [n] as a column [m]."""
        carried = np.full(self.pages, fresh, column.dtype)
        carried[self.after] = column[self.before]
        return carried

    def row_after(self, rows_before: int) -> Rows:
        """[n] each row's place after; -1: it went."""
        place = np.full(rows_before, -1, np.intp)
        place[self.before] = self.after
        return place
