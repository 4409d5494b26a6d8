"""Which pages were touched, read or written: idle bits, set by us and cleared by the kernel when one is.

In: addresses of an open process. Out: page frames, whose idle bits are marked and asked. The kernel shows
frames to CAP_SYS_ADMIN only (zero to others), and keeps one bit for a folio, at its first page: of the others
(a huge page has 511) the bit can never be set, so `folios` finds the first page by the frames' flags. Where
those are not shown, such pages are never idle. Source: the kernel's `admin-guide/mm/idle_page_tracking.rst`
and `pagemap.rst`; asking clears no access bit of a page that is not marked.
"""

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from plimsoll_nodeagent.kernelfs import Absence, Answer, KernelFs, KernelProcess, Ranges
from plimsoll_nodeagent.kernelfs.process import PAGE_BYTES
from plimsoll_nodeagent.sample.pagemap import FRAME, MOST_PAGES, PRESENT

Frames = NDArray[np.uint64]

_WORD = np.uint64(64)  # frames
_HEAD, _TAIL = np.uint64(1 << 15), np.uint64(1 << 16)  # KPF_COMPOUND_HEAD, KPF_COMPOUND_TAIL
_LARGEST_ORDER = 9  # of a folio on the LRU: 2 MiB of 4 KiB pages
_GROUP = 1 << _LARGEST_ORDER  # frames: a folio lies within one group
_FLAG_BYTES = 8
_GROUPS_AT_ONCE = 256  # a megabyte of flags


def frames(process: KernelProcess, start: int, end: int) -> Frames | Absence:
    """Return the page frame of every resident page in a range, 0 where it is none or not shown to us."""
    length = min((end - start) // PAGE_BYTES, MOST_PAGES) * PAGE_BYTES
    return frames_of(process, np.array([[start, length]], dtype=np.uint64))


def frames_of(process: KernelProcess, ranges: Ranges) -> Frames | Absence:
    """Return the frames of the pages of several ranges (start, length), one after the other."""
    found = np.zeros(int(ranges[:, 1].sum()) // PAGE_BYTES, dtype=np.uint64)
    joined = _joined(ranges)
    words = process.pagemap_of(joined)
    if isinstance(words, Absence):
        return words
    at = 0
    for some, length in zip(words, joined[:, 1].tolist(), strict=True):
        found[at : at + len(some)] = np.where(some & PRESENT, some & FRAME, np.uint64(0))
        at += length // PAGE_BYTES
    return found


def _joined(ranges: Ranges) -> Ranges:
    """Ranges that follow each other as one: each costs a call."""
    if not len(ranges):
        return ranges
    ends = ranges[:, 0] + ranges[:, 1]
    begins = np.flatnonzero(np.concatenate([[True], ranges[1:, 0] != ends[:-1]]))
    lengths = np.add.reduceat(ranges[:, 1], begins)
    return np.stack([ranges[begins, 0], lengths], axis=1)


def folios(fs: KernelFs, page_frames: Frames) -> Frames | Absence:
    """Return the first frame of the folio that each frame is of; 0 stays 0."""
    found = page_frames.copy()
    known = np.flatnonzero(page_frames)
    groups, row = np.unique(page_frames[known] // np.uint64(_GROUP), return_inverse=True)
    for first in range(0, len(groups), _GROUPS_AT_ONCE):
        some = groups[first : first + _GROUPS_AT_ONCE]
        flags = _flags(fs, some)
        if isinstance(flags, Absence):
            return flags
        here = known[(row >= first) & (row < first + len(some))]
        within = page_frames[here] % np.uint64(_GROUP)
        at = np.searchsorted(some, page_frames[here] // np.uint64(_GROUP))
        found[here] = page_frames[here] - within + _firsts(flags, at, within)
    return found


def _flags(fs: KernelFs, groups: Frames) -> NDArray[np.uint64] | Absence:
    """[groups, 512] flags of their frames; 0 beyond the last one there is."""
    length = _GROUP * _FLAG_BYTES
    parts = fs.read_page_flags_of([(group * length, length) for group in groups.tolist()])
    if isinstance(parts, Absence):
        return parts
    whole = b"".join(part.ljust(length, b"\0") for part in parts)
    return np.frombuffer(whole, dtype=np.uint64).reshape(-1, _GROUP)


def _firsts(flags: NDArray[np.uint64], at: NDArray[np.intp], within: Frames) -> Frames:
    """[n] of frames `within` groups the first of their folio: folios lie at multiples of their size."""
    first, searching = within.copy(), (flags[at, within] & _TAIL) > 0
    for order in range(1, _LARGEST_ORDER + 1):
        candidate = within >> np.uint64(order) << np.uint64(order)
        found = searching & ((flags[at, candidate] & _HEAD) > 0)
        first[found] = candidate[found]
        searching &= ~found
    return first


def idle_frames(fs: KernelFs, page_frames: Frames) -> NDArray[np.bool_] | Absence:
    """Say of each frame whether it is still idle since `mark_idle`; frame 0 is never idle."""
    idle = np.zeros(len(page_frames), dtype=np.bool_)
    known = np.flatnonzero(page_frames)
    words, row = np.unique(page_frames[known] // _WORD, return_inverse=True)
    bits = np.zeros(len(words), dtype=np.uint64)
    runs = _runs(words)
    parts = fs.read_idle_bits_of([(int(words[first]) * 8, (last - first) * 8) for first, last in runs])
    if isinstance(parts, Absence):
        return parts
    for (first, _), data in zip(runs, parts, strict=True):
        there = np.frombuffer(data[: len(data) // 8 * 8], dtype=np.uint64)
        bits[first : first + len(there)] = there
    idle[known] = (bits[row] >> page_frames[known] % _WORD & np.uint64(1)) > 0
    return idle


def mark_idle(fs: KernelFs, page_frames: Frames) -> Answer:
    """Mark frames idle, and no others; the first refusal ends it."""
    known = page_frames[page_frames > 0]
    words, row = np.unique(known // _WORD, return_inverse=True)
    bits = np.zeros(len(words), dtype=np.uint64)
    np.bitwise_or.at(bits, row, np.uint64(1) << known % _WORD)
    for first, last in _runs(words):
        answer = fs.set_idle_bits(int(words[first]) * 8, bits[first:last].tobytes())
        if answer is not Answer.DONE:
            return answer
    return Answer.DONE


def _runs(words: Frames) -> list[tuple[int, int]]:
    """Where stretches of consecutive words begin and end: each takes one call."""
    if not len(words):
        return []
    cuts = np.flatnonzero(np.diff(words) != 1) + 1
    edges = [0, *cuts.tolist(), len(words)]
    return list(pairwise(edges))
