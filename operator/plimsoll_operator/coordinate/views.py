"""What the agents have said of their containers, newest first to hand.

In: rosters, samples and forecasts, each under the node of the stream it came by. Out: one container's view. A
batch is kept as it came and looked into only when asked: five thousand nodes say thirty rows a second, and
few are ever asked for. Times are the operator's own, of when it heard: an agent's clock may be wrong. A node
has at most as many containers as a batch has rows, and none that uses more than the node has.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np

from plimsoll.coordinate.columns import MOST_ROWS, ColumnError
from plimsoll.coordinate.messages import (
    ForecastBatch,
    MessageError,
    OutcomeBatch,
    Roster,
    RosterEntry,
    SampleBatch,
    Unread,
)

Batch = TypeVar("Batch", SampleBatch, ForecastBatch)

# Older than this no word is taken for the present: three looks of an agent.
FRESH_SECONDS = 30.0
FORESEEN_SECONDS = 15.0  # a burst that was foreseen longer ago is over, or has been met
ABSURD_RATIO = 1.1  # of a node's capacity: no container uses more


@dataclass(frozen=True, slots=True)
class ContainerView:
    """One container as its agent sees it; None: not said."""

    heard_seconds: float
    usage_bytes: int | None
    working_set_bytes: int | None
    memory_max_bytes: int | None
    needed_bytes: int | None
    cold_bytes: int | None
    unsure_bytes: int | None = None


@dataclass(slots=True)
class _Node:
    entries: dict[int, RosterEntry] = field(default_factory=dict)
    indexes: dict[tuple[str, str], int] = field(default_factory=dict)  # pod uid, container id
    batch: SampleBatch | Unread | None = None
    heard_seconds: float = float("-inf")
    forecast: ForecastBatch | Unread | None = None
    foreseen_seconds: float = float("-inf")
    outcomes: OutcomeBatch | None = None


class Views:
    """All nodes."""

    def __init__(self) -> None:
        self._nodes: dict[str, _Node] = {}
        self._capacities: dict[str, int | None] = {}

    def greet(self, kube_node: str, roster: Roster) -> None:
        """A hello: its roster replaces all that was known of the node."""
        self._nodes[kube_node] = _Node()
        self.change(kube_node, roster)

    def change(self, kube_node: str, roster: Roster) -> None:
        """Containers came and went. Raises MessageError where a node would have more than any has."""
        node = self._nodes.setdefault(kube_node, _Node())
        for index in (*roster.removed, *(each.index for each in roster.added)):
            gone = node.entries.pop(index, None)
            if gone is not None:
                node.indexes.pop((gone.pod_uid, gone.container_id), None)
        if len(node.entries) + len(roster.added) > MOST_ROWS:
            raise MessageError(f"a roster of more than {MOST_ROWS} containers of one node")
        for each in roster.added:
            node.entries[each.index] = each
            node.indexes[each.pod_uid, each.container_id] = each.index

    def take(self, kube_node: str, batch: SampleBatch | ForecastBatch | Unread, now_seconds: float) -> None:
        """The newest samples or forecasts of a node."""
        node = self._nodes.setdefault(kube_node, _Node())
        if isinstance(batch, ForecastBatch) or (isinstance(batch, Unread) and batch.foresees):
            node.forecast, node.foreseen_seconds = batch, now_seconds
        else:
            node.batch, node.heard_seconds = batch, now_seconds

    def limit_reached_seconds(
        self, kube_node: str, pod_uid: str, container_id: str, now_seconds: float
    ) -> float | None:
        """In how long a container meets its limit as it grows, by its agent's last word of a moment ago.

        None where it does not, within what agents foresee, or nothing is said.
        """
        found = self._ahead(kube_node, pod_uid, container_id, "limit_reached_milliseconds", now_seconds)
        return None if found is None else found / 1000.0

    def pressure_probability(
        self, kube_node: str, pod_uid: str, container_id: str, now_seconds: float
    ) -> float:
        """How likely memory pressure is within seconds, in a container or on its node, whichever is likelier.

        By its agent's last word of a moment ago; 0 where nothing is said.
        """
        own = self._ahead(kube_node, pod_uid, container_id, "pressure_probability_ppm", now_seconds)
        batch = self._fresh_forecast(kube_node, now_seconds)
        of_node = None if batch is None else batch.kube_node_pressure
        return max((own or 0.0) / 1e6, of_node or 0.0)

    def _ahead(
        self, kube_node: str, pod_uid: str, container_id: str, name: str, now_seconds: float
    ) -> float | None:
        """What is foreseen of a container, in one column."""
        node, batch = self._nodes.get(kube_node), self._fresh_forecast(kube_node, now_seconds)
        index = None if node is None else node.indexes.get((pod_uid, container_id))
        if batch is None or index is None:
            return None
        column, rows = batch.columns.get(name), np.flatnonzero(batch.indexes == index)
        if column is None or len(rows) != 1 or not math.isfinite(found := float(column[rows[0]])):
            return None
        return found

    def _fresh_forecast(self, kube_node: str, now_seconds: float) -> ForecastBatch | None:
        node = self._nodes.get(kube_node)
        if node is None or not abs(now_seconds - node.foreseen_seconds) <= FORESEEN_SECONDS:
            return None
        return _foreseen(node)

    def entry(self, kube_node: str, index: int) -> RosterEntry | None:
        """Which container an index of a node stands for."""
        node = self._nodes.get(kube_node)
        return None if node is None else node.entries.get(index)

    def containers(self, kube_node: str) -> frozenset[tuple[str, str]]:
        """Pod and container ids of everything that a node's agent has named."""
        node = self._nodes.get(kube_node)
        return frozenset() if node is None else frozenset(node.indexes)

    def container(self, kube_node: str, pod_uid: str, container_id: str) -> ContainerView | None:
        """What a node's agent says of a container.

        None where it says nothing, or what cannot be; and where nobody knows what the node has.
        """
        node, capacity_bytes = self._nodes.get(kube_node), self._capacities.get(kube_node)
        batch = None if node is None else _read(node)
        if node is None or batch is None:
            return None
        index = node.indexes.get((pod_uid, container_id))
        if index is None:
            return None
        rows = np.flatnonzero(batch.indexes == index)
        if len(rows) != 1:
            return None
        view = _view(batch, int(rows[0]), node.heard_seconds)
        if capacity_bytes is None or view.usage_bytes is None:
            return None
        return view if view.usage_bytes <= capacity_bytes * ABSURD_RATIO else None

    def available_bytes(self, kube_node: str, now_seconds: float) -> int | None:
        """What a node has left now, by its agent's fresh word; None where it has not said.

        0 is what agents say that could not read it; a node that has really nothing left is no better known.
        """
        node = self._nodes.get(kube_node)
        if node is None or not abs(now_seconds - node.heard_seconds) <= FRESH_SECONDS:
            return None
        batch = _read(node)
        return None if batch is None or batch.available_bytes <= 0 else batch.available_bytes

    def reclaimed(self, kube_node: str, batch: OutcomeBatch) -> None:
        """What reclaim has done on a node since its agent started: the newest totals say it all."""
        self._nodes.setdefault(kube_node, _Node()).outcomes = batch

    def reclaimed_bytes(self) -> tuple[float, float]:
        """Bytes taken and come back, on all nodes whose agents are known."""
        found = [each.outcomes for each in self._nodes.values() if each.outcomes is not None]
        taken, returned = ("taken_bytes_total", "returned_bytes_total")
        return _total(found, taken), _total(found, returned)

    def keep_only(self, kube_nodes: Mapping[str, int | None]) -> None:
        """The nodes that there are, with their capacities in bytes; the others are forgotten."""
        self._capacities = dict(kube_nodes)
        self._nodes = {name: each for name, each in self._nodes.items() if name in kube_nodes}


def _read(node: _Node) -> SampleBatch | None:
    """The newest samples of a node, looked into at the first question; None where they make no sense."""
    node.batch = _opened(node.batch, SampleBatch)
    return node.batch


def _foreseen(node: _Node) -> ForecastBatch | None:
    """The same of forecasts."""
    node.forecast = _opened(node.forecast, ForecastBatch)
    return node.forecast


def _opened(kept: Batch | Unread | None, kind: type[Batch]) -> Batch | None:
    """What is kept as it came, read; None where it makes no sense, or is of another kind."""
    if not isinstance(kept, Unread):
        return kept
    try:
        read = kept.read()
    except (MessageError, ColumnError):
        return None
    return read if isinstance(read, kind) else None


def _view(batch: SampleBatch, row: int, heard_seconds: float) -> ContainerView:
    def value(name: str) -> int | None:
        column = batch.columns.get(name)
        found = math.nan if column is None else float(column[row])
        return int(found) if math.isfinite(found) else None

    names = (
        "usage_bytes",
        "working_set_bytes",
        "memory_max_bytes",
        "needed_bytes",
        "cold_bytes",
        "unsure_bytes",
    )
    return ContainerView(heard_seconds, *(value(name) for name in names))


def _total(batches: list[OutcomeBatch], name: str) -> float:
    columns = (each.columns[name] for each in batches if name in each.columns)
    return float(sum(np.nansum(each) for each in columns))
