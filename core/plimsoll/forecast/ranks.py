"""Inputs as ranks among training inputs: nothing a network is shown lies outside of what it has seen.

In: values by column, and for each column the training values at evenly spaced ranks (knots). Out: ranks from
-1 to 1, straight lines between knots, 0 for a column that had one value only. All columns are looked up
together: a container that is asked for alone must not pay a hundred calls.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from plimsoll.forecast.window import Float32Array, FloatArray, chunks

MOST_KNOTS = 255
ROWS_TOGETHER = 64  # so many rows' comparisons stay in the cache


@dataclass(frozen=True, slots=True)
class Ranks:
    """The knots of f columns, padded to as many as the longest has."""

    knots: Float32Array  # [k, f] rising, infinite where a column has no more
    last: npt.NDArray[np.intp]  # [f] the last place from which a line begins
    step: Float32Array  # [f] ranks from knot to knot
    least: Float32Array  # [f] rank of the first knot

    def of(self, values: Float32Array) -> Float32Array:
        """The ranks of [n, f]."""
        out = np.empty(values.shape, dtype=np.float32)
        for part in chunks(len(values), ROWS_TOGETHER):
            out[part] = self._of(values[part])
        return out

    def _of(self, values: Float32Array) -> Float32Array:
        reached = values[:, None, :] >= self.knots
        count = np.add.reduce(reached.view(np.uint8), axis=1, dtype=np.uint8)
        place = np.minimum(np.maximum(count, 1) - 1, self.last)
        width = values.shape[1]
        at = place * width + np.arange(width)
        low, high = self.knots.take(at), self.knots.take(at + width)
        part = np.minimum(np.maximum((values - low) / (high - low), 0), 1)
        return np.asarray((place.astype(np.float32) + part) * self.step + self.least)


def ranks_among(knots: Sequence[FloatArray]) -> Ranks:
    """Ranks for columns with these knots (f x [k], each rising); `ValueError` where there are too many."""
    longest = max((len(at) for at in knots), default=0)
    if longest > MOST_KNOTS:
        raise ValueError(f"{longest} knots; there may be {MOST_KNOTS}")
    at = np.full((max(longest, 2), len(knots)), np.inf, dtype=np.float32)
    at[:2] = np.array([[0.0], [1.0]])
    for column, values in enumerate(knots):
        if len(values) > 1:
            at[: len(values), column] = values
    count = np.array([len(values) for values in knots], dtype=np.intp)
    told = count > 1
    step = np.where(told, 2.0 / np.maximum(count - 1, 1), 0.0).astype(np.float32)
    return Ranks(at, np.maximum(count - 2, 0), step, np.where(told, -1.0, 0.0).astype(np.float32))
