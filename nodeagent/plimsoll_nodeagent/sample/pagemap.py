"""Which pages of a process are resident, swapped or written to, by pagemap; and which are idle, by frames.

In: an open process and ranges of addresses. Out: counts in bytes, runs of pages, arrays. PAGEMAP_SCAN
(Linux 6.7) is used where it is there, else every word of pagemap is read: eight bytes a page. Idle bits need
the numbers of page frames, which the kernel shows to CAP_SYS_ADMIN only (zero to others).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from plimsoll_nodeagent.kernelfs import Absence, Answer, KernelFs, KernelProcess, PageKind, PageRun, Ranges
from plimsoll_nodeagent.kernelfs.process import PAGE_BYTES

MOST_PAGES = 1 << 21  # 8 GiB in words of pagemap are 16 MiB: more is not read at once
PRESENT, SWAPPED, FILE, SOFT_DIRTY = (np.uint64(1 << bit) for bit in (63, 62, 61, 55))
FRAME = np.uint64((1 << 55) - 1)
_LOOKED_FOR = PageKind.PRESENT | PageKind.SWAPPED
_FRAMES_A_WORD = 64


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
    """Return addresses of pages written to since `forget_writes` (soft-dirty); reads are not seen."""
    runs = process.scan(start, end, PageKind.SOFT_DIRTY)
    if not isinstance(runs, Absence):
        parts = [np.arange(each.start, each.end, PAGE_BYTES, dtype=np.uint64) for each in runs]
        return np.concatenate(parts) if parts else np.zeros(0, dtype=np.uint64)
    if runs is not Absence.UNSUPPORTED:
        return runs
    pages = min((end - start) // PAGE_BYTES, MOST_PAGES)
    words = process.pagemap(start, pages)
    if isinstance(words, Absence):
        return words
    found: NDArray[np.uint64] = np.flatnonzero(words & SOFT_DIRTY).astype(np.uint64)
    return np.uint64(start) + found * np.uint64(PAGE_BYTES)


def frames(process: KernelProcess, start: int, end: int) -> NDArray[np.uint64] | Absence:
    """Return the page frame of every resident page in a range, 0 where it is none or not shown to us."""
    words = process.pagemap(start, min((end - start) // PAGE_BYTES, MOST_PAGES))
    if isinstance(words, Absence):
        return words
    return np.where(words & PRESENT, words & FRAME, np.uint64(0))


def idle_frames(fs: KernelFs, page_frames: NDArray[np.uint64]) -> NDArray[np.bool_] | Absence:
    """Say of each frame whether it is still idle since `mark_idle`; frame 0 is never idle."""
    idle = np.zeros(len(page_frames), dtype=np.bool_)
    words = page_frames // np.uint64(_FRAMES_A_WORD)
    for word in np.unique(words[page_frames > 0]).tolist():
        data = fs.read_idle_bits(word * 8, 8)
        if isinstance(data, Absence):
            return data
        bits = np.uint64(int.from_bytes(data, "little"))
        mine = (words == word) & (page_frames > 0)
        shift = page_frames[mine] % np.uint64(_FRAMES_A_WORD)
        idle[mine] = (bits >> shift) & np.uint64(1)
    return idle


def mark_idle(fs: KernelFs, page_frames: NDArray[np.uint64]) -> Answer:
    """Mark frames idle, and no others; the first refusal ends it."""
    known = page_frames[page_frames > 0]
    words = known // np.uint64(_FRAMES_A_WORD)
    for word in np.unique(words).tolist():
        bits = 0
        for frame in known[words == word].tolist():
            bits |= 1 << (frame % _FRAMES_A_WORD)
        answer = fs.set_idle_bits(word * 8, bits.to_bytes(8, "little"))
        if answer is not Answer.DONE:
            return answer
    return Answer.DONE


def _bytes(runs: list[PageRun], kind: PageKind) -> int:
    return sum(each.end - each.start for each in runs if each.kind & kind)


def _pages(words: NDArray[np.uint64], bit: np.uint64) -> int:
    return int(np.count_nonzero(words & bit))
