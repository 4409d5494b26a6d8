"""Order statistics of rows with gaps: a rank in, the value of that rank out.

Every row is sorted once, NaN last; what was not seen has no rank. Which rank a quantile is differs by who
asks (nearest, rounded up, conformal), so callers say the rank; that it stays among what was seen is seen to
here.
"""

from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np
import numpy.typing as npt

Real = TypeVar("Real", np.float32, np.float64)


@dataclass(frozen=True, slots=True)
class Ordered(Generic[Real]):
    """Rows of values in order."""

    values: npt.NDArray[Real]  # [n, t] rising, NaN last
    count: npt.NDArray[np.intp]  # [n] how many are none

    def nth(self, rank: npt.NDArray[np.number]) -> npt.NDArray[Real]:
        """Values at ranks [n] or [n, q] from 0 on, rounded, held within what was seen; NaN: nothing was."""
        ranks = rank if rank.ndim > 1 else rank[:, None]
        if self.values.shape[1] == 0:
            return np.full(rank.shape, np.nan, dtype=self.values.dtype)
        last = np.maximum(self.count - 1, 0)[:, None]
        place = np.clip(np.round(ranks), 0, last).astype(np.int64)
        return self.values[np.arange(len(place))[:, None], place].reshape(rank.shape)

    def nearest(self, share: float) -> npt.NDArray[Real]:
        """The value [n] nearest to `share` of the way from the least to the largest."""
        return self.nth(share * (self.count - 1))


def ordered(values: npt.NDArray[Real]) -> Ordered[Real]:
    """The rows of [n, t] in order."""
    return Ordered(np.sort(values, axis=1), np.add.reduce(np.isfinite(values), axis=1, dtype=np.intp))
