"""Prefetch by epochs: which pages that are out come back before they are asked for.

In: epoch after epoch of accessed bits, and what is out. Out: pages to bring back. Four sources make a page a
candidate: neighbours that stirred (next-line), a front that moves towards it (stride), pages last touched in
the same epoch that stirred (a cohort that returns together), and pages last touched just before it that
stirred (a stream replayed). Their readings make a cell; a cell may prefetch once it has earned it: of the
idle pages that stood in it, out or resident, enough were touched within four epochs. Resident pages teach as
well as absent ones, so the gate is learned without wasting a read.
"""

from collections import deque
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from plimsoll.pages.epochs import BoolArray, EpochBits, FloatArray, IntArray
from plimsoll.pages.idle import IdleClock
from plimsoll.pages.moving import Move

USEFUL_EPOCHS = 4  # a page touched this soon after it came back was worth it
LEAST_PRECISION = 0.6  # reads of the gate's kind that must have been worth it: lower costs more I/O
PRIOR_PAGES, PRIOR_HITS = 8.0, 1.0  # an unknown cell is worth little
DECAY_PER_EPOCH = 0.98
REACH_PAGES = 8  # how far a neighbour stirs a page
SHARE_EDGES = (0.02, 0.1, 0.3, 0.6)  # of a cohort
COUNT_EDGES = (1, 3, 6)  # of the neighbours on one side
CELLS = (len(COUNT_EDGES) + 1) ** 2 * (len(SHARE_EDGES) + 1) ** 2
NOTHING = np.empty(0, dtype=np.int64)


class EarnedPrefetch:
    """Over the pages numbered `page` [n]."""

    def __init__(self, page: npt.NDArray[np.integer]) -> None:
        self._page = page.astype(np.int64)
        self._clock = IdleClock(len(page))
        self._last = np.zeros(len(page), dtype=np.int64)
        self._gates: deque[IntArray] = deque(maxlen=USEFUL_EPOCHS)
        self._hits: FloatArray = np.zeros(CELLS)
        self._seen: FloatArray = np.zeros(CELLS)
        self._stirred_share = _Shares(NOTHING, np.zeros(0))

    def step(self, bits: EpochBits | None, out: BoolArray) -> IntArray:
        """Positions of pages to bring back; `out` [n] is after the epoch's page-outs."""
        age = self._clock.age()
        known = self._clock.touched
        if not self._clock.tick(bits) or bits is None:
            return NOTHING
        stirred = bits.accessed & known & (age >= 1)
        self._learn()
        cell = self._cells(stirred, known)
        self._last[bits.accessed] = self._clock.epoch
        idle = self._clock.touched & ~bits.accessed
        self._gates.append(np.where(idle, cell, -1))
        return np.flatnonzero(out & idle & (self._precision() >= LEAST_PRECISION)[cell])

    def follow(self, page: npt.NDArray[np.integer], arrived: BoolArray) -> None:
        """Go on over other pages [m], ascending; `arrived` [m]: new ones that are in memory already."""
        move = Move.between(self._page, page)
        self._page = page.astype(np.int64)
        self._clock.follow(move, arrived)
        self._last = move.carry(self._last, 0)
        self._gates = deque((move.carry(each, -1) for each in self._gates), maxlen=USEFUL_EPOCHS)

    def _learn(self) -> None:
        """Judge the cells of four epochs ago by what has been touched since, the epoch under way excluded."""
        if len(self._gates) < USEFUL_EPOCHS:
            return
        cell = self._gates[0]
        stood = cell >= 0
        hit = stood & (self._last > self._clock.epoch - 1 - USEFUL_EPOCHS)
        self._seen = self._seen * DECAY_PER_EPOCH + np.bincount(cell[stood], minlength=CELLS)
        self._hits = self._hits * DECAY_PER_EPOCH + np.bincount(cell[hit], minlength=CELLS)

    def _precision(self) -> FloatArray:
        precision: FloatArray = (self._hits + PRIOR_HITS) / (self._seen + PRIOR_PAGES)
        return precision

    def _cells(self, stirred: BoolArray, known: BoolArray) -> IntArray:
        """[n] the cell of each page: neighbours below and above, its cohort, the stream it may stand in."""
        below, above = self._neighbours(stirred)
        cohort, stream = self._cohorts(stirred, known)
        counts, shares = len(COUNT_EDGES) + 1, len(SHARE_EDGES) + 1
        cell = np.searchsorted(COUNT_EDGES, below, side="right") * counts
        cell = (cell + np.searchsorted(COUNT_EDGES, above, side="right")) * shares
        cell = (cell + np.searchsorted(SHARE_EDGES, cohort, side="right")) * shares
        return cell + np.searchsorted(SHARE_EDGES, stream, side="right")

    def _neighbours(self, stirred: BoolArray) -> tuple[IntArray, IntArray]:
        """[n] stirred pages within reach below and above each page."""
        at = self._page[stirred]
        begin, here = np.searchsorted(at, self._page - REACH_PAGES), np.searchsorted(at, self._page)
        end = np.searchsorted(at, self._page + REACH_PAGES, side="right")
        return here - begin, end - np.searchsorted(at, self._page, side="right")

    def _cohorts(self, stirred: BoolArray, known: BoolArray) -> tuple[FloatArray, FloatArray]:
        """[n] which share of the pages last touched in the same epoch stirred; and of those just before."""
        last, at = np.unique(self._last, return_inverse=True)  # few: not one for each epoch that ever was
        size = np.bincount(at[known], minlength=len(last))
        woken = np.bincount(at[stirred], minlength=len(last))
        share, earlier = _Shares(last, woken / np.maximum(size, 1)), self._stirred_share
        self._stirred_share = share
        before = [np.maximum(share.of(last - back), earlier.of(last - back)) for back in (1, 2)]
        return share.share[at], np.maximum(*before)[at]


@dataclass(frozen=True, slots=True)
class _Shares:
    """Which share of the pages that were last touched in an epoch stirred; 0 where there are none."""

    epochs: IntArray  # ascending
    share: FloatArray

    def of(self, epochs: IntArray) -> FloatArray:
        """[n] the shares of these epochs [n]."""
        if not len(self.epochs):
            return np.zeros(len(epochs))
        at = np.minimum(np.searchsorted(self.epochs, epochs), len(self.epochs) - 1)
        return np.where(self.epochs[at] == epochs, self.share[at], 0.0)
