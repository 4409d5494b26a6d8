"""Some pages of one process, marked idle together and asked together some seconds later.

In: windows of addresses (`plimsoll.pages.blocks.windows_of`), an open process. Out: addresses of pages that
were touched in between. Whoever came in, moved to another frame, or cannot be asked counts as touched: only
what surely was not touched is idle. A window in which nothing is resident says nothing of its block, so it
goes to where something is; where the whole block is empty, whatever of it comes in was touched.
"""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from plimsoll.pages.address_plan import Process
from plimsoll_nodeagent.kernelfs import Absence, Answer, KernelFs, KernelProcess, Ranges
from plimsoll_nodeagent.kernelfs.process import PAGE_BYTES
from plimsoll_nodeagent.sample.idle_bits import Frames, folios, frames_of, idle_frames, mark_idle

Addresses = NDArray[np.uint64]
_NONE: Addresses = np.zeros(0, dtype=np.uint64)


@dataclass(slots=True)
class Stretch:
    """`windows` within `wholes`, uint64[k, 2] each: start, length in bytes."""

    process: Process
    windows: Ranges
    wholes: Ranges
    marked: Frames = field(default_factory=lambda: _NONE)
    """The first frame of each page's folio when it was marked; 0: not resident."""
    empty: Ranges = field(default_factory=lambda: np.zeros((0, 2), dtype=np.uint64))
    """Blocks without any resident page then."""

    @property
    def pages(self) -> int:
        """Of all windows."""
        return int(self.windows[:, 1].sum()) // PAGE_BYTES

    def mark(self, fs: KernelFs, process: KernelProcess) -> Answer | Absence:
        """Mark the resident pages idle; DONE, or why not."""
        found = self._settled(process)
        if isinstance(found, Absence):
            return found
        self.marked = _folios(fs, found)
        return mark_idle(fs, np.unique(self.marked))

    def ask(self, fs: KernelFs, process: KernelProcess) -> Addresses | Absence:
        """Return the pages that were touched since they were marked, by their addresses."""
        found = frames_of(process, self.windows)
        came = frames_of(process, self.empty)
        idle = idle_frames(fs, self.marked)
        for each in (found, came, idle):
            if isinstance(each, Absence):
                return each
        assert not isinstance(found, Absence)
        assert not isinstance(came, Absence)
        now = _folios(fs, found)
        touched = (now > 0) & ((now != self.marked) | ~np.asarray(idle))
        return np.concatenate([_addresses(self.windows)[touched], _addresses(self.empty)[came > 0]])

    def _settled(self, process: KernelProcess) -> Frames | Absence:
        """Frames of the windows, once those that show nothing have gone to where something is."""
        found = frames_of(process, self.windows)
        if isinstance(found, Absence):
            return found
        row = np.repeat(np.arange(len(self.windows)), (self.windows[:, 1] // PAGE_BYTES).astype(np.int64))
        bare = np.bincount(row, found > 0, minlength=len(self.windows)) == 0
        for at in np.flatnonzero(bare & (self.wholes[:, 1] > self.windows[:, 1])).tolist():
            whole = frames_of(process, self.wholes[at : at + 1])
            if isinstance(whole, Absence):
                return whole
            if whole.any():
                self._go_to(at, int(np.flatnonzero(whole)[0]))
                bare[at] = False
        self.empty = self.wholes[bare]
        return frames_of(process, self.windows)

    def _go_to(self, at: int, page: int) -> None:
        """Let a window begin at a page of its block, or as near to it as the block's end allows."""
        last = (self.wholes[at, 1] - self.windows[at, 1]) // np.uint64(PAGE_BYTES)
        self.windows[at, 0] = self.wholes[at, 0] + np.uint64(min(page, int(last)) * PAGE_BYTES)


def _folios(fs: KernelFs, found: Frames) -> Frames:
    """The folios' first frames; the pages' own where flags are not shown: then most of a folio is touched."""
    firsts = folios(fs, found)
    return found if isinstance(firsts, Absence) else firsts


def _addresses(ranges: Ranges) -> Addresses:
    """[pages] of some ranges, in order."""
    pages = (ranges[:, 1] // PAGE_BYTES).astype(np.int64)
    number = np.arange(int(pages.sum())) - np.repeat(np.cumsum(pages) - pages, pages)
    return np.repeat(ranges[:, 0], pages) + number.astype(np.uint64) * np.uint64(PAGE_BYTES)
