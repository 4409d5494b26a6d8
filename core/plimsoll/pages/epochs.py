"""A trace as a node agent sees it: one accessed and one written bit per page and epoch.

In: a `PageTrace`. Out: an `EpochView`, cut into epochs of equal raw references. The same bits come from a
live sampler, epoch by epoch, as `EpochBits`; policies take nothing else.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from plimsoll.pages.trace import AccessKind, PageTrace

BoolArray = npt.NDArray[np.bool_]
IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class EpochBits:
    """One epoch, once it is over. All [n], in the order of the pages.

    `resident` is after the epoch's touches: a page that was out and was touched is back.
    """

    accessed: BoolArray
    written: BoolArray
    resident: BoolArray


@dataclass(frozen=True, slots=True)
class EpochView:
    """`page` uint32[n], ascending; `accessed` and `written` bool[epochs, n]."""

    page: npt.NDArray[np.uint32]
    accessed: BoolArray
    written: BoolArray

    def __post_init__(self) -> None:
        shape = (self.accessed.shape[0], len(self.page))
        if self.accessed.shape != shape or self.written.shape != shape:
            raise ValueError(
                f"accessed {self.accessed.shape} and written {self.written.shape} for {len(self.page)} pages"
            )

    @property
    def epochs(self) -> int:
        """How many epochs there are."""
        return len(self.accessed)

    @property
    def footprint_pages(self) -> int:
        """How many distinct pages are ever touched."""
        return len(self.page)


def cut(trace: PageTrace, epochs: int) -> EpochView:
    """The trace in `epochs` epochs of equal raw references.

    A reference at t (the sum of the gaps up to and with it) of T (the last t + 1) is in epoch
    floor(epochs t / T). Raises ValueError for a trace without references or fewer than one epoch.
    """
    if epochs < 1:
        raise ValueError(f"a trace cannot be cut into {epochs} epochs")
    if not len(trace):
        raise ValueError("the trace holds no references")
    at = np.cumsum(trace.gap, dtype=np.int64)
    epoch = epochs * at // (int(at[-1]) + 1)
    accessed = np.zeros((epochs, trace.footprint_pages), dtype=np.bool_)
    written = np.zeros_like(accessed)
    accessed[epoch, trace.rows] = True
    stores = trace.kind == AccessKind.STORE
    written[epoch[stores], trace.rows[stores]] = True
    return EpochView(trace.pages, accessed, written)
