"""Seconds that only go forward, out of a wall clock that may be set while one waits.

In: readings of a wall clock, about one a second. Out: seconds to measure spans with. A step back, or one
forward that no loop takes, is somebody setting the clock: it counts as one ordinary second, so that what had
a deadline neither ends at once nor waits for ten minutes more.
"""

LONGEST_STEP_SECONDS = 60.0  # a loop that hangs for longer is taken for a clock that was set
ORDINARY_SECONDS = 1.0


class SteadyClock:
    """One reader's."""

    def __init__(self) -> None:
        self._last: float | None = None
        self._steady = 0.0
        self.leaps_total = 0

    def read(self, now_seconds: float) -> float:
        """Steady seconds at this reading; they begin with the wall clock's first."""
        if self._last is None:
            self._steady = now_seconds
        else:
            step = now_seconds - self._last
            leapt = not 0.0 <= step <= LONGEST_STEP_SECONDS
            self.leaps_total += leapt
            self._steady += ORDINARY_SECONDS if leapt else step
        self._last = now_seconds
        return self._steady
