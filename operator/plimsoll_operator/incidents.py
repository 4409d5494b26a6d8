"""What goes wrong, noted by whoever sees it and written behind the loop by the leader.

In: `Incident`s, from the loop, the desk and the memory's own task. Out: records of kind `incident`
(`plimsoll.store.incidents`), written in the memory's thread each half minute. Noting only puts down, at most
`MOST_NOTED`. Who does not lead keeps what it saw for an hour: the leader may be killed before it wrote the
same, and what both have seen is one record.
"""

import asyncio
import logging
import math
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from plimsoll.store.incidents import Incident, IncidentBook
from plimsoll.store.outlook import promises_of
from plimsoll.usage.sample import HOUR_SECONDS, Quantity
from plimsoll_operator.serve.metrics import Metrics

if TYPE_CHECKING:  # it needs the extra `redis`, which an operator without a memory does without
    from plimsoll.store.memory import Memory

logger = logging.getLogger(__name__)

MOST_NOTED = 2000
KEPT_SECONDS = HOUR_SECONDS  # of what is noted and not written
TIDY_SECONDS = HOUR_SECONDS
WEEK_SECONDS = 7 * 86_400.0
BROKEN_DEVIATIONS = 3.0  # a promise counts as broken where chance alone makes it so once in a thousand times
MEMORY = "(operator)/Redis/memory"  # whose: no namespace is called so
REDIS_QUIET_SECONDS = 600.0


def broken_promise(key: str, checkpoint: bytes, quantity: Quantity, now_seconds: float) -> Incident | None:
    """Where a container exceeded its forecasts far more often than they said; None where it did not."""
    kept = promises_of(checkpoint, quantity)
    if kept is None:
        return None
    hours, promised, exceeded, shift = kept
    if exceeded < 1.0 + promised + BROKEN_DEVIATIONS * math.sqrt(promised):
        return None
    return Incident(
        "promise-broken",
        key,
        now_seconds // HOUR_SECONDS * HOUR_SECONDS,
        f"its forecasts promised to be exceeded in {promised:.1f} of the last {hours:.0f} hours, and were in"
        f" {exceeded:.1f}",
        f"its buffer's forecasts are moved by {100 * math.expm1(shift):+.0f} %",
        quiet_seconds=WEEK_SECONDS,
    )


@dataclass(slots=True)
class Incidents:
    """One for the process."""

    memory: "Memory"
    leads: Callable[[], bool]
    metrics: Metrics | None = None
    _noted: dict[str, Incident] = field(default_factory=dict)
    _tidied: float = -math.inf
    _led: bool = False  # when it last wrote
    _redis: Incident | None = None  # of a Redis that is away since then
    _book: IncidentBook = field(init=False)

    def __post_init__(self) -> None:
        """A book of its own."""
        self._book = IncidentBook(self.memory)

    def note(self, incident: Incident) -> None:
        """Put down what went wrong; told again, the later word on what was done counts."""
        try:
            known = self._noted.get(incident.key)
        except (ValueError, OverflowError, OSError):
            return  # a moment that no calendar has
        if known is not None:
            self._noted[incident.key] = replace(known.joined(incident), done=incident.done or known.done)
        elif len(self._noted) < MOST_NOTED:
            self._noted[incident.key] = incident
        else:
            self._count({(incident.what, "dropped"): 1})

    async def write(self, now_seconds: float, *, last: bool = False) -> None:
        """Write what is noted, where we lead. Raises nothing.

        `last`: the process ends, and has given its Lease up already; what it saw as leader is its to tell.
        """
        leads = self.leads() or (last and self._led)
        self._led = leads
        noted, self._noted = self._noted, {}
        left = [*noted.values()]
        try:
            if leads:
                self._count(await asyncio.to_thread(self._written, left, now_seconds))
                left = []
        except Exception:  # what is not written waits for the next half minute
            self._count({("", "failed"): 1})
            logger.warning("%d incidents are not recorded", len(left), exc_info=True)
        for each in left:
            if now_seconds - each.at_seconds < KEPT_SECONDS:
                self.note(each)

    def _written(self, noted: list[Incident], now_seconds: float) -> Counter[tuple[str, str]]:
        if not 0 <= now_seconds - self._tidied < TIDY_SECONDS:
            self._book.tidy(now_seconds)
            self._tidied = now_seconds
        return self._book.record(noted, now_seconds)

    def redis(self, away: str, waiting: int, now_seconds: float) -> None:
        """What is known of the memory's Redis: why it is not asked ("": it is), and how many records wait."""
        if away and self._redis is None:
            self._redis = Incident(
                "redis-away",
                MEMORY,
                now_seconds,
                f"Redis of the fleet's memory is not asked, or takes nothing: {away}",
                f"what is known is read from the file, and {waiting} records wait in it",
                quiet_seconds=REDIS_QUIET_SECONDS,
            )
            self.note(self._redis)
        elif not away:
            self._redis = None

    def promises(self, key: str, checkpoint: bytes, quantity: Quantity, now_seconds: float) -> None:
        """Look at how a container's promises were kept, as its newest history says."""
        if (found := broken_promise(key, checkpoint, quantity, now_seconds)) is not None:
            self.note(found)

    def _count(self, counts: "dict[tuple[str, str], int] | Counter[tuple[str, str]]") -> None:
        if self.metrics is not None:
            for (what, outcome), count in counts.items():
                self.metrics.count("plimsoll_memory_incidents_total", count, what=what, outcome=outcome)
