"""kube-scheduler as modelled in one process: the same pods as the real one gets, in the same batches, and
clusters
of any size.

In: a draw of `bench/placement.py`, a number of nodes. Out: places, and figures of them with intervals: over
the seeds of what the scheduler decides at random, or over nodes (drawn with replacement) where there is one
run. Used by `bench/placement_scheduler.py` (is the model right?) and `bench/placement.py --part large`.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from placement_pods import ALONE, PAST_DAYS, PLACED, SEED, Drawn, draws
from plimsoll.placement.choose import COMFORT, Chooser
from plimsoll.placement.fit import empty_nodes
from plimsoll.placement.lanes import LANES, FloatArray, loads_of
from plimsoll.placement.preference import nodes_to_score, terms_for
from plimsoll.replay.kube_scheduler import NOWHERE, KubeScheduler, Places
from plimsoll.replay.series import BINS_PER_DAY
from report import Row

BATCH = 500  # pods whose preferences are made before the scheduler has bound them
COMMAND = "make bench-placement"
RESAMPLED = 1000

Figures = Mapping[str, tuple[float, str]]


class Preferences:
    """What the operator's webhook would say of one pod after the other."""

    def __init__(self, drawn: Drawn, nodes: int, capacity: float) -> None:
        past = drawn.fleet(ALONE).hourly_bytes[:, : PAST_DAYS * LANES]
        self._loads = loads_of(past)
        self._chooser = Chooser(empty_nodes(np.full(nodes, capacity), LANES), comfort=COMFORT)
        self._terms = terms_for(nodes_to_score(nodes) / nodes)

    def of(self, series: int, allowed: npt.NDArray[np.bool_]) -> list[int]:
        """Nodes for a pod, the best first."""
        ranked = self._chooser.prefer(self._loads.take([series]), self._terms, allowed)
        return [each.place for each in ranked]

    def went(self, series: int, place: int) -> None:
        """The pod is, or is expected, there."""
        self._chooser.add(place, self._loads.take([series]))

    def left(self, series: int, place: int) -> None:
        """It is not there after all."""
        self._chooser.add(place, self._loads.take([series]), -1.0)


class Webhook:
    """Preferences of a batch, made before the scheduler has bound any of it, and put right afterwards."""

    def __init__(self, drawn: Drawn, arm: str, nodes: int, capacity: float) -> None:
        self._drawn, self._nodes, self._capacity = drawn, nodes, capacity
        self._said = Preferences(drawn, nodes, capacity) if arm == PLACED else None
        self._requested = np.zeros(nodes)

    def batch(self, series: Sequence[int]) -> list[list[int]]:
        """Nodes for each pod of a batch."""
        return [self._one(each) for each in series]

    def settle(self, series: Sequence[int], wanted: Sequence[Sequence[int]], places: Sequence[int]) -> None:
        """Where the pods of the batch went."""
        for each, guess, place in zip(series, wanted, places, strict=True):
            request = self._drawn.own_bytes[each]
            if guess:
                self._requested[guess[0]] -= request
            if place != NOWHERE:
                self._requested[place] += request
            if self._said is None or (guess and place == guess[0]):
                continue
            if guess:
                self._said.left(each, guess[0])
            if place != NOWHERE:
                self._said.went(each, place)

    def _one(self, series: int) -> list[int]:
        if self._said is None:
            return []
        request = self._drawn.own_bytes[series]
        wanted = self._said.of(series, self._requested + request <= self._capacity)
        if wanted:
            self._said.went(series, wanted[0])
            self._requested[wanted[0]] += request
        return wanted


def order_of(pods: int) -> list[int]:
    """The order in which pods come."""
    return [int(each) for each in np.random.default_rng(SEED).permutation(pods)]


def batches(pods: int, series: int) -> list[list[tuple[int, int]]]:
    """(pod, its series) in the order in which they come, in batches; series are used again where pods are
    more.
    """
    order = order_of(pods)
    return [[(pod, pod % series) for pod in order[i : i + BATCH]] for i in range(0, pods, BATCH)]


def in_process(
    drawn: Drawn, arm: str, nodes: int, capacity: float, seed: int = SEED, pods: int | None = None
) -> Places:
    """[pods] places by the model."""
    scheduler = KubeScheduler(np.full(nodes, capacity), np.random.default_rng(seed))
    webhook = Webhook(drawn, arm, nodes, capacity)
    count = pods or len(drawn.own_bytes)
    places = np.full(count, NOWHERE, dtype=np.intp)
    for batch in batches(count, len(drawn.own_bytes)):
        series = [each for _, each in batch]
        wanted = webhook.batch(series)
        went = [
            scheduler.place(drawn.own_bytes[each], guess) for each, guess in zip(series, wanted, strict=True)
        ]
        webhook.settle(series, wanted, went)
        places[[pod for pod, _ in batch]] = went
    return places


def figures_of(drawn: Drawn, places: Places, nodes: int, capacity: float) -> "Outcome":
    """What came of places."""
    series = np.arange(len(places)) % len(drawn.own_bytes)
    placed = np.flatnonzero(places != NOWHERE)
    short = np.zeros(nodes)
    bins = range(PAST_DAYS * BINS_PER_DAY, drawn.usage_bytes.shape[1])
    for bin_ in bins:  # one by one: all at once is gigabytes
        used = np.bincount(places[placed], drawn.usage_bytes[series[placed], bin_], minlength=nodes)
        short += used > capacity
    requested = np.bincount(places[placed], drawn.own_bytes[series[placed]], minlength=nodes)
    return Outcome(short, requested, len(places) - len(placed))


class Outcome:
    """By node: bins in which it was short, what is requested on it; and pods without a node."""

    def __init__(self, short_bins: FloatArray, requested_bytes: FloatArray, unplaced: int) -> None:
        self._short, self._requested, self._unplaced = short_bins, requested_bytes, unplaced

    def figures(self, at: npt.NDArray[np.intp] | None = None) -> Figures:
        """All of them, or of nodes drawn with replacement."""
        short, requested = (each if at is None else each[at] for each in (self._short, self._requested))
        return {
            "nodes_used": (float((requested > 0).sum()), "nodes"),
            "unplaced": (float(self._unplaced), "pods"),
            "short_node_bins": (float(short.sum()), "bins"),
            "short_nodes": (float((short > 0).sum()), "nodes"),
            "requested_deviation": (float(requested.std() / requested.mean()), "of the mean"),
        }

    def interval(self, name: str) -> tuple[float, float]:
        """95 % of a figure, nodes drawn with replacement."""
        rng, n = np.random.default_rng(SEED), len(self._short)
        drawn = [self.figures(rng.integers(n, size=n))[name][0] for _ in range(RESAMPLED)]
        low, high = np.quantile(drawn, [0.025, 0.975])
        return float(low), float(high)


def capacity_for(drawn: Drawn, nodes: int, filled: float, pods: int | None = None) -> float:
    """What a node must have, for so much of all to be used at the peak of the sum."""
    used = drawn.usage_bytes[:, PAST_DAYS * BINS_PER_DAY :].sum(axis=0).max()
    return float(used * (pods or len(drawn.own_bytes)) / len(drawn.own_bytes) / nodes / filled)


def large_rows(
    traces: Path, nodes: int, pods: int, filled: float = 0.7, places: Callable[..., Places] = in_process
) -> list[Row]:
    """A large cluster by the model alone: with and without what placement says."""
    (drawn,) = draws(traces, min(pods, 10_000), 1)
    capacity, rows = capacity_for(drawn, nodes, filled, pods), []
    for arm in (ALONE, PLACED):
        outcome = figures_of(drawn, places(drawn, arm, nodes, capacity, pods=pods), nodes, capacity)
        for name, (value, unit) in outcome.figures().items():
            low, high = outcome.interval(name)
            rows.append(Row(f"placement.large.{nodes}.{arm}.{name}", value, unit, pods, COMMAND, low, high))
            print(
                f"{nodes} nodes, {pods} pods, {arm}: {name} {value:.4g} [{low:.4g}, {high:.4g}]", flush=True
            )
    return rows
