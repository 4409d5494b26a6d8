"""Maxima of many rows over a sliding window of absolute slots (bins or hours), in one array.

Slot `s` of a row lives in column `s % width`, so that moving on costs one cleared column and no copying.
Missing is NaN. Rows beyond `used` are reserved address space that was never touched, so that the
memory resident is in proportion to the rows in use and not to the capacity.
"""

import numpy as np
import numpy.typing as npt

from plimsoll.usage.sample import Float32Array, IntArray

# Rows cleared or copied at a time: bounds what one call touches beyond the data itself.
_BLOCK_ROWS = 8192


class Ring:
    """`[capacity, width]` float32 maxima; the caller keeps the newest slot and passes it in."""

    def __init__(self, capacity: int, width: int) -> None:
        self.width = width
        self._data: Float32Array = np.empty((capacity, width), dtype=np.float32)

    def grow(self, capacity: int, used: int) -> None:
        """Room for `capacity` rows; only the `used` first are copied."""
        data: Float32Array = np.empty((capacity, self.width), dtype=np.float32)
        data[:used] = self._data[:used]
        self._data = data

    def reset(self, rows: IntArray) -> None:
        """Forget everything these rows hold."""
        for start in range(0, len(rows), _BLOCK_ROWS):
            self._data[rows[start : start + _BLOCK_ROWS]] = np.nan

    def clear(self, slots: IntArray, used: int) -> None:
        """Set absolute slots of the first `used` rows to missing."""
        if len(slots) >= self.width:
            self._data[:used] = np.nan
            return
        for column in slots % self.width:
            self._data[:used, column] = np.nan

    def raise_to(self, rows: IntArray, slots: IntArray, values: Float32Array) -> None:
        """Take each value into its row's slot by maximum; rows and slots may repeat."""
        flat = self._data.reshape(-1)
        np.fmax.at(flat, rows * self.width + slots % self.width, values)

    def window(self, rows: IntArray, newest: int, length: int) -> Float32Array:
        """The `length` slots up to `newest` of these rows, oldest first: a copy `[n, length]`."""
        first = (newest - length + 1) % self.width
        out: Float32Array = np.empty((len(rows), length), dtype=np.float32)
        head = min(length, self.width - first)
        out[:, :head] = self._data[rows, first : first + head]
        out[:, head:] = self._data[rows, : length - head]
        return out

    def peak(self, slots: IntArray, used: int) -> Float32Array:
        """Maximum over some absolute slots of each of the first `used` rows; NaN where none is present."""
        columns = np.unique(slots % self.width)
        peaks: Float32Array = np.fmax.reduce(self._data[:used, columns], axis=1, initial=np.float32(np.nan))
        return peaks


def slots_between(after: int, last: int, width: int) -> npt.NDArray[np.int64]:
    """Absolute slots in (after, last], at most the `width` newest of them."""
    return np.arange(max(after + 1, last - width + 1), last + 1, dtype=np.int64)
