"""Columns of whole numbers, small on the wire and safe to read.

In: float64[n], NaN where nothing is known. Out: a `CodedColumn` and back, exactly. Common trailing zero bits
are cut first, so that bytes of whole pages cost as little as pages; then differences between rows, which
protobuf's zigzag varints keep short. Whatever does not fit its own batch is a `ColumnError`, never a guess:
these bytes come from another machine.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
MOST_ROWS = 4096  # containers in one batch; an agent follows 2,000
MOST_SHIFT_BITS = 40
LARGEST = 2**52  # 4 PiB: float64 holds such numbers, and the difference of two of them, exactly


class ColumnError(ValueError):
    """A column that no honest sender makes, or a value that no column can hold."""


@dataclass(frozen=True, slots=True)
class CodedColumn:
    """A column as it travels. No deltas: every row is missing. Empty bitmap: none is."""

    shift_bits: int
    scaled_deltas: Sequence[int]
    missing_bitmap: bytes


NOTHING = CodedColumn(0, (), b"")


def encode_column(values: FloatArray) -> CodedColumn:
    """Code float64[n] (rounded to whole numbers; NaN and infinities are missing). Raises ColumnError."""
    missing = ~np.isfinite(values)
    if len(values) > MOST_ROWS:
        raise ColumnError(f"{len(values)} rows; a batch holds {MOST_ROWS}")
    if missing.all():
        return NOTHING
    whole = np.rint(np.where(missing, 0.0, values))
    if float(np.abs(whole).max()) > LARGEST:
        raise ColumnError(f"{np.abs(whole).max():.0f} is more than a column holds")
    filled = _filled(whole.astype(np.int64), missing)
    shift = _shift(filled)
    deltas = np.diff(filled >> shift, prepend=np.int64(0))
    bitmap = np.packbits(missing, bitorder="little").tobytes() if missing.any() else b""
    return CodedColumn(shift, deltas.tolist(), bitmap)


def decode_table(coded: Sequence[CodedColumn], rows: int) -> FloatArray:
    """Read columns of `rows` rows each: float64[columns, rows], NaN where missing. Raises ColumnError.

    All at once, for an operator reads thousands of small tables a second.
    """
    if not 0 <= rows <= MOST_ROWS:
        raise ColumnError(f"{rows} rows; a batch holds {MOST_ROWS}")
    values = np.full((len(coded), rows), np.nan)
    said = [place for place, each in enumerate(coded) if _says(each, rows)]
    if not said:
        return values
    # In float64, where a sum too large is seen and not wrapped; each step of an honest column is exact.
    scaled = np.cumsum(
        np.array([list(coded[place].scaled_deltas) for place in said], dtype=np.float64), axis=1
    )
    shifts = np.array([coded[place].shift_bits for place in said])
    found = np.ldexp(scaled, shifts[:, np.newaxis])
    if not float(np.abs(found).max()) <= LARGEST:
        raise ColumnError("a value beyond what a column holds")
    values[said] = found
    for place in said:
        if coded[place].missing_bitmap:
            values[place, _missing(coded[place].missing_bitmap, rows)] = np.nan
    return values


def _says(coded: CodedColumn, rows: int) -> bool:
    """False for a column in which everything is missing. Raises ColumnError for one that does not fit."""
    if not len(coded.scaled_deltas):
        return False
    if len(coded.scaled_deltas) != rows:
        raise ColumnError(f"a column of {len(coded.scaled_deltas)} rows in a batch of {rows}")
    if not 0 <= coded.shift_bits <= MOST_SHIFT_BITS:
        raise ColumnError(f"a shift of {coded.shift_bits} bits")
    return True


def _filled(values: NDArray[np.int64], missing: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Missing rows repeat the row before them, so that they cost one byte; before the first: 0."""
    last = np.maximum.accumulate(np.where(missing, -1, np.arange(len(values))))
    return np.where(last >= 0, values[last], 0)


def _shift(values: NDArray[np.int64]) -> int:
    together = int(np.bitwise_or.reduce(values))
    return min((together & -together).bit_length() - 1, MOST_SHIFT_BITS) if together else 0


def _missing(bitmap: bytes, rows: int) -> NDArray[np.bool_]:
    if len(bitmap) != (rows + 7) // 8:
        raise ColumnError(f"a bitmap of {len(bitmap)} bytes for {rows} rows")
    bits = np.unpackbits(np.frombuffer(bitmap, dtype=np.uint8), bitorder="little")
    return bits[:rows].astype(np.bool_)
