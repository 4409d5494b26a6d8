"""Belady's optimum (1966): the page whose next use lies furthest ahead goes. Knows the future.

Resident pages stand in a heap by next use; entries that a later use has overtaken are thrown away when
they come up.
"""

import heapq

import numpy as np
import numpy.typing as npt

from plimsoll.replay.page_kernels.compiled import compiled


@compiled
def next_uses(rows: npt.NDArray[np.int32], pages: int) -> npt.NDArray[np.int64]:
    """int64[n]: where each page is referenced next; what never is, one behind the other, after the end."""
    after = np.empty(len(rows), np.int64)
    seen = np.full(pages, -1, np.int64)
    for at in range(len(rows) - 1, -1, -1):
        page = rows[at]
        after[at] = seen[page] if seen[page] >= 0 else len(rows) + page
        seen[page] = at
    return after


@compiled
def belady(rows: npt.NDArray[np.int32], pages: int, capacity: int) -> tuple[npt.NDArray[np.int32], int]:
    """Victims in order, and the number of misses."""
    after = next_uses(rows, pages)
    due = np.full(pages, -1, np.int64)  # next use of a resident page
    heap = [(np.int64(0), np.int32(0)) for _ in range(0)]
    victims = np.empty(len(rows), np.int32)
    resident = misses = gone = 0
    for at in range(len(rows)):
        page = rows[at]
        if due[page] < 0:
            misses += 1
            if resident >= capacity:
                while True:
                    negative, candidate = heapq.heappop(heap)
                    if due[candidate] == -negative:
                        break
                due[candidate] = -1
                victims[gone] = candidate
                gone += 1
            else:
                resident += 1
        due[page] = after[at]
        heapq.heappush(heap, (-after[at], page))
    return victims[:gone].copy(), misses
