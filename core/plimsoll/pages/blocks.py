"""Addresses of several processes as blocks of equal size, which predictors number as pages.

In: ranges of addresses (mappings, monitored regions) of a container's processes. Out: block keys int64,
ascending: the process' number above, the block's number within it below; so neighbours in memory are
neighbours by key, and blocks of two processes never are. A block is a power of two of bytes, at least 64 KiB:
DAMON's regions are seldom finer, and a container's table stays below some thousand rows however large it is;
where there are many containers, below some hundred.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Keys = npt.NDArray[np.int64]
Addresses = npt.NDArray[np.uint64]

LEAST_BLOCK_BYTES = 64 << 10
AIMED_BLOCKS = 4096  # of a container when its block size is chosen; twice as many, and it is chosen anew
LEAST_AIMED_BLOCKS = 256
BLOCKS_OF_ALL = 1 << 15  # of all containers together: some 640 bytes of the agent's own memory each
BLOCK_BITS = 44  # of a key: blocks within a process' 2^57 addresses; above them its number
PROCESS_STEP = 1 << BLOCK_BITS


@dataclass(frozen=True, slots=True, eq=False)
class Spans:
    """Ranges of addresses: `starts`, `ends` uint64[n]."""

    starts: Addresses
    ends: Addresses

    @property
    def total_bytes(self) -> int:
        """All of them together."""
        return int((self.ends - self.starts).sum())


def aimed_blocks_for(containers: int) -> int:
    """How finely each of so many containers may be watched."""
    return min(AIMED_BLOCKS, max(LEAST_AIMED_BLOCKS, BLOCKS_OF_ALL // max(1, containers)))


def block_bytes_for(total_bytes: int, aimed_blocks: int = AIMED_BLOCKS) -> int:
    """The smallest block by which so much memory makes no more than `aimed_blocks`."""
    size = LEAST_BLOCK_BYTES
    while total_bytes > size * aimed_blocks:
        size *= 2
    return size


def keys_of(spans: Spans, block_bytes: int, process: int) -> Keys:
    """Keys int64[k], ascending without repeats, of every block that a span touches."""
    first = (spans.starts // np.uint64(block_bytes)).astype(np.int64)
    last = -(-spans.ends.astype(np.int64) // block_bytes)
    counts = np.maximum(last - first, 0)
    if not counts.sum():
        return np.zeros(0, np.int64)
    begins = np.repeat(first - np.concatenate([[0], np.cumsum(counts)[:-1]]), counts)
    return np.unique(begins + np.arange(int(counts.sum()))) + process * PROCESS_STEP


def overlapping(spans: Spans, others: Spans) -> Spans:
    """The parts that both have; each in order and without overlaps of its own."""
    if not len(spans.starts) or not len(others.starts):
        return Spans(np.zeros(0, np.uint64), np.zeros(0, np.uint64))
    begin = np.searchsorted(others.ends, spans.starts, side="right")
    end = np.searchsorted(others.starts, spans.ends, side="left")
    counts = np.maximum(end - begin, 0)
    left = np.repeat(np.arange(len(counts)), counts)
    right = np.arange(int(counts.sum())) + np.repeat(begin - np.cumsum(counts) + counts, counts)
    return Spans(
        np.maximum(spans.starts[left], others.starts[right]), np.minimum(spans.ends[left], others.ends[right])
    )


@dataclass(frozen=True, slots=True, eq=False)
class Windows:
    """A few pages of each block: `ranges` int64[k, 2] start and bytes, within `wholes` int64[k, 2]."""

    ranges: npt.NDArray[np.int64]
    wholes: npt.NDArray[np.int64]


def windows_of(
    spans: Spans, block_bytes: int, pages: int, draw: npt.NDArray[np.float64], page_bytes: int = 4096
) -> Windows:
    """Of every block that a span touches so many pages in a row, wherever `draw` (float64[>= 1] in [0, 1),
    used over and over) puts them; all of it where it has no more."""
    first = (spans.starts // np.uint64(block_bytes)).astype(np.int64)
    last = -(-spans.ends.astype(np.int64) // block_bytes)
    counts = np.maximum(last - first, 0)
    of = np.repeat(np.arange(len(counts)), counts)
    number = np.arange(int(counts.sum())) - np.repeat(np.cumsum(counts) - counts, counts) + first[of]
    starts = np.maximum(number * block_bytes, spans.starts.astype(np.int64)[of])
    ends = np.minimum((number + 1) * block_bytes, spans.ends.astype(np.int64)[of])
    there = (ends - starts) // page_bytes
    some = np.minimum(there, pages)
    skipped = (np.resize(draw, len(there)) * (there - some + 1)).astype(np.int64)
    ranges = np.stack([starts + skipped * page_bytes, some * page_bytes], axis=1)
    return Windows(ranges, np.stack([starts, there * page_bytes], axis=1))


def runs_of(keys: Keys) -> npt.NDArray[np.int64]:
    """[k, 2] stretches of consecutive keys: the first key, how many."""
    if not len(keys):
        return np.zeros((0, 2), np.int64)
    begins = np.flatnonzero(np.concatenate([[True], np.diff(keys) != 1]))
    return np.stack([keys[begins], np.diff(np.append(begins, len(keys)))], axis=1)


def process_of(keys: Keys) -> npt.NDArray[np.int64]:
    """[n] the number of the process that each key is of."""
    return keys >> BLOCK_BITS


def address_of(keys: Keys, block_bytes: int) -> Addresses:
    """[n] where each block begins."""
    return ((keys & (PROCESS_STEP - 1)) * block_bytes).astype(np.uint64)
