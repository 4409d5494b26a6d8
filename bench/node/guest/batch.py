"""A batch job: python3 batch.py FILE BUFFER_MIB PASS_SECONDS PROGRESS.

Again and again it reads a file from end to end, at an even pace over PASS_SECONDS, and sorts what it took
out into a buffer, which it then leaves alone until the next pass. PROGRESS holds the number of chunks
done.
"""

import sys
import time
import zlib
from pathlib import Path

CHUNK_BYTES = 1 << 18


def told(progress: Path, done: int) -> None:
    """Write the number so that nobody reads half of it."""
    fresh = progress.with_suffix(".new")
    fresh.write_text(str(done))
    fresh.replace(progress)


def main() -> None:
    """Work until killed."""
    source, buffer_bytes = Path(sys.argv[1]), int(sys.argv[2]) << 20
    pass_seconds, progress = float(sys.argv[3]), Path(sys.argv[4])
    buffer, done = bytearray(buffer_bytes), 0
    chunks = max(1, source.stat().st_size // CHUNK_BYTES)
    while True:
        due = time.monotonic()
        with source.open("rb") as file:
            for number in range(chunks):
                chunk = file.read(CHUNK_BYTES)
                at = number * CHUNK_BYTES % max(CHUNK_BYTES, buffer_bytes)
                buffer[at : at + len(chunk)] = chunk
                zlib.crc32(chunk)
                done += 1
                told(progress, done)
                due += pass_seconds / chunks
                time.sleep(max(0.0, due - time.monotonic()))


if __name__ == "__main__":
    main()
