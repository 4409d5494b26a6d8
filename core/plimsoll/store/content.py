"""Models as bytes that are the same wherever they are made: JSON with the numbers of arrays beside it.

In: a document of plain JSON values and numpy arrays. Out: bytes without any freedom (sorted keys, little
endian, no time of writing), so that equal models have one digest; and back. Never pickle: what comes from
another node is data. Layout: magic, length of the JSON, JSON (arrays are `{"$array": [type, shape,
offset]}`), numbers.
"""

import json
import math
import struct
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from plimsoll.store.record import MOST_CONTENT_BYTES

Document = Mapping[str, Any]
_MAGIC = b"PLM1"
_LENGTH = struct.Struct("<I")
_TYPES = ("<f8", "<f4", "<i8", "<i4", "<i2", "|i1", "|u1", "|b1")
MOST_DEPTH = 16


class ContentError(ValueError):
    """These bytes are no document; the message says why."""


def is_document(data: bytes) -> bool:
    """True of bytes that begin as a document does."""
    return data[:4] == _MAGIC


def encode(document: Document) -> bytes:
    """Bytes of a document. Raises `ContentError` for values that have no one form."""
    numbers: list[bytes] = []
    plain = _plain(document, numbers, 0)
    head = json.dumps(plain, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()
    return b"".join((_MAGIC, _LENGTH.pack(len(head)), head, *numbers))


def decode(data: bytes, most_bytes: int = MOST_CONTENT_BYTES) -> dict[str, Any]:
    """The document in some bytes, at most so many. Raises `ContentError`."""
    if not is_document(data) or len(data) > most_bytes:
        raise ContentError("these bytes are no document of ours")
    try:
        (length,) = _LENGTH.unpack_from(data, 4)
        head = json.loads(data[8 : 8 + length])
        made = _restored(head, memoryview(data)[8 + length :], 0)
    except (ValueError, KeyError, TypeError, RecursionError, struct.error) as error:
        raise ContentError(f"a document cannot be read: {error}") from error
    if not isinstance(made, dict):
        raise ContentError("a document is no mapping")
    return made


def _plain(value: object, numbers: list[bytes], depth: int) -> object:
    if depth > MOST_DEPTH:
        raise ContentError("a document is nested too deeply")
    if isinstance(value, Mapping):
        if not all(isinstance(key, str) and not key.startswith("$") for key in value):
            raise ContentError("a document's keys are words that do not begin with $")
        return {key: _plain(each, numbers, depth + 1) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(each, numbers, depth + 1) for each in value]
    if isinstance(value, np.ndarray):
        return _array(value, numbers)
    if isinstance(value, float) and not math.isfinite(value):
        raise ContentError("a document holds NaN or infinity outside of arrays")
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    raise ContentError(f"a document cannot hold a {type(value).__name__}")


def _array(value: npt.NDArray[Any], numbers: list[bytes]) -> object:
    little = value.dtype.newbyteorder("<").str
    if little not in _TYPES:
        raise ContentError(f"a document cannot hold an array of {value.dtype}")
    data = np.ascontiguousarray(value, dtype=little).tobytes()
    offset = sum(map(len, numbers))
    numbers.append(data)
    return {"$array": [little, list(value.shape), offset]}


def _restored(value: object, numbers: memoryview, depth: int) -> object:
    if depth > MOST_DEPTH:
        raise ContentError("a document is nested too deeply")
    if isinstance(value, list):
        return [_restored(each, numbers, depth + 1) for each in value]
    if not isinstance(value, dict):
        return value
    if set(value) == {"$array"}:
        return _numbers(value["$array"], numbers)
    return {key: _restored(each, numbers, depth + 1) for key, each in value.items()}


def _numbers(said: list[Any], numbers: memoryview) -> npt.NDArray[Any]:
    kind, shape, offset = said
    if kind not in _TYPES or not all(isinstance(each, int) and each >= 0 for each in [*shape, offset]):
        raise ContentError(f"an array of {kind!r} and shape {shape!r}")
    size = math.prod(shape) * np.dtype(kind).itemsize
    if offset + size > len(numbers):
        raise ContentError("an array ends beyond the document")
    return np.frombuffer(numbers[offset : offset + size], dtype=kind).reshape(shape).copy()
