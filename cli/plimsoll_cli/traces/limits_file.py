"""Limits files of the replay contract: replays out to Parquet, columns back in.

Columns: `series_id` string, `bin` int32, `limit_bytes` float64, `reason` string (null where none is needed).
"""

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from plimsoll.replay.columns import LimitColumns, to_columns
from plimsoll.replay.limits import LimitReplay
from plimsoll_cli.traces.parquet import TraceError
from plimsoll_cli.written import write_whole

SCHEMA = pa.schema(
    [("series_id", pa.string()), ("bin", pa.int32()), ("limit_bytes", pa.float64()), ("reason", pa.string())]
)


def write_limits(path: Path, replays: Sequence[LimitReplay]) -> None:
    """Write all limits of these replays, in order of series and bin."""
    table = pa.concat_tables([SCHEMA.empty_table(), *(_table(to_columns(replay)) for replay in replays)])
    file = io.BytesIO()
    pq.write_table(table.combine_chunks(), file, compression="zstd")
    write_whole(path, file.getvalue())


def read_limits(path: Path) -> LimitColumns:
    """The rows of a limits file, checked for the columns' presence and types only."""
    if not path.exists():
        raise TraceError(f"{path}: no such file or directory")
    try:
        table = pq.read_table(path)
    except (pa.ArrowException, OSError) as error:
        raise TraceError(f"{path}: not a readable Parquet file: {error}") from error
    for name in ("series_id", "bin", "limit_bytes"):
        if name not in table.column_names:
            raise TraceError(f"{path}: column {name!r} is missing")
        if (times := table.column_names.count(name)) > 1:
            raise TraceError(f"{path}: column {name!r} is there {times} times")
        if table[name].null_count:
            raise TraceError(f"{path}: column {name!r} has {table[name].null_count} empty values")
    if not pa.types.is_integer(table["bin"].type):
        raise TraceError(f"{path}: column 'bin' holds {table['bin'].type}, not whole numbers")
    if not pa.types.is_floating(table["limit_bytes"].type):
        raise TraceError(f"{path}: column 'limit_bytes' holds {table['limit_bytes'].type}, not numbers")
    series_ids, series = _codes(path, table, "series_id")
    reasons, reason = _codes(path, table, "reason") if "reason" in table.column_names else ([], None)
    none = np.full(table.num_rows, -1)
    return LimitColumns(
        series_ids,
        series.astype(np.int32),
        table["bin"].to_numpy().astype(np.int32),
        table["limit_bytes"].cast(pa.float64()).to_numpy(),
        reasons,
        (none if reason is None else reason).astype(np.int16),
    )


def _table(columns: LimitColumns) -> pa.Table:
    ids = pa.DictionaryArray.from_arrays(pa.array(columns.series), pa.array(columns.series_ids, pa.string()))
    reason = pa.array(columns.reason, mask=columns.reason < 0)
    reasons = pa.DictionaryArray.from_arrays(reason, pa.array(columns.reasons, pa.string()))
    return pa.table(
        [ids.cast(pa.string()), columns.bin, columns.limit_bytes, reasons.cast(pa.string())], schema=SCHEMA
    )


def _codes(path: Path, table: pa.Table, name: str) -> tuple[list[str], np.ndarray]:
    """The distinct strings of a column and each row's index into them; -1 where it is null."""
    column = table[name]
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    if not (
        pa.types.is_string(column.type)
        or pa.types.is_large_string(column.type)
        or pa.types.is_null(column.type)
    ):
        raise TraceError(f"{path}: column {name!r} holds {column.type}, not strings")
    encoded = pc.dictionary_encode(column.cast(pa.string())).combine_chunks()
    return encoded.dictionary.to_pylist(), encoded.indices.fill_null(-1).to_numpy(zero_copy_only=False)
