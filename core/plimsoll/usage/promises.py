"""What was promised of each row's next hour, and how often such promises were broken.

Columnar, one entry a row. An open promise says: in the hour from `bin` on, `limit_bytes` will be exceeded
with probability `chance`. When it is closed the outcome is added to totals that fade with a time constant of
14 days, and `shift` (what the buffer adds to the logarithm of every forecast level) has moved by as much as
the outcome differed from the promise. Kept beside the history because it is memory that a restart must not
lose: it is part of a checkpoint. How far the shift moves is decided in `recommend.buffer`.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from plimsoll.usage.grown import grown
from plimsoll.usage.sample import Float64Array, IntArray

Rows = npt.NDArray[np.integer]

NO_PROMISE = -1
REMEMBERED_HOURS = 14 * 24.0  # time constant of the totals


@dataclass(frozen=True, slots=True)
class Record:
    """How promises of n rows were kept, over about the last 14 days."""

    hours: Float64Array  # [n] promises that were closed, faded
    promised: Float64Array  # [n] exceedances expected in those hours
    exceeded: Float64Array  # [n] exceedances that came
    shift: Float64Array  # [n] of the log of every level, from all that came


@dataclass(frozen=True, slots=True)
class Promises:
    """The open promises of n rows."""

    bin: IntArray  # [n] first bin of the hour, `NO_PROMISE`: none is open
    limit_bytes: Float64Array  # [n]
    chance: Float64Array  # [n] promised probability of exceeding it within the hour


class PromiseLog:
    """Open promises and records of up to `capacity` rows."""

    def __init__(self, capacity: int) -> None:
        self._bin: IntArray = np.full(capacity, NO_PROMISE, dtype=np.int64)
        self._open: Float64Array = np.zeros((capacity, 2))  # limit, chance
        self._record: Float64Array = np.zeros((capacity, 4))  # hours, promised, exceeded, shift

    def grow(self, capacity: int) -> None:
        """Room for at least `capacity` rows."""
        self._bin = grown(self._bin, capacity, NO_PROMISE)
        self._open = grown(self._open, capacity, 0.0)
        self._record = grown(self._record, capacity, 0.0)

    def reset(self, rows: Rows) -> None:
        """Forget these rows."""
        self._bin[rows] = NO_PROMISE
        self._open[rows] = 0.0
        self._record[rows] = 0.0

    def open(self, rows: Rows) -> Promises:
        """The open promises of these rows."""
        return Promises(self._bin[rows], self._open[rows, 0], self._open[rows, 1])

    def record(self, rows: Rows) -> Record:
        """How these rows' promises were kept."""
        kept = self._record[rows]
        return Record(kept[:, 0], kept[:, 1], kept[:, 2], kept[:, 3])

    def promise(self, rows: Rows, bin_: int, limit_bytes: Float64Array, chance: Float64Array) -> None:
        """Open a promise for the hour from `bin_` on; NaN opens none. What was open is dropped."""
        known = np.isfinite(limit_bytes) & np.isfinite(chance)
        self._bin[rows] = np.where(known, bin_, NO_PROMISE)
        self._open[rows, 0], self._open[rows, 1] = limit_bytes, chance

    def close(self, rows: Rows, exceeded: Float64Array, shift: Float64Array) -> None:
        """Add the outcomes (1: exceeded, 0: kept, NaN: nobody saw) of open promises; `shift` [n] replaces."""
        seen = np.isfinite(exceeded)
        closed, fade = rows[seen], np.exp(-1 / REMEMBERED_HOURS)
        came = np.stack([np.ones(len(closed)), self._open[closed, 1], exceeded[seen]], axis=1)
        self._record[closed, :3] = fade * self._record[closed, :3] + came
        self._record[closed, 3] = shift[seen]
        self._bin[rows] = NO_PROMISE

    def packed(self, row: int) -> Float64Array:
        """One row's record as [4] numbers, for a checkpoint."""
        record: Float64Array = self._record[row].copy()
        return record

    def merge(self, row: int, record: Float64Array) -> None:
        """Take a remembered record ([4]) in, unless the row has since closed promises of its own."""
        if self._record[row, 0] == 0.0 and np.isfinite(record).all():
            self._record[row] = record
