"""Reads recorded page references (`.pgt`).

A file is the magic `PGT1`, the header's length (uint32, little endian), a JSON header `{"n": references,
"lens": [bytes of each part]}` and three zstd parts: the page index as differences (int32, first from 0),
the kind (uint8), the gap in raw references (uint32). The two wide ones have their bytes shuffled: all lowest
bytes first. Every error names the file.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from plimsoll.pages.trace import PageTrace
from plimsoll_cli.traces.parquet import TraceError

MAGIC = b"PGT1"
PREFIX_BYTES = 8  # magic and the header's length
PART_BYTES = (4, 1, 4)  # of one reference: page difference, kind, gap
PART_NAMES = ("page", "kind", "gap")
MOST_HEADER_BYTES = 1 << 20
MOST_REFERENCES = 1 << 31


def read_pages(path: Path) -> PageTrace:
    """The trace in one file. Raises TraceError, naming the file, for whatever is wrong with it."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise TraceError(f"{path}: cannot be read: {error.strerror or error}") from error
    references, lengths, begin = _header(path, data)
    parts = []
    for name, width, length in zip(PART_NAMES, PART_BYTES, lengths, strict=True):
        parts.append(_part(path, name, data[begin : begin + length], width * references))
        begin += length
    steps = _unshuffled(parts[0], references).view(np.int32)
    page = np.cumsum(steps, dtype=np.int64)
    if references and not 0 <= page.min() <= page.max() < 1 << 32:
        raise TraceError(f"{path}: page indices from {page.min()} to {page.max()} do not fit 32 bits")
    kind = np.frombuffer(parts[1], np.uint8)
    try:
        return PageTrace(page.astype(np.uint32), kind, _unshuffled(parts[2], references))
    except ValueError as error:
        raise TraceError(f"{path}: {error}") from error


def _header(path: Path, data: bytes) -> tuple[int, list[int], int]:
    """References, lengths of the parts, where the first part begins."""
    if not data.startswith(MAGIC):
        raise TraceError(f"{path}: not a .pgt file: it begins with {data[:4]!r}, not {MAGIC!r}")
    size = int.from_bytes(data[4:PREFIX_BYTES], "little")
    begin = PREFIX_BYTES + size
    if size > MOST_HEADER_BYTES or len(data) < begin:
        raise TraceError(f"{path}: cut off within its header ({len(data)} bytes, the header needs {begin})")
    try:
        header: Any = json.loads(data[PREFIX_BYTES:begin])
        references, lengths = header["n"], header["lens"]
    except (ValueError, KeyError, TypeError) as error:
        raise TraceError(f"{path}: its header is not JSON with `n` and `lens`") from error
    if not (_counts([references]) and isinstance(lengths, list) and _counts(lengths) and len(lengths) == 3):
        raise TraceError(f"{path}: its header does not hold a count `n` and three lengths `lens`")
    if references > MOST_REFERENCES:
        raise TraceError(
            f"{path}: {references} references are more than the {MOST_REFERENCES} a trace may have"
        )
    if len(data) != begin + sum(lengths):
        raise TraceError(
            f"{path}: has {len(data)} bytes, its header tells of {begin + sum(lengths)}: cut off?"
        )
    return references, lengths, begin


def _counts(values: list[Any]) -> bool:
    return all(isinstance(value, int) and not isinstance(value, bool) and value >= 0 for value in values)


def _part(path: Path, name: str, packed: bytes, size: int) -> bytes:
    """One part unpacked: exactly `size` bytes."""
    try:
        # The stream tells where it ends; the codec alone would need, and trust, a size given beforehand.
        with pa.CompressedInputStream(pa.BufferReader(packed), "zstd") as stream:
            data: bytes = stream.read(size + 1)
    except (pa.ArrowException, OSError) as error:
        raise TraceError(f"{path}: part `{name}` does not unpack: {error}") from error
    if len(data) != size:
        more = "more than " if len(data) > size else ""
        raise TraceError(f"{path}: part `{name}` holds {more}{min(len(data), size)} bytes, {size} are due")
    return data


def _unshuffled(data: bytes, references: int) -> npt.NDArray[np.uint32]:
    lanes = np.frombuffer(data, np.uint8).reshape(4, references)
    return np.ascontiguousarray(lanes.T).reshape(-1).view("<u4").astype(np.uint32, copy=False)
