"""A recorded sequence of page references: what replays, benches and the recorder hand to each other.

In: three parallel arrays. Out: the same, checked once, with the figures everyone asks for (footprint,
capacity, pages numbered without holes). A page is named by an index that keeps the order of addresses;
neighbours in memory are neighbours in number, far apart regions keep a hole between them.
"""

from dataclasses import dataclass
from enum import IntEnum
from functools import cached_property

import numpy as np
import numpy.typing as npt

LEAST_CAPACITY_PAGES = 8


class AccessKind(IntEnum):
    """What a reference did."""

    INSTRUCTION = 0
    LOAD = 1
    STORE = 2


@dataclass(frozen=True)
class PageTrace:
    """`page` uint32[n], `kind` uint8[n] (`AccessKind`), `gap` uint32[n]: raw references since the last one.

    Raises ValueError where lengths or types differ, or a kind is unknown.
    """

    page: npt.NDArray[np.uint32]
    kind: npt.NDArray[np.uint8]
    gap: npt.NDArray[np.uint32]

    def __post_init__(self) -> None:
        for name, wanted in (("page", np.uint32), ("kind", np.uint8), ("gap", np.uint32)):
            array = getattr(self, name)
            if array.dtype != wanted or array.ndim != 1:
                raise ValueError(
                    f"{name} is {array.dtype} of {array.ndim} dimensions, not {wanted.__name__}[n]"
                )
            if len(array) != len(self.page):
                raise ValueError(f"{name} has {len(array)} references, page {len(self.page)}")
        if len(self.kind) and int(self.kind.max()) > AccessKind.STORE:
            raise ValueError(f"kind {int(self.kind.max())} is none of 0, 1, 2")

    def __len__(self) -> int:
        return len(self.page)

    def head(self, references: int) -> "PageTrace":
        """The first so many references."""
        return PageTrace(self.page[:references], self.kind[:references], self.gap[:references])

    @property
    def footprint_pages(self) -> int:
        """How many distinct pages there are."""
        return len(self.pages)

    @property
    def pages(self) -> npt.NDArray[np.uint32]:
        """The distinct pages, ascending."""
        return self._numbered[0]

    @property
    def rows(self) -> npt.NDArray[np.int32]:
        """int32[n]: each reference's place in `pages`."""
        return self._numbered[1]

    def capacity_pages(self, fraction: float) -> int:
        """Pages that fit in memory at a fraction of the footprint; at least eight."""
        return max(LEAST_CAPACITY_PAGES, int(np.floor(fraction * self.footprint_pages)))

    @cached_property
    def _numbered(self) -> tuple[npt.NDArray[np.uint32], npt.NDArray[np.int32]]:
        pages, rows = np.unique(self.page, return_inverse=True)
        return pages, rows.astype(np.int32)
