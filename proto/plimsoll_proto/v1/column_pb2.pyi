from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable
from typing import ClassVar as _ClassVar, Optional as _Optional

DESCRIPTOR: _descriptor.FileDescriptor

class Column(_message.Message):
    __slots__ = ("shift_bits", "scaled_deltas", "missing_bitmap")
    SHIFT_BITS_FIELD_NUMBER: _ClassVar[int]
    SCALED_DELTAS_FIELD_NUMBER: _ClassVar[int]
    MISSING_BITMAP_FIELD_NUMBER: _ClassVar[int]
    shift_bits: int
    scaled_deltas: _containers.RepeatedScalarFieldContainer[int]
    missing_bitmap: bytes
    def __init__(self, shift_bits: _Optional[int] = ..., scaled_deltas: _Optional[_Iterable[int]] = ..., missing_bitmap: _Optional[bytes] = ...) -> None: ...
