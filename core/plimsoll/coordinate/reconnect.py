"""When an agent tries again.

In: how often it has failed in a row, a number drawn evenly from [0, 1), and what the server asked for. Out:
seconds to wait. Full jitter, so that a fleet that lost its operator together does not come back together;
what the server asks for is never cut short.
Method: exponential back-off with full jitter (Brooker 2015).
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Backoff:
    """Bounds of the wait, seconds."""

    first_seconds: float = 1.0
    most_seconds: float = 30.0
    spread_fraction: float = 0.2  # of what a server asks for, added at random

    def wait_seconds(self, failures: int, drawn: float, asked_seconds: float = 0.0) -> float:
        """How long to wait after `failures` failures in a row (1: the first)."""
        if asked_seconds > 0.0:
            return asked_seconds * (1.0 + self.spread_fraction * drawn)
        doubled = self.first_seconds * 2.0 ** min(max(failures - 1, 0), 16)
        return max(0.05, drawn) * min(self.most_seconds, doubled)
