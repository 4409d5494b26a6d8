"""How long the event loop is held: every webhook and every lease renewal waits for as long.

In: a TimedEventLoop, whose selector says when it begins and when it stops waiting; all that lies between two
waits is one hold. Out: the longest hold of the last minute and a count of those above 50 ms, as metrics, once
in wall time (what callers feel) and once in processor time of the loop's own thread (what our code is to be
blamed for: on a busy machine the loop is also kept from running). Nothing wakes up only to measure.
"""

import asyncio
import math
import selectors
import time
from collections import deque
from collections.abc import Callable

from plimsoll_operator.serve.metrics import Metrics

SHOW_SECONDS = 1.0
SHORTEST_SECONDS = 0.001  # holds below are not kept: there is one at every event
LONG_HOLD_SECONDS = 0.05
WINDOW_SECONDS = 60.0


class TimedSelector(selectors.DefaultSelector):
    """Tells, each time the loop waits again, for how long it was busy."""

    told: Callable[[float, float, float], None] | None = None  # (loop time, wall seconds, processor seconds)
    _busy_since: tuple[float, float] | None = None

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """Wait as the selector does."""
        if self._busy_since is not None and self.told is not None:
            now = time.monotonic()
            self.told(now, now - self._busy_since[0], time.thread_time() - self._busy_since[1])
        events = super().select(timeout)
        self._busy_since = time.monotonic(), time.thread_time()
        return events


class TimedEventLoop(asyncio.SelectorEventLoop):
    """asyncio's own loop on a selector that measures."""

    def __init__(self) -> None:
        self.timed_selector = TimedSelector()
        super().__init__(self.timed_selector)


class Longest:
    """The longest of the last minute's measurements."""

    def __init__(self) -> None:
        self._recent: deque[tuple[float, float]] = deque()  # (loop time, hold), holds falling

    def take(self, now_seconds: float, hold_seconds: float) -> float:
        """Take one; return the longest of the window, rounded up to a microsecond."""
        while self._recent and self._recent[-1][1] <= hold_seconds:
            self._recent.pop()
        self._recent.append((now_seconds, hold_seconds))
        while self._recent[0][0] < now_seconds - WINDOW_SECONDS:
            self._recent.popleft()
        return math.ceil(self._recent[0][1] * 1e6) / 1e6


class LoopWatchdog:
    """Shows the holds of the loop it runs in; of a loop that does not measure it shows nothing."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._wall, self._cpu = Longest(), Longest()

    async def run(self) -> None:
        """Take what the loop's selector tells, for ever."""
        loop = asyncio.get_running_loop()
        if not isinstance(loop, TimedEventLoop):
            return
        loop.timed_selector.told = self._told
        try:
            while True:
                self.take(loop.time(), 0.0, 0.0)  # lets go of what is older than the window
                await asyncio.sleep(SHOW_SECONDS)
        finally:
            loop.timed_selector.told = None

    def take(self, now_seconds: float, hold_seconds: float, cpu_seconds: float) -> None:
        """Take one measurement; the gauges show the maximum of the window."""
        if hold_seconds > LONG_HOLD_SECONDS:
            self._metrics.count("plimsoll_event_loop_holds_total")
        if cpu_seconds > LONG_HOLD_SECONDS:
            self._metrics.count("plimsoll_event_loop_cpu_holds_total")
        wall = self._wall.take(now_seconds, hold_seconds)
        self._metrics.set("plimsoll_event_loop_hold_seconds_max", wall)
        cpu = self._cpu.take(now_seconds, cpu_seconds)
        self._metrics.set("plimsoll_event_loop_hold_cpu_seconds_max", cpu)

    def _told(self, now_seconds: float, hold_seconds: float, cpu_seconds: float) -> None:
        if hold_seconds >= SHORTEST_SECONDS:
            self.take(now_seconds, hold_seconds, cpu_seconds)
