"""Reads recorded usage: Parquet files in, one batch of binned series a file out.

Columns: `series_id` (string), `timestamp` (int64, seconds), `memory_bytes` (float) and, where the source
has it, `memory_max_bytes`. Other columns are left alone. Every error names the file and the column.
"""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import typer

from plimsoll.replay.series import SampleColumns, SeriesBatch, bin_samples
from plimsoll.usage.sample import MAX_PLAUSIBLE_BYTES
from plimsoll_cli.failure import FileError
from plimsoll_cli.traces.sample import sample_directory

REQUIRED = ("series_id", "timestamp", "memory_bytes")
OPTIONAL = ("memory_max_bytes",)
SAMPLE = Path("sample")
# A source recorded for less than this is replayed with the short warm-up.
SHORT_SOURCE_BINS = 2 * 288
WARMUP_BINS = 288
LATEST_SECONDS = 4_102_444_800  # 2100: what is later is a finer unit than seconds
LONGEST_SECONDS = 20 * 366 * 86_400
SHORT_WARMUP_BINS = 36
# No container of a file's largest use fits in this: such values are KiB or MiB, or shares of something.
LEAST_LARGEST_BYTES = 2**20


class TraceError(FileError):
    """A trace that cannot be read as the contract says; the message names file and column."""


def read_traces(paths: Sequence[Path]) -> list[SeriesBatch]:
    """One batch for every file; a directory stands for all `*.parquet` in it, in order of name."""
    batches = [read_trace(path) for path in trace_files(paths)]
    seen: dict[str, str] = {}
    for batch in batches:
        for series_id in batch.series_ids:
            if series_id in seen:
                raise TraceError(f"series {series_id!r} is in both {seen[series_id]} and {batch.source}")
            seen[series_id] = batch.source
    return batches


def trace_files(paths: Iterable[Path]) -> list[Path]:
    """The files that `paths` name. `sample`, where nothing is called so, is the sample that ships."""
    files: list[Path] = []
    for named in paths:
        path = sample_directory() if named == SAMPLE and not named.exists() else named
        if not path.exists():
            raise TraceError(f"{path}: no such file or directory")
        found = sorted(path.glob("*.parquet")) if path.is_dir() else [path]
        if not found:
            raise TraceError(f"{path}: no *.parquet file in this directory")
        for file in found:
            if any(file.samefile(each) for each in files):
                raise TraceError(f"{file}: is named twice")
            files.append(file)
    return files


def read_trace(path: Path) -> SeriesBatch:
    """All series of one file, in order of their first row."""
    table = _read_columns(path)
    ids = _strings(path, table["series_id"])
    seconds = _integers(path, table["timestamp"], "timestamp")
    memory = _floats(path, table["memory_bytes"], "memory_bytes")
    maximum = None
    if "memory_max_bytes" in table.column_names:
        maximum = _floats(path, table["memory_max_bytes"], "memory_max_bytes")
    notes = [*_notes(memory if maximum is None else np.where(np.isnan(maximum), memory, maximum))]
    for note in (*notes, *([] if maximum is None else _notes_of_maxima(memory, maximum))):
        typer.echo(f"Note: {path}: {note}", err=True)
    return bin_samples(
        path.stem,
        SampleColumns(
            ids.dictionary.to_pylist(), ids.indices.to_numpy().astype(np.int64), seconds, memory, maximum
        ),
    )


def source_warmup_bins(batch: SeriesBatch) -> int:
    """24 h; 3 h for a source recorded for less than two days."""
    return WARMUP_BINS if batch.bins >= SHORT_SOURCE_BINS else SHORT_WARMUP_BINS


def _notes(value: npt.NDArray[np.float64]) -> Iterator[str]:
    """What looks odd about samples [m]: values that are no usage, and a unit that is not bytes."""
    usage = value[np.isfinite(value) & (value >= 0)]
    wrong = int(np.count_nonzero((value < 0) | np.isinf(value)))  # a NaN is a value that is missing
    if value.size and not usage.size:
        yield f"{value.size} of {value.size} values are negative or not finite"
    elif wrong:
        yield f"{wrong} of {value.size} values are negative or infinite, and count as missing"
    if usage.size and 0 < usage.max() < LEAST_LARGEST_BYTES:
        yield f"the largest value of memory is {usage.max():g} bytes: was it written in another unit?"
    if large := int(np.count_nonzero(usage > MAX_PLAUSIBLE_BYTES)):
        yield f"{large} of {value.size} values are above 64Ti, which no container has: no forecast has them"


def _notes_of_maxima(memory: npt.NDArray[np.float64], maximum: npt.NDArray[np.float64]) -> Iterator[str]:
    """Say where maxima [m] are below what they are the maxima of."""
    if below := int(np.count_nonzero(maximum < memory)):
        text = "memory_max_bytes is below memory_bytes, which cannot be; memory_max_bytes counts"
        yield f"in {below} of {memory.size} samples {text}"


def _read_columns(path: Path) -> pa.Table:
    try:
        names = pq.read_schema(path).names
        missing = [name for name in REQUIRED if name not in names]
        if missing:
            raise TraceError(f"{path}: column {missing[0]!r} is missing (there are: {', '.join(names)})")
        twice = [name for name in (*REQUIRED, *OPTIONAL) if names.count(name) > 1]
        if twice:
            raise TraceError(f"{path}: column {twice[0]!r} is there {names.count(twice[0])} times")
        return pq.read_table(path, columns=[*REQUIRED, *(name for name in OPTIONAL if name in names)])
    except (pa.ArrowException, OSError) as error:
        raise TraceError(f"{path}: not a readable Parquet file: {error}") from error


def _strings(path: Path, column: pa.ChunkedArray) -> pa.DictionaryArray:
    if column.null_count:
        raise TraceError(f"{path}: column 'series_id' has {column.null_count} empty values")
    kind = column.type.value_type if pa.types.is_dictionary(column.type) else column.type
    if not (pa.types.is_string(kind) or pa.types.is_large_string(kind)):
        raise TraceError(f"{path}: column 'series_id' holds {column.type}, not strings")
    return pc.dictionary_encode(column.cast(pa.string())).combine_chunks()


def _integers(path: Path, column: pa.ChunkedArray, name: str) -> npt.NDArray[np.int64]:
    if not pa.types.is_integer(column.type):
        raise TraceError(f"{path}: column {name!r} holds {column.type}, not whole seconds")
    if column.null_count:
        raise TraceError(f"{path}: column {name!r} has {column.null_count} empty values")
    first, last = pc.min_max(column).as_py().values() if len(column) else (0, 0)
    # Before the cast: the last of 64 bits without a sign would be turned into -1 by it.
    if last > LATEST_SECONDS or last - first > LONGEST_SECONDS:
        raise TraceError(
            f"{path}: column {name!r} goes from {first} to {last}: as seconds that is no recording; "
            "are these milliseconds, or finer?"
        )
    seconds: npt.NDArray[np.int64] = column.to_numpy().astype(np.int64)
    return seconds


def _floats(path: Path, column: pa.ChunkedArray, name: str) -> npt.NDArray[np.float64]:
    kind: Any = column.type
    if not (pa.types.is_floating(kind) or pa.types.is_integer(kind) or pa.types.is_null(kind)):
        raise TraceError(f"{path}: column {name!r} holds {kind}, not numbers")
    values: npt.NDArray[np.float64] = column.cast(pa.float64()).to_numpy(zero_copy_only=False)
    return values
