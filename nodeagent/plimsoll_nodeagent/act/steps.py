"""Long actions in bounded steps: between two of them it is asked whether to go on.

In: ranges of addresses, a clock. Out: runs of them that are small enough, and stops: nobody's, and one that
comes when a turn's time is over. A system call cannot be stopped, so a step is as large as what may still go
on after somebody said stop.
"""

import time
from collections.abc import Callable, Iterator

import numpy as np

from plimsoll_nodeagent.kernelfs import Ranges

# Of moves and huge pages: ten milliseconds at ten microseconds a page.
STEP_BYTES = 4 << 20
# What the steps of one stage may take in one tick: the others' PSI is looked at every second.
TURN_SECONDS = 0.25
AT_ONCE = 1 << 62  # bytes: no steps
Stop = Callable[[], bool]


def never() -> bool:
    """Nobody says stop."""
    return False


def over_after(seconds: float, monotonic: Callable[[], float] = time.monotonic) -> Stop:
    """Say stop when so much time has passed from now on."""
    end = monotonic() + seconds
    return lambda: monotonic() >= end


def pieces(ranges: Ranges, most_bytes: int) -> Iterator[Ranges]:
    """Cut ranges (uint64[k, 2]: start, length) into runs of at most so many bytes, in the same order."""
    run: list[tuple[int, int]] = []
    left = most_bytes
    for start, length in ranges.tolist():
        done = 0
        while done < length:
            some = min(left, length - done)
            run.append((start + done, some))
            done, left = done + some, left - some
            if not left:
                yield np.array(run, np.uint64)
                run, left = [], most_bytes
    if run:
        yield np.array(run, np.uint64)
