"""The engine's side of the pool: what is due goes out, what has come back goes into the books.

In: the desks of the stores (one per quantity) and a pool. Out: a `FitReport` for the metrics. One step a
tick, which never waits: answers that are not there yet come in a later one, and `auto` stands in.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from plimsoll_operator.forecasters.fits import failed
from plimsoll_operator.forecasters.pool import FitPool
from plimsoll_operator.forecasters.prophet_fit import missing_package

NOT_TAKEN = "the pool took no more"
SWITCHED_OFF = "the operator runs without forecast workers (--forecast-workers 0); auto stands in"


class Desk(Protocol):
    """Knows what is to be fitted when, and what becomes of the answers."""

    def due(self, now_seconds: float, most: int) -> Iterator[Any]:
        """At most `most` tasks."""
        ...

    def take(self, answer: Any) -> None:  # noqa: ANN401 -- of its own kind
        """An answer came in."""
        ...

    def count(self) -> Mapping[str, int]:
        """Rows by state, in one word each."""
        ...


@dataclass(frozen=True, slots=True)
class FitReport:
    """What happened to fits since the last tick."""

    depth: int = 0  # tasks taken and not yet answered
    seconds: tuple[float, ...] = ()  # wall time of each fit that succeeded
    failed: int = 0
    replaced: int = 0  # workers that died or hung
    rows: Mapping[str, int] = field(
        default_factory=dict
    )  # state in one word -> rows whose policy asks for it
    remarks: frozenset[str] = frozenset()  # what of policies' holidays could not be honoured, in new answers


class Desks:
    """Moves tasks and answers between desks and the pool."""

    def __init__(self, pool: FitPool | None, *, elsewhere: bool = False) -> None:
        """`elsewhere`: the pool's workers are on other machines, and need not the package here."""
        self._pool = pool
        self._out: dict[int, tuple[Desk, int]] = {}  # our ticket -> desk and its ticket
        self._tickets = 0
        self._replaced = 0
        here = "" if elsewhere else missing_package()
        self.refusal = SWITCHED_OFF if pool is None else here

    def step(self, desks: Iterable[Desk], now_seconds: float) -> FitReport:
        """Take answers in, hand out what is due as far as there is room."""
        pool = self._pool
        desks = tuple(desks)
        if pool is None:
            return FitReport(rows=_counted(desks))
        seconds, failures = [], 0
        remarks: set[str] = set()
        for answer in pool.collect():
            desk, ticket = self._out.pop(answer.ticket)
            desk.take(replace(answer, ticket=ticket))
            remarks |= set(answer.remarks)
            failures += bool(answer.failure)
            seconds += [] if answer.failure else [answer.seconds]
        for desk in desks:
            for task in desk.due(now_seconds, pool.room):
                if not pool.submit(replace(task, ticket=self._tickets + 1)):
                    desk.take(failed(task, NOT_TAKEN))  # else it would wait for an answer for ever
                    failures += 1
                    break
                self._tickets += 1
                self._out[self._tickets] = (desk, task.ticket)
        replaced, self._replaced = pool.replaced - self._replaced, pool.replaced
        return FitReport(pool.depth, tuple(seconds), failures, replaced, _counted(desks), frozenset(remarks))

    def close(self) -> None:
        """End the pool."""
        if self._pool is not None:
            self._pool.close()


def _counted(desks: Iterable[Desk]) -> dict[str, int]:
    total: Counter[str] = Counter()
    for desk in desks:
        total.update(desk.count())
    return dict(total)
