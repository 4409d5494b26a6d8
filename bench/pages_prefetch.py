"""Prefetch at demand: LRU in half the footprint, where a miss may bring more pages than it asked for.

In: one page trace. Out: refaults with and without prefetch, reads, and how many prefetched pages were used.
Four sources name candidates at each miss (and at the first use of a prefetched page): the aligned eight pages
around it, a stride that holds the majority of the last jumps, the pages that followed it last time (Markov),
and the stream of misses replayed from where it stood then. Only pages seen before can be read (swap). What a
candidate's sources, distance and region earned so far decides; a sample of candidates that were not read
teaches too. The bar rises with what was wasted, so that I/O stays below `MOST_WASTE` of what was needed.
A study, as its rows say: a node agent does not stand in the path of a fault. After Leap, and our notes.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numba as nb
import numpy as np
import numpy.typing as npt

from plimsoll.pages.trace import PageTrace

NEXT_LINE, STRIDE, MARKOV, STREAM = 1, 2, 4, 8
MOST_CANDIDATES = 48
REGION_LOG2 = 6
CELLS = 16 * 3 * 4  # sources x distance x the region's record
SAMPLE = 8  # one candidate in so many that are not read is watched
DECAY = 0.998  # of a cell's record, at each outcome
MOST_WASTE = 0.25
LEAST_PRECISION = 0.6
SLACK_PAGES = 16
JUMPS = 32
REPLAYED = 12  # pages of an earlier stream of misses


Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]

# What is counted, by place in `Memory.counts`.
REFAULTS, ISSUED, USED, PENDING, HELD, MISSES, QUEUE_BEGIN, QUEUE_END, DRAWN = range(9)
QUEUE_SIZE = 1 << 20


class Memory(NamedTuple):
    """The state of one run; arrays, so that compiled functions may change it."""

    page: Ints  # [n] addresses
    after: Ints  # [n] the LRU list
    before: Ints
    ends: Ints  # head, tail
    resident: Bools
    seen: Bools
    wanted: Bools  # was resident once and is not now: may be read
    read: Ints  # the cell that read it ahead, until it is used; -1
    watched: Ints  # the cell that would have; -1
    watched_at: Ints
    queue: Ints  # [QUEUE_SIZE, (page, miss)] what is watched, in order
    record: Floats  # [CELLS, (hits, outcomes)]
    region_rate: Floats
    counts: Ints


@dataclass(frozen=True, slots=True)
class DemandPrefetch:
    """Events over a whole trace."""

    refaults: int
    prefetched: int
    used: int

    @property
    def io_ratio(self) -> float:
        """Pages read again against those needed."""
        needed = self.refaults + self.used
        return (self.refaults + self.prefetched) / needed if needed else float("nan")


def demand_prefetch(trace: PageTrace, fraction: float, *, prefetch: bool) -> DemandPrefetch:
    """LRU at a fraction of the footprint, with the prefetcher or without."""
    pages = trace.pages.astype(np.int64)
    row_of = np.full(int(pages[-1]) + 1, -1, np.int32)
    row_of[pages] = np.arange(len(pages))
    memory = _memory(pages)
    _run(memory, trace.rows, row_of, trace.capacity_pages(fraction), prefetch)
    return DemandPrefetch(*(int(memory.counts[at]) for at in (REFAULTS, ISSUED, USED)))


def _memory(pages: Ints) -> Memory:
    """Empty."""
    n = len(pages)
    none = np.full(n, -1, np.int64)
    return Memory(
        pages,
        none.copy(),
        none.copy(),
        np.full(2, -1, np.int64),
        np.zeros(n, np.bool_),
        np.zeros(n, np.bool_),
        np.zeros(n, np.bool_),
        none.copy(),
        none.copy(),
        np.zeros(n, np.int64),
        np.zeros((QUEUE_SIZE, 2), np.int64),
        np.zeros((CELLS, 2)),
        np.full((int(pages[-1]) >> REGION_LOG2) + 1, 0.5),
        np.zeros(9, np.int64),
    )


@nb.njit(cache=True)
def _unlink(memory: Memory, page: int) -> None:
    """Take a page out of the LRU list."""
    a, b = memory.before[page], memory.after[page]
    if a >= 0:
        memory.after[a] = b
    else:
        memory.ends[0] = b
    if b >= 0:
        memory.before[b] = a
    else:
        memory.ends[1] = a


@nb.njit(cache=True)
def _push(memory: Memory, page: int) -> None:
    """Put a page at the head."""
    head = memory.ends[0]
    memory.before[page], memory.after[page] = -1, head
    if head >= 0:
        memory.before[head] = page
    memory.ends[0] = page
    if memory.ends[1] < 0:
        memory.ends[1] = page


@nb.njit(cache=True)
def _label(memory: Memory, cell: int, page: int, outcome: float) -> None:
    """One outcome of a cell and of the page's region."""
    memory.record[cell, 0] = memory.record[cell, 0] * DECAY + outcome
    memory.record[cell, 1] = memory.record[cell, 1] * DECAY + 1
    region = memory.page[page] >> REGION_LOG2
    memory.region_rate[region] += 0.1 * (outcome - memory.region_rate[region])


@nb.njit(cache=True)
def _load(memory: Memory, page: int, capacity: int) -> None:
    """Make a page resident, at the cost of the oldest where memory is full."""
    if memory.counts[HELD] >= capacity:
        victim = memory.ends[1]
        _unlink(memory, victim)
        memory.resident[victim], memory.wanted[victim] = False, True
        if memory.read[victim] >= 0:
            _label(memory, memory.read[victim], victim, 0.0)
            memory.read[victim] = -1
            memory.counts[PENDING] -= 1
    else:
        memory.counts[HELD] += 1
    _push(memory, page)
    memory.resident[page], memory.wanted[page] = True, False


@nb.njit(cache=True)
def _touch(memory: Memory, page: int, capacity: int) -> bool:
    """One reference; True where it is a miss or the first use of a page that was read ahead."""
    if not memory.resident[page]:
        memory.counts[REFAULTS] += memory.seen[page]
        memory.seen[page] = True
        if memory.watched[page] >= 0:
            _label(memory, memory.watched[page], page, 1.0)
            memory.watched[page] = -1
        _load(memory, page, capacity)
        return True
    _unlink(memory, page)
    _push(memory, page)
    if memory.read[page] < 0:
        return False
    memory.counts[USED] += 1
    memory.counts[PENDING] -= 1
    _label(memory, memory.read[page], page, 1.0)
    memory.read[page] = -1
    return True


@nb.njit(cache=True)
def _expire(memory: Memory, oldest: int) -> None:
    """What was watched since before the miss `oldest` and did not come would have been a waste."""
    counts, queue = memory.counts, memory.queue
    while counts[QUEUE_BEGIN] < counts[QUEUE_END] and queue[counts[QUEUE_BEGIN] % QUEUE_SIZE, 1] < oldest:
        page, at = queue[counts[QUEUE_BEGIN] % QUEUE_SIZE]
        if memory.watched[page] >= 0 and memory.watched_at[page] == at:
            _label(memory, memory.watched[page], page, 0.0)
            memory.watched[page] = -1
        counts[QUEUE_BEGIN] += 1


@nb.njit(cache=True)
def _watch(memory: Memory, page: int, cell: int) -> None:
    """Perhaps watch a candidate that is not read."""
    counts = memory.counts
    counts[DRAWN] = (counts[DRAWN] * 1103515245 + 12345) & 0x7FFFFFFF
    if memory.watched[page] >= 0 or (counts[DRAWN] >> 16) % SAMPLE:
        return
    if counts[QUEUE_END] - counts[QUEUE_BEGIN] >= QUEUE_SIZE:
        return
    memory.watched[page], memory.watched_at[page] = cell, counts[MISSES]
    memory.queue[counts[QUEUE_END] % QUEUE_SIZE, 0] = page
    memory.queue[counts[QUEUE_END] % QUEUE_SIZE, 1] = counts[MISSES]
    counts[QUEUE_END] += 1


@nb.njit(cache=True)
def _bar(counts: Ints) -> float:
    """The precision that a cell needs; higher, the more was wasted."""
    waste = counts[ISSUED] - counts[USED] - 0.5 * counts[PENDING]
    allowed = MOST_WASTE * (counts[REFAULTS] + counts[USED]) + SLACK_PAGES
    return LEAST_PRECISION + (1 - LEAST_PRECISION) * waste / allowed


@nb.njit(cache=True)
def _read_ahead(memory: Memory, found: Ints, count: int, capacity: int) -> None:
    """Read the candidates whose cell has earned it."""
    bar = _bar(memory.counts)
    for k in range(count):
        page = found[k, 0]
        cell = _cell(found[k, 1], found[k, 2], memory.region_rate[memory.page[page] >> REGION_LOG2])
        if (memory.record[cell, 0] + 1) / (memory.record[cell, 1] + 4) < bar:
            _watch(memory, page, cell)
            continue
        _load(memory, page, capacity)
        memory.read[page], memory.watched[page] = cell, -1
        memory.counts[ISSUED] += 1
        memory.counts[PENDING] += 1


@nb.njit(cache=True)
def _majority(jumps: Ints, at: int) -> int:
    """The jump that most of the last 8, 16 or 32 were; 0: none."""
    for width in (8, 16, 32):
        best, votes = 0, 0
        for k in range(width):
            jump = jumps[(at - 1 - k) % JUMPS]
            if votes == 0:
                best, votes = jump, 1
            else:
                votes += 1 if jump == best else -1
        held = 0
        for k in range(width):
            held += jumps[(at - 1 - k) % JUMPS] == best
        if held > width // 2:
            return best
    return 0


@nb.njit(cache=True)
def _add(found: Ints, count: int, page: int, source: int, distance: int, wanted: Bools) -> int:
    """One more candidate, or one more source of it. found: [k, (page, sources, distance)]."""
    if page < 0 or not wanted[page]:
        return count
    for k in range(count):
        if found[k, 0] == page:
            found[k, 1] |= source
            return count
    if count < MOST_CANDIDATES:
        found[count, 0], found[count, 1], found[count, 2] = page, source, distance
        count += 1
    return count


@nb.njit(cache=True)
def _candidates(
    memory: Memory, found: Ints, page: int, row_of: Ints, stride: int, follows: Ints, replayed: Ints
) -> int:
    """Fill `found` for a miss of `page`; how many there are."""
    count, at, last = 0, memory.page[page], len(row_of) - 1
    for near in range(at & ~7, min((at & ~7) + 8, last + 1)):
        if near != at:
            count = _add(found, count, row_of[near], NEXT_LINE, abs(near - at), memory.wanted)
    if stride:
        for k in range(1, 9):
            there = at + k * stride
            if 0 <= there <= last:
                count = _add(found, count, row_of[there], STRIDE, k, memory.wanted)
    step = page
    for k in range(4):
        if step < 0:
            break
        count = _add(found, count, follows[step, 0], MARKOV, k + 1, memory.wanted)
        count = _add(found, count, follows[step, 1], MARKOV, k + 1, memory.wanted)
        step = follows[step, 0]
    for k in range(len(replayed)):
        if replayed[k] != page:
            count = _add(found, count, replayed[k], STREAM, k + 1, memory.wanted)
    return count


@nb.njit(cache=True)
def _cell(sources: int, distance: int, rate: float) -> int:
    """Which cell such a candidate stands in."""
    near = 0 if distance <= 2 else (1 if distance <= 5 else 2)
    record = 0 if rate < 0.2 else (1 if rate < 0.5 else (2 if rate < 0.8 else 3))
    return (sources * 3 + near) * 4 + record


@nb.njit(cache=True)
def _run(memory: Memory, rows: Ints, row_of: Ints, capacity: int, prefetch: bool) -> None:  # noqa: FBT001
    """Walk through the references."""
    n, counts = len(memory.page), memory.counts
    follows, position_of = np.full((n, 2), -1, np.int64), np.full(n, -1, np.int64)
    stream, jumps = np.zeros(len(rows) + 1, np.int64), np.zeros(JUMPS, np.int64)
    found = np.zeros((MOST_CANDIDATES, 3), np.int64)
    last, position = -1, -1
    for page in rows:
        if not _touch(memory, page, capacity) or not prefetch:
            continue
        counts[MISSES] += 1
        misses = counts[MISSES]
        _expire(memory, misses - capacity // 2)
        jumps[misses % JUMPS] = memory.page[page] - memory.page[last] if last >= 0 else 0
        if position_of[page] >= 0:
            position = position_of[page]
        position = position + 1 if position >= 0 else -1
        replayed = stream[position : min(position + REPLAYED, misses)] if position >= 0 else stream[:0]
        stride = _majority(jumps, misses + 1)
        count = _candidates(memory, found, page, row_of, stride, follows, replayed)
        if last >= 0 and follows[last, 0] != page:
            follows[last, 1], follows[last, 0] = follows[last, 0], page
        position_of[page], stream[misses], last = misses, page, page
        _read_ahead(memory, found, count, capacity)
