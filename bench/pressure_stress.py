"""The program that `record_pressure.py` starts to put memory under stress; the standard library is enough.

In: a pattern, bytes, seconds, a seed. Out: on standard output how long each of its requests took, eight
characters each. It takes and frees blocks, touches what it holds, reads a file or wants huge pages, as its
pattern says.
"""

import mmap
import os
import random
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

MIB, PAGE = 1 << 20, 4096
HUGE = 2 * MIB


class Stress:
    """Takes and frees memory in blocks; each change is a request whose time is told."""

    BLOCK = MIB

    def __init__(self, pattern: str, size: int, rng: random.Random) -> None:
        self._pattern, self._size, self._random = pattern, size, rng
        self._blocks: list[mmap.mmap] = []
        self._fill = os.urandom(PAGE // 2) + bytes(PAGE // 2)  # half compressible, as much memory is
        self._file = Path(f"/var/tmp/plimsoll-stress-{os.getpid()}")
        name = "_fragment_targets" if pattern == "fragment" else f"_{pattern}"
        self._targets: Iterator[tuple[float, float]] = getattr(self, name)()
        self._span = 1.0
        self._until = 0.0
        self._from = self._to = 0.2

    def run(self, seconds: float) -> None:
        """Follow the pattern until the time is over."""
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
        began = time.monotonic()
        try:
            if self._pattern == "cache":
                self._write_file(int(0.7 * self._size))
            while time.monotonic() - began < seconds:
                at = time.monotonic()
                self._request(self._share(at))
                print(f"{min(999.0, time.monotonic() - at):08.4f}"[-8:], flush=False)
                time.sleep(0.01)
        finally:
            self._file.unlink(missing_ok=True)

    def _request(self, share: float) -> None:
        """Take or free up to four blocks towards the share, and touch some of what is held."""
        wanted = int(share * self._size / self.BLOCK)
        for _ in range(4):
            if len(self._blocks) < wanted:
                self._take()
            elif len(self._blocks) > wanted and self._blocks:
                self._blocks.pop(self._random.randrange(len(self._blocks))).close()
        for _ in range(min(4, len(self._blocks))):
            block = self._random.choice(self._blocks)
            block[self._random.randrange(0, len(block), PAGE)] = 1
        if self._pattern == "cache":
            self._read_file()
        if self._pattern == "fragment":
            self._fragment()

    def _take(self) -> None:
        block = mmap.mmap(-1, self.BLOCK)
        for start in range(0, self.BLOCK, 64 * PAGE):
            block[start : start + 64 * PAGE] = self._fill * 64
        self._blocks.append(block)

    def _fragment(self) -> None:
        """Free every other page of a block (orders mix), then want huge pages."""
        if self._blocks:
            block = self._random.choice(self._blocks)
            for start in range(0, self.BLOCK, 2 * PAGE):
                block.madvise(mmap.MADV_DONTNEED, start, PAGE)
        with mmap.mmap(-1, 2 * HUGE) as huge:
            huge.madvise(mmap.MADV_HUGEPAGE)
            for start in range(0, 2 * HUGE, HUGE):
                huge[start] = 1
                huge[start + HUGE - 1] = 1

    def _write_file(self, size: int) -> None:
        with self._file.open("wb") as out:
            for _ in range(size // MIB):
                out.write(self._fill * (MIB // PAGE))
            out.flush()
            os.fsync(out.fileno())

    def _read_file(self) -> None:
        descriptor = os.open(self._file, os.O_RDONLY)
        try:
            size = os.fstat(descriptor).st_size
            os.pread(descriptor, 2 * MIB, self._random.randrange(max(1, size - 2 * MIB)))
        finally:
            os.close(descriptor)

    def _share(self, now: float) -> float:
        """The share wanted now, linear between the pattern's targets."""
        while now >= self._until:
            span, to = next(self._targets)
            self._from, self._to, self._span = self._to, to, max(0.05, span)
            self._until = max(self._until, now - 0.05) + self._span
        left = (self._until - now) / self._span
        return self._to + (self._from - self._to) * min(1.0, left)

    def _ramp(self) -> Iterator[tuple[float, float]]:
        while True:
            yield self._random.uniform(1, 4), self._random.uniform(0.2, 0.4)
            yield self._random.uniform(8, 20), self._random.uniform(0.97, 1.07)
            yield self._random.uniform(3, 8), self._random.uniform(0.97, 1.07)

    def _burst(self) -> Iterator[tuple[float, float]]:
        while True:
            low, peak = self._random.uniform(0.6, 0.85), self._random.uniform(0.9, 1.12)
            yield 0.5, low
            yield self._random.expovariate(1 / 6), low
            yield self._random.uniform(0.4, 3), peak
            yield self._random.expovariate(1 / 3), peak

    def _sawtooth(self) -> Iterator[tuple[float, float]]:
        fall, period = self._random.uniform(0.35, 0.75), self._random.uniform(3, 10)
        while True:
            top = self._random.uniform(0.97, 1.06)
            yield period * self._random.uniform(0.85, 1.15), top
            yield 0.2, top * fall

    def _cache(self) -> Iterator[tuple[float, float]]:
        while True:
            yield self._random.uniform(3, 10), self._random.uniform(0.45, 0.6)

    def _fragment_targets(self) -> Iterator[tuple[float, float]]:
        while True:
            yield self._random.uniform(2, 10), self._random.uniform(0.8, 0.95)


if __name__ == "__main__":
    _pattern, _bytes, _seconds, _seed = sys.argv[1:]
    Stress(_pattern, int(_bytes), random.Random(int(_seed))).run(float(_seconds))
