"""Reuse predictors as bytes: what agents keep across restarts and share.

In: a `ReusePredictor`. Out: bytes with a version and a checksum, and back. What is damaged or of another
layout is refused by name, never guessed at; `first_sound` then goes on to the version before and, where none
is sound, to a predictor that starts out as LRU.
"""

import hashlib
import struct
from collections.abc import Iterable

import numpy as np

from plimsoll.pages.reuse_features import CELLS, TABLES
from plimsoll.pages.reuse_predictor import QuantisedTables, ReusePredictor, quantise

MAGIC = b"PLRP"
LAYOUT = 1  # of these bytes and of the tables' cells; another number is another model
HEAD = struct.Struct("<4sHHIQf")  # magic, layout, tables, cells, samples learned from, bias
CHECKSUM_BYTES = 32


class ModelError(ValueError):
    """Bytes that are no sound reuse predictor; the message says why."""


def export_model(predictor: ReusePredictor) -> bytes:
    """About 13 KB: the int8 tables, sealed."""
    small = quantise(predictor.tables)
    head = HEAD.pack(MAGIC, LAYOUT, len(TABLES), CELLS, predictor.samples, small.bias)
    body = head + small.scale.astype("<f4").tobytes() + small.steps.tobytes()
    return body + hashlib.sha256(body).digest()


def import_model(data: bytes) -> ReusePredictor:
    """A predictor that goes on learning from there. Raises ModelError."""
    scale_bytes = 4 * len(TABLES)
    if len(data) < HEAD.size or data[: len(MAGIC)] != MAGIC:
        raise ModelError("not a reuse model")
    _, layout, tables, cells, samples, bias = HEAD.unpack_from(data)
    if (layout, tables, cells) != (LAYOUT, len(TABLES), CELLS):
        raise ModelError(
            f"a reuse model of layout {layout} with {tables} tables and {cells} cells; "
            f"this is layout {LAYOUT} with {len(TABLES)} and {CELLS}"
        )
    if len(data) != HEAD.size + scale_bytes + CELLS + CHECKSUM_BYTES:
        raise ModelError(f"a reuse model of {len(data)} bytes: cut off, or with more behind it")
    if hashlib.sha256(data[:-CHECKSUM_BYTES]).digest() != data[-CHECKSUM_BYTES:]:
        raise ModelError("a reuse model whose checksum does not fit: damaged")
    scale = np.frombuffer(data, "<f4", len(TABLES), HEAD.size).astype(np.float32)
    steps = np.frombuffer(data, np.int8, CELLS, HEAD.size + scale_bytes)
    restored = QuantisedTables(steps, scale, bias).tables()
    if not np.isfinite(restored).all():
        raise ModelError("a reuse model with values that are no numbers")
    return ReusePredictor(restored, samples)


def first_sound(versions: Iterable[bytes]) -> tuple[ReusePredictor, list[str]]:
    """The first sound one of these, newest first, else LRU; and what was wrong with those before it."""
    wrong: list[str] = []
    for data in versions:
        try:
            return import_model(data), wrong
        except ModelError as error:
            wrong.append(str(error))
    return ReusePredictor(), wrong
