"""Which rows still wait for their past out of Prometheus, and when each is asked for (again).

In: rows that are new, the Prometheus API, a budget of wall time per tick. Out: the pasts that came, and
words about those that did not. One request asks for one workload, a few workloads at a time; a failure is
tried again after two minutes, then four, up to half an hour; so is an answer that leaves a container out,
for a Prometheus that has lost half of its series looks just like one that never had them. A row waits, and
holds, until its past came or it has a day of its own.
"""

import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import httpx

from plimsoll.usage.sample import Quantity
from plimsoll.workload import ContainerKey, WorkloadRef
from plimsoll_operator.observe.backfill import ContainerPast, PastRequest, past_of
from plimsoll_operator.observe.prometheus import PrometheusApi
from plimsoll_operator.observe.source import SourceError

CONCURRENCY = 4
FIRST_RETRY_SECONDS = 120.0
LONGEST_RETRY_SECONDS = 1800.0

GroupKey = tuple[WorkloadRef, str, Quantity]  # workload, node class, quantity


@dataclass(frozen=True, slots=True)
class Loaded:
    """What one tick's backfill brought."""

    pasts: dict[int, ContainerPast] = field(default_factory=dict)  # row -> its past
    done: tuple[int, ...] = ()  # rows that wait no longer
    notices: tuple[str, ...] = ()


@dataclass(slots=True)
class _Group:
    """Rows of one workload that are asked for together."""

    rows: dict[int, str] = field(default_factory=dict)  # row -> container name
    attempts: int = 0
    not_before_seconds: float = 0.0


class PastLoader:
    """Asks Prometheus for the past of rows that have none."""

    def __init__(self, api: PrometheusApi, reach_seconds: float, budget_seconds: float) -> None:
        self._api = api
        self._reach_seconds = reach_seconds
        self._budget_seconds = budget_seconds
        self._groups: dict[GroupKey, _Group] = {}
        self._group_of: dict[int, GroupKey] = {}  # row -> its group
        self._pool = ThreadPoolExecutor(CONCURRENCY, thread_name_prefix="backfill")

    def want(self, row: int, key: ContainerKey, quantity: Quantity) -> None:
        """Remember that `row` waits for its past."""
        name = (key.workload, key.node_class, quantity)
        self._groups.setdefault(name, _Group()).rows[row] = key.container
        self._group_of[row] = name

    def drop(self, rows: Iterable[int]) -> None:
        """These rows do not wait (any longer): restored, or forgotten."""
        for row in rows:
            name = self._group_of.pop(row, None)
            if name is None:
                continue
            group = self._groups[name]
            del group.rows[row]
            if not group.rows:
                del self._groups[name]

    def waiting(self) -> tuple[int, ...]:
        """Return the rows that still wait."""
        return tuple(self._group_of)

    def due(self, now_seconds: float) -> tuple[int, ...]:
        """Return one row of each group that may be asked for now; its pods are needed for `load`."""
        return tuple(next(iter(group.rows)) for group in self._due_groups(now_seconds).values())

    def load(self, now_seconds: float, pods: dict[int, list[str]]) -> Loaded:
        """Ask for what is due until the budget is spent; `pods` are the live pods of the rows of `due`."""
        deadline = time.monotonic() + self._budget_seconds
        due = self._due_groups(now_seconds)
        requests = {
            name: PastRequest(name[0], name[1], tuple(pods.get(next(iter(group.rows)), ())), name[2])
            for name, group in due.items()
        }
        pasts: dict[int, ContainerPast] = {}
        done: list[int] = []
        notices: list[str] = []
        waiting = list(requests.items())
        while waiting and time.monotonic() < deadline:
            part, waiting = waiting[:CONCURRENCY], waiting[CONCURRENCY:]
            failures = 0
            for name, answer in self._pool.map(lambda item: (item[0], self._ask(item[1], now_seconds)), part):
                if isinstance(answer, str):
                    failures += 1
                    notices.append(self._failed(name, answer, now_seconds))
                    continue
                rows = self._groups[name].rows
                known = {row: answer[container] for row, container in rows.items() if container in answer}
                pasts |= known
                done += known
                if len(known) < len(rows):
                    missing = sorted({container for row, container in rows.items() if row not in known})
                    notices.append(self._failed(name, f"nothing of {', '.join(missing)}", now_seconds))
            if failures == len(part):
                break  # it is down or overloaded: no use in asking more now
        self.drop(done)
        return Loaded(pasts, tuple(done), _summed(notices))

    def close(self) -> None:
        """Stop the threads and close the connections."""
        self._pool.shutdown(wait=False, cancel_futures=True)
        self._api.close()

    def _due_groups(self, now_seconds: float) -> dict[GroupKey, _Group]:
        return {
            name: group for name, group in self._groups.items() if now_seconds >= group.not_before_seconds
        }

    def _ask(self, request: PastRequest, now_seconds: float) -> dict[str, ContainerPast] | str:
        try:
            return past_of(self._api, request, now_seconds - self._reach_seconds, now_seconds)
        except (httpx.HTTPError, SourceError) as error:
            return str(error) or type(error).__name__

    def _failed(self, name: GroupKey, why: str, now_seconds: float) -> str:
        group = self._groups[name]
        delay = min(FIRST_RETRY_SECONDS * 2**group.attempts, LONGEST_RETRY_SECONDS)
        group.attempts += 1
        group.not_before_seconds = now_seconds + delay
        return f"past of {name[0]} out of Prometheus: {why}; asked again in {delay:.0f} s"


def _summed(notices: list[str]) -> tuple[str, ...]:
    """Return the first three notices and how many more there were: Prometheus fails for all or for none."""
    return (*notices[:3], f"and {len(notices) - 3} more workloads") if len(notices) > 3 else tuple(notices)
