"""Which huge-page-sized stretches of a process are wholly resident, anonymous, and not huge yet.

In: an open process and aligned ranges of addresses. Out: those stretches, as ranges of one huge page each.
Swapped or missing pages would be read or filled in by gathering, so one of them is enough to leave a stretch
alone. Which are huge already is told by PAGEMAP_SCAN (Linux 6.7); before that nobody knows, and they count as
not huge: to ask again for what is there costs a look of the kernel and changes nothing.
"""

import numpy as np

from plimsoll.pages.collapse import HUGE_PAGE_BYTES
from plimsoll_nodeagent.kernelfs import Absence, KernelProcess, PageKind, Ranges
from plimsoll_nodeagent.kernelfs.process import PAGE_BYTES
from plimsoll_nodeagent.sample.pagemap import FILE, PRESENT

MOST_UNITS = 256  # of one call: 512 MiB of address space, a megabyte of pagemap


def dense_units(process: KernelProcess, ranges: Ranges, most: int, passed: int = 0) -> Ranges | Absence:
    """Return at most so many units (start, length); looks at `MOST_UNITS` at most, after `passed` others."""
    units = _units(ranges)
    units = np.roll(units, -(passed % max(1, len(units))))[:MOST_UNITS]
    found: list[tuple[int, int]] = []
    for start in units.tolist():
        if len(found) == most:
            break
        words = process.pagemap(start, HUGE_PAGE_BYTES // PAGE_BYTES)
        if isinstance(words, Absence):
            return words
        whole = len(words) == HUGE_PAGE_BYTES // PAGE_BYTES
        if not whole or not ((words & PRESENT > 0) & (words & FILE == 0)).all():
            continue
        if not _is_huge(process, start):
            found.append((start, HUGE_PAGE_BYTES))
    return np.array(found, dtype=np.uint64).reshape(-1, 2)


def _is_huge(process: KernelProcess, start: int) -> bool:
    runs = process.scan(start, start + HUGE_PAGE_BYTES, PageKind.HUGE)
    return not isinstance(runs, Absence) and any(each.kind & PageKind.HUGE for each in runs)


def _units(ranges: Ranges) -> np.ndarray[tuple[int], np.dtype[np.uint64]]:
    """Starts of the aligned units that lie wholly within a range."""
    unit = HUGE_PAGE_BYTES
    found = [
        np.arange(-(-start // unit) * unit, (start + length) // unit * unit, unit, dtype=np.uint64)
        for start, length in ranges.tolist()
    ]
    return np.concatenate([*found, np.zeros(0, dtype=np.uint64)])
