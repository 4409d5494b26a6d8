"""Columns, tables and times on the wire.

In: float64 columns with NaN, seconds. Out: `Column` messages, milliseconds, and back. Every column of a table
has as many rows as its `container_index`; what breaks that is an error here and goes no further.
"""

from typing import Any

import numpy as np

from plimsoll.coordinate.columns import CodedColumn, FloatArray, decode_table, encode_column
from plimsoll.coordinate.messages import IntArray, MessageError, check_batch
from plimsoll_proto.v1 import column_pb2


def table(found: Any, names: tuple[str, ...]) -> tuple[IntArray, dict[str, FloatArray]]:  # noqa: ANN401
    """The rows and columns of a batch. Raises ColumnError and MessageError."""
    rows = len(found.container_index.scaled_deltas)
    said = [name for name in names if found.HasField(name)]
    values = decode_table([_coded(getattr(found, name)) for name in ("container_index", *said)], rows)
    if np.isnan(values[0]).any():
        raise MessageError("a row without container")
    indexes = values[0].astype(np.int64)
    check_batch(indexes, said, values[1:])
    return indexes, dict(zip(said, values[1:], strict=True))


def column(values: FloatArray) -> column_pb2.Column:
    """Put a column on the wire. Raises ColumnError."""
    coded = encode_column(values)
    return column_pb2.Column(
        shift_bits=coded.shift_bits, scaled_deltas=coded.scaled_deltas, missing_bitmap=coded.missing_bitmap
    )


def _coded(found: column_pb2.Column) -> CodedColumn:
    return CodedColumn(found.shift_bits, found.scaled_deltas, found.missing_bitmap)


def milliseconds(lasts_seconds: float) -> int:
    """Whole milliseconds."""
    return round(lasts_seconds * 1000.0)


def seconds(lasts_milliseconds: int) -> float:
    """Seconds."""
    return lasts_milliseconds / 1000.0
