"""How the store is doing: what each level was asked, what it had, how long it took.

In: one outcome and its seconds at a time. Out: counts and latency histograms, as numbers that a shell may
serve as metrics. Nothing here looks at a clock.
"""

import threading
from collections import Counter, defaultdict
from dataclasses import dataclass, field

EDGES_SECONDS = (0.0001, 0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0)


@dataclass(slots=True)
class Latency:
    """A histogram of seconds; the last bucket has no upper edge."""

    buckets: list[int] = field(default_factory=lambda: [0] * (len(EDGES_SECONDS) + 1))
    total_seconds: float = 0.0

    def add(self, seconds: float) -> None:
        """One more."""
        self.buckets[sum(seconds > edge for edge in EDGES_SECONDS)] += 1
        self.total_seconds += seconds

    @property
    def count(self) -> int:
        """How many."""
        return sum(self.buckets)

    def quantile(self, level: float) -> float:
        """The upper edge of the bucket in which that share is reached; 0.0 where nothing was measured."""
        wanted, seen = level * self.count, 0
        for edge, count in zip((*EDGES_SECONDS, float("inf")), self.buckets, strict=True):
            seen += count
            if count and seen >= wanted:
                return edge
        return 0.0


class Measures:
    """Counts by (level, outcome) and latencies by (level, operation)."""

    def __init__(self) -> None:
        self.counts: Counter[tuple[str, str]] = Counter()
        self.latencies: defaultdict[tuple[str, str], Latency] = defaultdict(Latency)
        self._lock = threading.Lock()

    def count(self, level: str, outcome: str, by: int = 1) -> None:
        """`hit`, `miss`, `stale`, `error-slow`, `sent` ..."""
        with self._lock:
            self.counts[level, outcome] += by

    def took(self, level: str, operation: str, seconds: float) -> None:
        """One `get`, `put` ..."""
        with self._lock:
            self.latencies[level, operation].add(max(seconds, 0.0))
