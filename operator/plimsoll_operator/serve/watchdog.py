"""How long the event loop is held: every webhook and every lease renewal waits for as long.

In: the running loop. Out: the longest hold of the last minute and a count of those above 50 ms, as metrics.
A task that wants to wake every ten milliseconds sees each hold as its own delay.
"""

import asyncio
import math
from collections import deque

from plimsoll_operator.serve.metrics import Metrics

PERIOD_SECONDS = 0.01  # a hold is seen up to this much too short
LONG_HOLD_SECONDS = 0.05
WINDOW_SECONDS = 60.0


class LoopWatchdog:
    """Measures holds of the loop it runs in."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._recent: deque[tuple[float, float]] = deque()  # (loop time, hold), holds falling
        self.longest_seconds = 0.0  # since the start

    async def run(self) -> None:
        """Measure for ever."""
        loop = asyncio.get_running_loop()
        while True:
            began = loop.time()
            await asyncio.sleep(PERIOD_SECONDS)
            now = loop.time()
            self.take(now, max(0.0, now - began - PERIOD_SECONDS))

    def take(self, now_seconds: float, hold_seconds: float) -> None:
        """Take one measurement; the gauge shows the maximum of the window."""
        self.longest_seconds = max(self.longest_seconds, hold_seconds)
        if hold_seconds > LONG_HOLD_SECONDS:
            self._metrics.count("plimsoll_event_loop_holds_total")
        while self._recent and self._recent[-1][1] <= hold_seconds:
            self._recent.pop()
        self._recent.append((now_seconds, hold_seconds))
        while self._recent[0][0] < now_seconds - WINDOW_SECONDS:
            self._recent.popleft()
        shown = math.ceil(self._recent[0][1] * 1e6) / 1e6
        self._metrics.set("plimsoll_event_loop_hold_seconds_max", shown)
