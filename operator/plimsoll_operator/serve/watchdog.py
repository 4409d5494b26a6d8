"""How long the event loop is held: every webhook and every lease renewal waits for as long.

In: the running loop. Out: the longest hold of the last minute and a count of those above 50 ms, as metrics,
once in wall time (what callers feel) and once in processor time of the loop's own thread (what our code is to
blame for: on a busy machine the loop is also kept from running). A task that wants to wake every ten
milliseconds sees each hold as its own delay.
"""

import asyncio
import math
import time
from collections import deque

from plimsoll_operator.serve.metrics import Metrics

PERIOD_SECONDS = 0.01  # a hold is seen up to this much too short
LONG_HOLD_SECONDS = 0.05
WINDOW_SECONDS = 60.0


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
    """Measures holds of the loop it runs in."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._wall, self._cpu = Longest(), Longest()

    async def run(self) -> None:
        """Measure for ever."""
        loop = asyncio.get_running_loop()
        while True:
            began, began_cpu = loop.time(), time.thread_time()
            await asyncio.sleep(PERIOD_SECONDS)
            now = loop.time()
            hold = max(0.0, now - began - PERIOD_SECONDS)
            self.take(now, hold, min(hold, max(0.0, time.thread_time() - began_cpu - PERIOD_SECONDS)))

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
