"""Which pages of a process are resident, swapped or written to, by pagemap.

In: an open process and ranges of addresses. Out: counts in bytes, runs of pages, arrays. PAGEMAP_SCAN
(Linux 6.7) is used where it is there, else every word of pagemap is read: eight bytes a page. Neither tells
which pages were read: that is what idle bits are for (`idle_bits.py`).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from plimsoll_nodeagent.kernelfs import Absence, KernelProcess, PageKind, PageRun, Ranges
from plimsoll_nodeagent.kernelfs.process import PAGE_BYTES

MOST_PAGES = 1 << 21  # 8 GiB in words of pagemap are 16 MiB: more is not read at once
PRESENT, SWAPPED, FILE, SOFT_DIRTY = (np.uint64(1 << bit) for bit in (63, 62, 61, 55))
FRAME = np.uint64((1 << 55) - 1)
_LOOKED_FOR = PageKind.PRESENT | PageKind.SWAPPED
_WRITTEN = PageKind.PRESENT | PageKind.SOFT_DIRTY


@dataclass(frozen=True, slots=True)
class PageCounts:
    """Bytes of some ranges, by where they are."""

    resident_bytes: int
    swapped_bytes: int


def page_counts(process: KernelProcess, ranges: Ranges) -> PageCounts | Absence:
    """Count resident and swapped bytes in ranges (start, length); `Absence.BUSY` for over `MOST_PAGES`."""
    if int(ranges[:, 1].sum()) // PAGE_BYTES > MOST_PAGES:
        return Absence.BUSY
    resident = swapped = 0
    for start, length in ranges.tolist():
        counted = _counts(process, start, length)
        if isinstance(counted, Absence):
            return counted
        resident += counted.resident_bytes
        swapped += counted.swapped_bytes
    return PageCounts(resident, swapped)


def _counts(process: KernelProcess, start: int, length: int) -> PageCounts | Absence:
    runs = process.scan(start, start + length, _LOOKED_FOR)
    if not isinstance(runs, Absence):
        return PageCounts(_bytes(runs, PageKind.PRESENT), _bytes(runs, PageKind.SWAPPED))
    if runs is not Absence.UNSUPPORTED:
        return runs
    words = process.pagemap(start, length // PAGE_BYTES)
    if isinstance(words, Absence):
        return words
    return PageCounts(_pages(words, PRESENT) * PAGE_BYTES, _pages(words, SWAPPED) * PAGE_BYTES)


def written_pages(process: KernelProcess, start: int, end: int) -> NDArray[np.uint64] | Absence:
    """Return addresses of resident pages written to since `forget_writes` (soft-dirty); reads are not seen.

    All of a mapping that is younger than that has the bit, whether anything is in it or not.
    """
    runs = process.scan(start, end, _WRITTEN)
    if not isinstance(runs, Absence):
        parts = [
            np.arange(each.start, each.end, PAGE_BYTES, dtype=np.uint64)
            for each in runs
            if each.kind & _WRITTEN == _WRITTEN
        ]
        return np.concatenate(parts) if parts else np.zeros(0, dtype=np.uint64)
    if runs is not Absence.UNSUPPORTED:
        return runs
    pages = min((end - start) // PAGE_BYTES, MOST_PAGES)
    words = process.pagemap(start, pages)
    if isinstance(words, Absence):
        return words
    written = (words & SOFT_DIRTY > 0) & (words & PRESENT > 0)
    found: NDArray[np.uint64] = np.flatnonzero(written).astype(np.uint64)
    return np.uint64(start) + found * np.uint64(PAGE_BYTES)


def _bytes(runs: list[PageRun], kind: PageKind) -> int:
    return sum(each.end - each.start for each in runs if each.kind & kind)


def _pages(words: NDArray[np.uint64], bit: np.uint64) -> int:
    return int(np.count_nonzero(words & bit))
