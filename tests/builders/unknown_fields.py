"""Fields of a message that is not ours, as protobuf writes them: what a newer version says, or ballast.

In: a number and content. Out: bytes that stand behind any message's own.
"""

NUMBER = 2000  # of a field that is none of ours


def unknown_field(content: bytes = b"said by a newer version", number: int = NUMBER) -> bytes:
    """A field of the kind that says its length."""
    return _varint(number << 3 | 2) + _varint(len(content)) + content


def _varint(value: int) -> bytes:
    found = bytearray()
    while value > 0x7F:
        found.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*found, value])
