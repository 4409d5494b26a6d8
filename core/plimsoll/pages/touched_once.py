"""A leak as it looks at page level: memory that was touched once and never again, and that keeps growing.

In: over time, a container's anonymous memory, swapped out or not, and how much of it has been idle longer
than some minutes. Out: a hint with its growth, or nothing. It says earlier than growth of usage alone whether
growth is a leak: a cache that fills up is touched again. It is a hint for people, with no stated rate of
false alarms, and acts on nothing; the operator's leak tests (`plimsoll.leak`) state theirs.
"""

from collections import deque
from dataclasses import dataclass, field

import numpy as np

IDLE_SECONDS = 300.0
LEAST_SPAN_SECONDS = 1800.0
MOST_SAMPLES = 120
LEAST_GROWTH_RATIO = 0.05  # of usage over the span
# Of the growth of anonymous memory, the share that must lie in memory that went idle and stayed so.
LEAST_SHARE = 0.7
LEAST_RISING = 0.9  # of all steps


@dataclass(frozen=True, slots=True)
class LeakHint:
    """Memory that grows and is never looked at again."""

    growth_bytes_per_hour: float
    since_seconds: float


@dataclass(slots=True)
class TouchedOnce:
    """One container's history of idle anonymous memory; thinned out so that it spans hours."""

    _samples: deque[tuple[float, float, float]] = field(default_factory=lambda: deque(maxlen=MOST_SAMPLES))
    _every_seconds: float = 60.0

    def add(self, now_seconds: float, anon_bytes: float, idle_bytes: float) -> None:
        """Take in what is there now; more often than once a minute is passed over."""
        if self._samples and now_seconds < self._samples[-1][0]:
            self._samples.clear()  # the clock went back
        if not self._samples or now_seconds - self._samples[-1][0] >= self._every_seconds:
            self._samples.append((now_seconds, anon_bytes, idle_bytes))

    def hint(self) -> LeakHint | None:
        """The hint, if there is one."""
        if len(self._samples) < 10:
            return None
        at, anon, idle = np.array(self._samples).T
        span = float(at[-1] - at[0])
        grown, untouched = float(anon[-1] - anon[0]), float(idle[-1] - idle[0])
        rising = float(np.mean(np.diff(idle) >= 0))
        enough = span >= LEAST_SPAN_SECONDS and grown >= LEAST_GROWTH_RATIO * float(anon[-1])
        if not enough or untouched < LEAST_SHARE * grown or rising < LEAST_RISING:
            return None
        slope = float(np.polyfit(at - at[0], idle, 1)[0])
        return LeakHint(slope * 3600.0, float(at[0]))
