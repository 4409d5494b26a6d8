"""Pauses of a container that an action did no good: the next one is twice as long, up to a bound.

In: who is to be left alone, and the time. Out: whether a pause lasts. Collapsing, demoting and moving between
NUMA nodes each keep one of these beside what they have on trial.
"""

import math
from dataclasses import dataclass, field


@dataclass(slots=True)
class DoublingPauses:
    """By container. `first_seconds`: its first pause; `longest_seconds`: what none exceeds."""

    first_seconds: float
    longest_seconds: float
    _until: dict[str, float] = field(default_factory=dict)
    _next_seconds: dict[str, float] = field(default_factory=dict)

    def last(self, name: str, now_seconds: float) -> bool:
        """Whether it is still to be left alone."""
        return now_seconds < self._until.get(name, -math.inf)

    def begin(self, name: str, now_seconds: float) -> None:
        """Leave it alone from now; the next pause is twice as long."""
        pause = self._next_seconds.get(name, self.first_seconds)
        self._next_seconds[name] = min(2.0 * pause, self.longest_seconds)
        self._until[name] = now_seconds + pause

    def forgive(self, name: str) -> None:
        """It did well: its next pause is a first one."""
        self._next_seconds.pop(name, None)

    def forget(self, present: frozenset[str]) -> None:
        """Forget containers that are gone."""
        for kept in (self._until, self._next_seconds):
            for name in kept.keys() - present:
                del kept[name]
