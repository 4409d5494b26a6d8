"""A Python web process with a cache and files, most of which nobody asks for: python3 web.py PORT ENTRIES
FILES.

GET /c/N answers entry N of the cache (4 KiB each), GET /f/N the file N of the directory FILES.
"""

import random
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

ENTRY_BYTES = 4096


class Handler(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    cache: ClassVar[list[bytes]] = []
    files: ClassVar[list[Path]] = []

    def do_GET(self) -> None:
        """Answer from the cache or from a file."""
        _, kind, number = self.path.split("/")
        if kind == "c":
            body = self.cache[int(number) % len(self.cache)]
        else:
            body = self.files[int(number) % len(self.files)].read_bytes()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *words: object) -> None:
        """Nobody reads it."""


def main() -> None:
    """Fill the cache and serve."""
    port, entries, files = int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3])
    drawn = random.Random(7)
    # Half of an entry can be packed, as text can.
    Handler.cache = [drawn.randbytes(ENTRY_BYTES // 2) + bytes(ENTRY_BYTES // 2 - 64) for _ in range(entries)]
    Handler.files = sorted(files.iterdir())
    ThreadingHTTPServer(("127.0.0.1", port), Handler).serve_forever()


if __name__ == "__main__":
    main()
