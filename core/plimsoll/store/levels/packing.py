"""Contents as they lie in files and in Redis: compressed by zstd, with the length they unpack to.

In: content, or packed bytes of unknown origin. Out: the other. A bomb is refused by the length in its frame,
before anything is unpacked. zstandard is of an extra, and is imported by who packs: help about the
memory is for all.
"""

from plimsoll.store.record import MOST_CONTENT_BYTES, DamagedError

LEVEL = 9  # tables of floats gain little beyond; 100 KiB take a millisecond


def packed(content: bytes) -> bytes:
    """Compressed, the same bytes for the same content."""
    import zstandard  # noqa: PLC0415

    return zstandard.ZstdCompressor(level=LEVEL, write_checksum=False).compress(content)


def unpacked(data: bytes, most_bytes: int = MOST_CONTENT_BYTES) -> bytes:
    """What was packed, at most so many bytes. Raises `DamagedError`."""
    import zstandard  # noqa: PLC0415

    try:
        size = zstandard.frame_content_size(data)
        if not 0 <= size <= most_bytes:
            raise DamagedError(f"packed content claims {size} bytes, at most {most_bytes} are kept")
        return zstandard.ZstdDecompressor().decompress(data, max_output_size=size or 1)
    except zstandard.ZstdError as error:
        raise DamagedError(f"packed content cannot be unpacked: {error}") from error
