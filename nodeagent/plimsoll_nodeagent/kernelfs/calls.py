"""The system calls that glibc or Python have no function for, by number, on x86-64 and arm64.

In: a pidfd or pid, addresses as numpy arrays. Out: what the kernel returned; errors are `OSError`, which
`KernelFs` turns into answers. Sources: `process_madvise(2)`, `move_pages(2)`, and `PAGEMAP_SCAN` in
the kernel's `pagemap.rst` and `uapi/linux/fs.h`.
"""

import ctypes
import errno
import fcntl
import os
import platform
import struct
from enum import IntEnum, IntFlag
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

Ranges = NDArray[np.uint64]  # (n, 2): start address, length in bytes; both multiples of the page size
MOST_RANGES = 1024  # UIO_MAXIOV
_MPOL_MF_MOVE = 2  # only pages that no other process maps

_NUMBERS = {
    "x86_64": {"process_madvise": 440, "move_pages": 279},
    "aarch64": {"process_madvise": 440, "move_pages": 239},
}
# struct pm_scan_arg: size, flags, start, end, walk_end, vec, vec_len, max_pages; four masks of categories
_SCAN_ARGUMENT = struct.Struct("12Q")
_PAGE_REGION = np.dtype([("start", np.uint64), ("end", np.uint64), ("kinds", np.uint64)])
_PAGEMAP_SCAN = 0xC0606610  # _IOWR('f', 16, struct pm_scan_arg)
_RUNS_AT_ONCE = 4096


class Advice(IntEnum):
    """Advice that `process_madvise` takes for another process; since Linux 5.10, 5.15 and 6.1."""

    WILLNEED = 3
    COLD = 20
    PAGEOUT = 21
    COLLAPSE = 25


class PageKind(IntFlag):
    """What PAGEMAP_SCAN tells of a page (`PAGE_IS_*`)."""

    WRITTEN = 1 << 1
    FILE = 1 << 2
    PRESENT = 1 << 3
    SWAPPED = 1 << 4
    ZERO = 1 << 5
    HUGE = 1 << 6
    SOFT_DIRTY = 1 << 7


class PageRun(NamedTuple):
    """Pages in a row of the same kind: addresses, the end not included."""

    start: int
    end: int
    kind: PageKind


class Calls(Protocol):
    """System calls; every one raises OSError."""

    def pidfd_open(self, pid: int) -> int:
        """Return a descriptor of the process; ESRCH if there is none."""

    def process_madvise(self, pidfd: int, ranges: Ranges, advice: Advice) -> int:
        """Advise on at most `MOST_RANGES` ranges; returns the bytes advised, which may not be all."""

    def move_pages(
        self, pid: int, addresses: NDArray[np.uint64], numa_nodes: NDArray[np.int32] | None
    ) -> NDArray[np.int32]:
        """Move pages to NUMA nodes (or, with None, only ask); returns a node or -errno for each page."""

    def pagemap_scan(self, pagemap: int, start: int, end: int, any_of: PageKind) -> tuple[list[PageRun], int]:
        """Find pages of any of the kinds by an open /proc/PID/pagemap; returns them and where it stopped."""


class LinuxCalls:
    """The kernel's own."""

    def __init__(self, machine: str | None = None) -> None:
        self._numbers = _NUMBERS.get(machine or platform.machine(), {})
        self._libc = ctypes.CDLL(None, use_errno=True)

    def pidfd_open(self, pid: int) -> int:
        """See `Calls`."""
        return os.pidfd_open(pid)

    def process_madvise(self, pidfd: int, ranges: Ranges, advice: Advice) -> int:
        """See `Calls`. An iovec is two words, as a row of `ranges` is."""
        vector = np.ascontiguousarray(ranges, dtype=np.uint64)
        return self._call("process_madvise", pidfd, _pointer(vector), len(vector), int(advice), 0)

    def move_pages(
        self, pid: int, addresses: NDArray[np.uint64], numa_nodes: NDArray[np.int32] | None
    ) -> NDArray[np.int32]:
        """See `Calls`."""
        pages = np.ascontiguousarray(addresses, dtype=np.uint64)
        status = np.full(len(pages), -errno.EAGAIN, dtype=np.int32)
        wanted = None if numa_nodes is None else np.ascontiguousarray(numa_nodes, dtype=np.int32)
        nodes = None if wanted is None else _pointer(wanted)
        self._call("move_pages", pid, len(pages), _pointer(pages), nodes, _pointer(status), _MPOL_MF_MOVE)
        return status

    def pagemap_scan(self, pagemap: int, start: int, end: int, any_of: PageKind) -> tuple[list[PageRun], int]:
        """See `Calls`."""
        found = np.zeros(_RUNS_AT_ONCE, dtype=_PAGE_REGION)
        kinds = int(any_of)
        argument = bytearray(
            _SCAN_ARGUMENT.pack(
                _SCAN_ARGUMENT.size, 0, start, end, 0, found.ctypes.data, len(found), 0, 0, 0, kinds, kinds
            )
        )
        count = fcntl.ioctl(pagemap, _PAGEMAP_SCAN, argument, True)
        rows = found[:count].tolist()
        runs = [PageRun(first, last, PageKind(kind)) for first, last, kind in rows]
        return runs, _SCAN_ARGUMENT.unpack(argument)[4]

    def _call(self, name: str, *arguments: int | ctypes.c_void_p | None) -> int:
        number = self._numbers.get(name)
        if number is None:
            raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS), name)
        words = [each if isinstance(each, ctypes.c_void_p) else _word(each) for each in arguments]
        self._libc.syscall.restype = ctypes.c_long
        result = int(self._libc.syscall(ctypes.c_long(number), *words))
        if result < 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number), name)
        return result


def _word(value: int | None) -> ctypes.c_long | ctypes.c_void_p:
    return ctypes.c_void_p(None) if value is None else ctypes.c_long(value)


def _pointer(array: NDArray[np.generic]) -> ctypes.c_void_p:
    return ctypes.c_void_p(array.ctypes.data)
