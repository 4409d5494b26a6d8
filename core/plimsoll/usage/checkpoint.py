"""One row of a history as at most 8 KiB of bytes, for a MemoryProfile's status, and back.

Maxima are quantised upwards on a logarithmic grid of 0.1 % (so a restored peak is never below the one that
was stored, and storing it again changes nothing), delta-coded, compressed and checksummed. Bytes that are
corrupt, from another quantity or from a newer version raise `CheckpointError` with a sentence. A row of which
no model has learned anything is written as before models were in it, so that an older program reads it too.
"""

import json
import math
import struct
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache

import numpy as np

from plimsoll.usage.events import KEPT_EVENTS
from plimsoll.usage.sample import MAX_PLAUSIBLE_BYTES, Float32Array, Float64Array, Quantity, round_up_float32

MAX_CHECKPOINT_BYTES = 8192
VERSION = 4  # 1 had no record of promises, 2 none of images, 3 nothing that models have learned
MOST_LEARNED_BYTES = 1024  # of a row, by all models
GRID_RATIO = 1.001  # each stored value may be read back this much higher
GRID_START_BYTES = 1024.0  # smaller values, except zero, are read back as this

_MAGIC = b"PLMH"
_HEADER = struct.Struct("<4sHBxI")  # magic, version, quantity, crc32 of all that follows
_FIXED = struct.Struct("<qHHqqdd")  # current bin, bins, hours, oom count, restart count, first, last seen
_PROMISES = struct.Struct("<4d")  # hours, promised, exceeded, shift
_IMAGE = struct.Struct("<2d")  # code, since when
_LEARNED = struct.Struct("<H")  # bytes of JSON that follow
_QUANTITIES = (Quantity.USAGE, Quantity.WORKING_SET)
_MAX_BODY_BYTES = 65536  # a checkpoint that unpacks to more was not written by us
_LAST_BIN = 2**31  # some 20,000 years after 1970
_MISSING = 0


Learned = Mapping[str, Mapping[str, float]]  # model -> what it goes by -> a number of its own


class CheckpointError(ValueError):
    """These bytes cannot be restored; the message says why."""


@dataclass(frozen=True, slots=True)
class RowState:
    """Everything one row knows. Windows are oldest first and end at `current_bin` and its hour."""

    quantity: Quantity
    current_bin: int
    five_minute_bytes: Float32Array  # [bins]
    hourly_bytes: Float32Array  # [hours]
    ooms: Float64Array  # [3, 8] seconds, limit, usage
    oom_count: int
    restarts: Float64Array  # [3, 8]
    restart_count: int
    first_seen_seconds: float
    last_seen_seconds: float
    promises: Float64Array  # [4] hours, promised, exceeded, shift
    image: Float64Array  # [2] code (0: not known), seconds since when (NaN: no change is known of)
    learned: Learned = field(default_factory=dict)  # what models have learned that is not in the windows


def encode(state: RowState) -> bytes:
    """A row's state as bytes."""
    fixed = _FIXED.pack(
        state.current_bin,
        len(state.five_minute_bytes),
        len(state.hourly_bytes),
        state.oom_count,
        state.restart_count,
        state.first_seen_seconds,
        state.last_seen_seconds,
    )
    codes = _quantise(np.concatenate([state.five_minute_bytes, state.hourly_bytes]))
    steps = np.diff(codes, prepend=np.uint16(0))  # wraps around: exact in uint16
    planes = (steps & 0xFF).astype(np.uint8).tobytes() + (steps >> 8).astype(np.uint8).tobytes()
    events = np.stack([state.ooms, state.restarts]).astype("<f8").tobytes()
    records = _PROMISES.pack(*state.promises.tolist()) + _IMAGE.pack(*state.image.tolist())
    learned = _learned_bytes(state.learned)
    body = zlib.compress(fixed + events + records + learned + planes, level=6)
    quantity = _QUANTITIES.index(state.quantity)
    version = VERSION if learned else VERSION - 1
    crc = zlib.crc32(body, zlib.crc32(struct.pack("<HB", version, quantity)))
    return _HEADER.pack(_MAGIC, version, quantity, crc) + body


def decode(data: bytes, expected: Quantity) -> RowState:
    """Bytes back into a row's state; raises `CheckpointError`."""
    version, quantity, body = _open(data)
    if quantity is not expected:
        raise CheckpointError(f"checkpoint holds {quantity.value}, this history holds {expected.value}")
    events_size = 2 * 3 * KEPT_EVENTS * 8
    promises_end = _FIXED.size + events_size + (_PROMISES.size if version > 1 else 0)
    planes_start = promises_end + (_IMAGE.size if version > 2 else 0)
    if len(body) < planes_start + (_LEARNED.size if version > 3 else 0):
        raise CheckpointError(f"checkpoint body has {len(body)} bytes, too few for its header")
    learned, planes_start = _learned(body, planes_start) if version > 3 else ({}, planes_start)
    current_bin, bins, hours, oom_count, restart_count, first, last = _FIXED.unpack_from(body)
    if not 0 <= current_bin <= _LAST_BIN:
        raise CheckpointError(f"checkpoint's current bin {current_bin} is no time")
    planes = body[planes_start:]
    if len(planes) != 2 * (bins + hours):
        raise CheckpointError(f"checkpoint names {bins} bins and {hours} hours but holds {len(planes)} bytes")
    low, high = np.frombuffer(planes, dtype=np.uint8).reshape(2, -1).astype(np.uint16)
    codes = np.cumsum(low | (high << 8), dtype=np.uint16)
    values = _dequantise(codes)
    events = np.frombuffer(body, dtype="<f8", count=events_size // 8, offset=_FIXED.size)
    ooms, restarts = events.astype(np.float64).reshape(2, 3, KEPT_EVENTS)
    record = _PROMISES.unpack_from(body, _FIXED.size + events_size) if version > 1 else (0.0,) * 4
    image = _IMAGE.unpack_from(body, promises_end) if version > 2 else (0.0, np.nan)
    return RowState(
        quantity,
        current_bin,
        values[:bins],
        values[bins:],
        ooms,
        oom_count,
        restarts,
        restart_count,
        first,
        last,
        np.array(record),
        np.array(image),
        learned,
    )


def _learned_bytes(learned: Learned) -> bytes:
    """What models have learned, with its length; nothing at all where that is nothing or too much."""
    if not learned:
        return b""
    text = json.dumps(learned, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()
    return _LEARNED.pack(len(text)) + text if len(text) <= MOST_LEARNED_BYTES else b""


def _learned(body: bytes, start: int) -> tuple[Learned, int]:
    """What models have learned, and where it ends."""
    (size,) = _LEARNED.unpack_from(body, start)
    text = body[start + _LEARNED.size : start + _LEARNED.size + size]
    try:
        said = json.loads(text)
        learned = {
            str(model): {str(name): float(value) for name, value in numbers.items()}
            for model, numbers in said.items()
        }
    except (ValueError, AttributeError, TypeError, RecursionError) as error:
        raise CheckpointError(f"checkpoint holds what no model has learned: {error}") from error
    if not all(math.isfinite(value) for numbers in learned.values() for value in numbers.values()):
        raise CheckpointError("checkpoint holds numbers of a model that are none")
    return learned, start + _LEARNED.size + size


def _open(data: bytes) -> tuple[int, Quantity, bytes]:
    if len(data) < _HEADER.size or data[:4] != _MAGIC:
        raise CheckpointError("not a Plimsoll history checkpoint")
    _, version, quantity, crc = _HEADER.unpack_from(data)
    if version > VERSION:
        raise CheckpointError(f"checkpoint version {version} is newer than {VERSION}, the newest known here")
    body = data[_HEADER.size :]
    if zlib.crc32(body, zlib.crc32(struct.pack("<HB", version, quantity))) != crc:
        raise CheckpointError("checkpoint is corrupt: its checksum does not match")
    if quantity >= len(_QUANTITIES):
        raise CheckpointError(f"checkpoint holds an unknown quantity, number {quantity}")
    unpacker = zlib.decompressobj()
    try:
        plain = unpacker.decompress(body, _MAX_BODY_BYTES)
    except zlib.error as error:
        raise CheckpointError(f"checkpoint is corrupt: {error}") from error
    if not unpacker.eof or unpacker.unused_data:
        raise CheckpointError("checkpoint is corrupt: its body does not end where it should")
    return version, _QUANTITIES[quantity], plain


@cache
def _grid() -> Float32Array:
    """Values a code may stand for, ascending: index 0 is zero bytes; code = index + 1."""
    steps = int(np.ceil(np.log(MAX_PLAUSIBLE_BYTES / GRID_START_BYTES) / np.log(GRID_RATIO))) + 1
    values = GRID_START_BYTES * GRID_RATIO ** np.arange(steps)
    return np.concatenate([np.zeros(1, np.float32), round_up_float32(values)])


def _quantise(values: Float32Array) -> np.ndarray[tuple[int], np.dtype[np.uint16]]:
    codes = np.searchsorted(_grid(), values, side="left") + 1
    return np.where(np.isnan(values), _MISSING, codes).astype(np.uint16)


def _dequantise(codes: np.ndarray[tuple[int], np.dtype[np.uint16]]) -> Float32Array:
    grid = _grid()
    if int(codes.max(initial=0)) > len(grid):
        raise CheckpointError("checkpoint holds a value outside its grid")
    known = grid[np.maximum(codes, 1).astype(np.intp) - 1]
    return np.where(codes == _MISSING, np.float32(np.nan), known)
