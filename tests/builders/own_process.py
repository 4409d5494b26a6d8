"""A real process of the test's own, whose pages the kernel itself moves: nothing else of the host is touched.

In: how many pages, of a file or of no file. Out: a child that holds them mapped, touches them when told, and
ends with the context. Its anonymous pages are none that anybody else shares.
"""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

PAGE = 4096
_PROGRAM = """
import ctypes, mmap, sys
pages, path = int(sys.argv[1]), sys.argv[2]
if path:
    file = open(path, "r+b")
    area = mmap.mmap(file.fileno(), pages * 4096, mmap.MAP_SHARED)
else:
    area = mmap.mmap(-1, pages * 4096, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    area.madvise(mmap.MADV_NOHUGEPAGE)
    for page in range(pages):
        area[page * 4096] = 1
touched = sum(area[page * 4096] for page in range(pages))
print(ctypes.addressof(ctypes.c_char.from_buffer(area)), flush=True)
for line in sys.stdin:
    what, first, count = line.split()
    for page in range(int(first), int(first) + int(count)):
        if what == "write":
            area[page * 4096] = 2
        touched += area[page * 4096]
    print("done", flush=True)
"""


@dataclass
class OwnProcess:
    """The child: its pid, where its pages begin, how many there are."""

    process: subprocess.Popen
    pid: int
    start: int
    pages: int

    @property
    def end(self) -> int:
        """The first address after its pages."""
        return self.start + self.pages * PAGE

    def touch(self, first: int, count: int, *, write: bool = False) -> None:
        """Let it read, or write, pages; returns when it has."""
        self.process.stdin.write(f"{'write' if write else 'read'} {first} {count}\n")
        self.process.stdin.flush()
        assert self.process.stdout.readline() == "done\n"

    def stop(self) -> None:
        """End it and wait until it is gone."""
        self.process.kill()
        self.process.wait()


@contextmanager
def own_process(pages: int = 64, file: Path | None = None) -> Iterator[OwnProcess]:
    """Start a child that has mapped and read its pages; with `file`, those of a file made for it."""
    if file is not None:
        file.write_bytes(b"\1" * pages * PAGE)
    command = [sys.executable, "-I", "-S", "-c", _PROGRAM, str(pages), str(file or "")]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, **pipes) as process:
        try:
            start = int(process.stdout.readline())
            yield OwnProcess(process, process.pid, start, pages)
        finally:
            process.kill()
