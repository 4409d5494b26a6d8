"""Processes of the twin: pages that are resident, swapped or gone, and calls that change them.

In: a `TwinProcess` for each pid: one mapping, its pages' states. Out: /proc/PID in the tree (maps, stat,
smaps_rollup, pagemap), written anew after every change, so that the agent reads it as it reads a kernel's.
"""

import errno
import os
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from plimsoll_nodeagent.kernelfs.calls import MOST_RANGES, Advice, PageKind, PageRun, Ranges

PAGE_BYTES = 4096
_HUGE_PAGES = 512
_HEAD, _TAIL = 1 << 15, 1 << 16  # KPF_COMPOUND_HEAD, KPF_COMPOUND_TAIL
_BITS = ((PageKind.PRESENT, 63), (PageKind.SWAPPED, 62), (PageKind.FILE, 61), (PageKind.SOFT_DIRTY, 55))


@dataclass(eq=False)
class TwinProcess:
    """A process with one mapping of `pages` pages at `start`; `kinds` and `numa_nodes` are by page."""

    pid: int
    start: int = 0x10000000
    pages: int = 1024
    anonymous: bool = True
    swap_pages: int = 1 << 30
    """How many more pages swap can take: 0 is a node without swap, or a full one."""
    started_ticks: int = 100
    first_frame: int = 64
    folio_pages: int = 1
    """Pages of each of its folios; they lie at multiples of it by frame."""
    kinds: NDArray[np.uint64] = field(default_factory=lambda: np.zeros(0, dtype=np.uint64))
    numa_nodes: NDArray[np.int32] = field(default_factory=lambda: np.zeros(0, dtype=np.int32))
    referenced: NDArray[np.bool_] = field(default_factory=lambda: np.zeros(0, dtype=np.bool_))
    no_free_blocks: bool = False
    """The kernel finds no block for a huge page: it takes the advice, or part of it, and gathers nothing."""

    def __post_init__(self) -> None:
        kind = PageKind.PRESENT if self.anonymous else PageKind.PRESENT | PageKind.FILE
        self.kinds = np.full(self.pages, int(kind), dtype=np.uint64)
        self.numa_nodes = np.zeros(self.pages, dtype=np.int32)
        self.referenced = np.ones(self.pages, dtype=np.bool_)

    @property
    def end(self) -> int:
        """The first address after the mapping."""
        return self.start + self.pages * PAGE_BYTES

    def owns(self, frame: int) -> bool:
        """Whether a page frame is of this process."""
        return 0 <= frame - self.first_frame < self.pages

    def has(self, kind: PageKind) -> NDArray[np.bool_]:
        """Say of each page whether it is of the kind."""
        return (self.kinds & np.uint64(int(kind))) > 0

    def advise(self, first: int, count: int, advice: Advice) -> None:
        """Do to pages what the advice says."""
        pages = slice(first, first + count)
        match advice:
            case Advice.COLD:
                self.referenced[pages] = False
            case Advice.PAGEOUT:
                self._page_out(np.arange(first, first + count))
            case Advice.COLLAPSE:
                self._collapse(first, count)
            case Advice.WILLNEED:
                pass  # into the swap cache: the page table does not change

    def touch(self, first: int, count: int, *, write: bool = False) -> None:
        """The program touches pages: those that were swapped are resident again."""
        pages = slice(first, first + count)
        swapped = np.uint64(int(PageKind.SWAPPED))
        self.kinds[pages] = (self.kinds[pages] | np.uint64(int(PageKind.PRESENT))) & ~swapped
        if write:
            self.kinds[pages] |= np.uint64(int(PageKind.SOFT_DIRTY))
        self.referenced[pages] = True

    @property
    def huge_pages(self) -> int:
        """How many huge pages there are."""
        return int(self.has(PageKind.HUGE).sum()) // _HUGE_PAGES

    def split(self, first: int, count: int) -> None:
        """What was gathered is broken up again."""
        self.kinds[first : first + count] &= ~np.uint64(int(PageKind.HUGE))

    def _collapse(self, first: int, count: int) -> None:
        """Every aligned stretch of a huge page's size becomes one; what is not resident is filled in."""
        if self.no_free_blocks:
            return
        begin = -(-first // _HUGE_PAGES) * _HUGE_PAGES
        end = (first + count) // _HUGE_PAGES * _HUGE_PAGES
        if end > begin:
            kind = PageKind.PRESENT | PageKind.HUGE
            self.kinds[begin:end] = self.kinds[begin:end] | np.uint64(int(kind))

    def _page_out(self, pages: NDArray[np.int64]) -> None:
        resident = pages[self.has(PageKind.PRESENT)[pages]]
        taken = resident[: self.swap_pages] if self.anonymous else resident
        kind = PageKind.SWAPPED if self.anonymous else PageKind.FILE
        self.kinds[taken] = np.uint64(int(kind))
        self.referenced[taken] = False
        if self.anonymous:
            self.swap_pages -= len(taken)


class TwinCalls:
    """The calls on those processes; see `Calls`."""

    def __init__(self, root: Path) -> None:
        self._proc = root / "proc"
        self.has_scan = True  # PAGEMAP_SCAN, Linux 6.7
        self._alive: dict[int, TwinProcess] = {}
        self._pidfds: dict[int, TwinProcess] = {}

    def add(self, process: TwinProcess) -> TwinProcess:
        """Start a process; one that has the pid ends."""
        self._alive[process.pid] = process
        self.show(process)
        return process

    def end(self, pid: int) -> None:
        """End a process: its directory goes."""
        del self._alive[pid]
        directory = self._proc / str(pid)
        for each in directory.iterdir():
            each.unlink()
        directory.rmdir()

    def pidfd_open(self, pid: int) -> int:
        """See `Calls`."""
        process = self._of(pid)
        descriptor = os.open(self._proc / str(pid), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        self._pidfds[descriptor] = process
        return descriptor

    def process_madvise(self, pidfd: int, ranges: Ranges, advice: Advice) -> int:
        """See `Calls`; the first part that is not mapped ends it."""
        if len(ranges) > MOST_RANGES:
            raise _error(errno.EINVAL)
        process = self._pidfds[pidfd]
        if self._alive.get(process.pid) is not process:
            raise _error(errno.ESRCH)
        taken = 0
        for start, length in ranges.tolist():
            if start < process.start or start + length > process.end:
                if not taken:
                    raise _error(errno.ENOMEM)
                break
            process.advise((start - process.start) // PAGE_BYTES, length // PAGE_BYTES, advice)
            taken += length
        self.show(process)
        return taken

    def move_pages(
        self, pid: int, addresses: NDArray[np.uint64], numa_nodes: NDArray[np.int32] | None
    ) -> NDArray[np.int32]:
        """See `Calls`."""
        process = self._of(pid)
        pages = ((addresses - np.uint64(process.start)) // np.uint64(PAGE_BYTES)).astype(np.int64)
        resident = process.has(PageKind.PRESENT)[pages]
        if numa_nodes is not None:
            process.numa_nodes[pages[resident]] = numa_nodes[resident]
        return np.where(resident, process.numa_nodes[pages], -errno.ENOENT).astype(np.int32)

    def pagemap_scan(self, pagemap: int, start: int, end: int, any_of: PageKind) -> tuple[list[PageRun], int]:
        """See `Calls`."""
        if not self.has_scan:
            raise _error(errno.ENOTTY)
        pid = int(Path(f"/proc/self/fd/{pagemap}").readlink().parent.name)
        process = self._of(pid)
        first = max(0, (start - process.start) // PAGE_BYTES)
        last = max(first, min(process.pages, (end - process.start) // PAGE_BYTES))
        runs: list[PageRun] = []
        for page in range(first, last):
            kind = PageKind(int(process.kinds[page])) & any_of
            address = process.start + page * PAGE_BYTES
            if kind and runs and runs[-1].end == address and runs[-1].kind == kind:
                runs[-1] = PageRun(runs[-1].start, address + PAGE_BYTES, kind)
            elif kind:
                runs.append(PageRun(address, address + PAGE_BYTES, kind))
        return runs, end

    def forget_touches(self, frames: list[int]) -> list[int]:
        """Mark these frames idle; returns those that could be: of a folio the first page's only."""
        marked = []
        for frame in frames:
            owner = next((each for each in self._alive.values() if each.owns(frame)), None)
            if owner is not None and (frame - owner.first_frame) % owner.folio_pages:
                continue
            if owner is not None:
                first = frame - owner.first_frame
                owner.referenced[first : first + owner.folio_pages] = False
            marked.append(frame)
        return marked

    def clear_soft_dirty(self, pid: int) -> None:
        """What a 4 in clear_refs does."""
        process = self._of(pid)
        process.kinds &= ~np.uint64(int(PageKind.SOFT_DIRTY))
        self.show(process)

    def show(self, process: TwinProcess) -> None:
        """Write /proc/PID."""
        directory = self._proc / str(process.pid)
        directory.mkdir(parents=True, exist_ok=True)
        for name, data in _files(process).items():
            (directory / name).write_bytes(data)
        with (directory / "pagemap").open("wb") as file:  # sparse, as the process' addresses are
            file.seek(process.start // PAGE_BYTES * 8)
            file.write(_words(process).tobytes())
        self._show_touches(process)
        self._show_flags(process)

    def _show_touches(self, process: TwinProcess) -> None:
        """Whatever was touched is not idle any more, and with it the folio it is of."""
        bitmap = self._proc.parent / "sys/kernel/mm/page_idle/bitmap"
        if not bitmap.exists():
            return
        bits = np.unpackbits(np.frombuffer(bitmap.read_bytes(), np.uint8), bitorder="little")
        touched = np.flatnonzero(process.referenced) // process.folio_pages * process.folio_pages
        frames = process.first_frame + touched
        bits[frames[frames < len(bits)]] = 0
        bitmap.write_bytes(np.packbits(bits, bitorder="little").tobytes())

    def _show_flags(self, process: TwinProcess) -> None:
        path = self._proc / "kpageflags"
        if not path.exists() or process.folio_pages == 1:
            return
        pages = np.arange(process.pages)
        flags = np.where(pages % process.folio_pages, _TAIL, _HEAD).astype(np.uint64)
        with path.open("r+b") as file:
            file.seek(process.first_frame * 8)
            file.write(flags.tobytes())

    def _of(self, pid: int) -> TwinProcess:
        if pid not in self._alive:
            raise _error(errno.ESRCH)
        return self._alive[pid]


def _files(process: TwinProcess) -> dict[str, bytes]:
    resident, swapped = process.has(PageKind.PRESENT), process.has(PageKind.SWAPPED)
    inode, name = ("0", "") if process.anonymous else ("4711", "/srv/data")
    rollup = {
        "Rss": int(resident.sum()) * 4,
        "Referenced": int((resident & process.referenced).sum()) * 4,
        "Anonymous": int(resident.sum()) * 4 if process.anonymous else 0,
        "Swap": int(swapped.sum()) * 4,
        "AnonHugePages": process.huge_pages * _HUGE_PAGES * 4,
    }
    lines = "".join(f"{key + ':':<16}{value:>8} kB\n" for key, value in rollup.items())
    head = f"{process.start:x}-{process.end:x} ---p 00000000 00:00 0    [rollup]\n"
    before_start = " ".join(["0"] * 18)
    return {
        "maps": f"{process.start:x}-{process.end:x} rw-p 00000000 00:00 {inode}    {name}\n".encode(),
        "smaps_rollup": (head + lines).encode(),
        "stat": f"{process.pid} (a) b c) S {before_start} {process.started_ticks} 0\n".encode(),
        "clear_refs": b"\n",
    }


def _words(process: TwinProcess) -> NDArray[np.uint64]:
    words = np.zeros(process.pages, dtype=np.uint64)
    for kind, bit in _BITS:
        words |= process.has(kind).astype(np.uint64) << np.uint64(bit)
    frames = np.uint64(process.first_frame) + np.arange(process.pages, dtype=np.uint64)
    return np.where(process.has(PageKind.PRESENT), words | frames, words)


def _error(number: int) -> OSError:
    return OSError(number, os.strerror(number))
