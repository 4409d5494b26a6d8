"""Columns, tables and times on the wire.

In: float64 columns with NaN, seconds. Out: `Column` messages, milliseconds, and back. Every column of a table
has as many rows as its `container_index`; what breaks that is an error here and goes no further.
"""

from typing import Any

import numpy as np

from plimsoll.coordinate.columns import CodedColumn, FloatArray, decode_column, encode_column
from plimsoll.coordinate.messages import IntArray, MessageError, check_batch
from plimsoll_proto.v1 import column_pb2


def table(found: Any, names: tuple[str, ...]) -> tuple[IntArray, dict[str, FloatArray]]:  # noqa: ANN401
    """The rows and columns of a batch. Raises ColumnError and MessageError."""
    rows = len(found.container_index.scaled_deltas)
    indexes = column_of(found.container_index, rows)
    if np.isnan(indexes).any():
        raise MessageError("a row without container")
    columns = {name: column_of(getattr(found, name), rows) for name in names if found.HasField(name)}
    whole = indexes.astype(np.int64)
    check_batch(whole, columns)
    return whole, columns


def column(values: FloatArray) -> column_pb2.Column:
    """Put a column on the wire. Raises ColumnError."""
    coded = encode_column(values)
    return column_pb2.Column(
        shift_bits=coded.shift_bits, scaled_deltas=coded.scaled_deltas, missing_bitmap=coded.missing_bitmap
    )


def column_of(found: column_pb2.Column, rows: int) -> FloatArray:
    """Read a column of `rows` rows. Raises ColumnError."""
    return decode_column(CodedColumn(found.shift_bits, found.scaled_deltas, found.missing_bitmap), rows)


def milliseconds(lasts_seconds: float) -> int:
    """Whole milliseconds."""
    return round(lasts_seconds * 1000.0)


def seconds(lasts_milliseconds: int) -> float:
    """Seconds."""
    return lasts_milliseconds / 1000.0
