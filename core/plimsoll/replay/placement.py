"""Replays recorded containers as pods of a cluster: where each scheduler puts them, which nodes run short.

In: a `Fleet` (usage of P pods, five-minute maxima on one clock, requests), a number of nodes, who places.
Out: `PlacementOutcome`: pods that found no node, node-bins in which the sum of usage exceeds what a node has.
Pods come in random order when the past is over, and every hour some are recreated, as rollouts do; who
places knows only what was used before. Memory alone is counted. The scheduler is modelled by what decides in
kube-scheduler where only memory differs (`KubeScheduler`; `bench/placement_scheduler.py` compares it with the
real one).
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from plimsoll.placement.choose import DEFAULT_BOUND, Chooser
from plimsoll.placement.fit import NodeLoads, empty_nodes, put
from plimsoll.placement.guard import LoadJudge
from plimsoll.placement.lanes import LANES, PAST_HOURS, FloatArray, Loads, Shared, loads_of
from plimsoll.placement.preference import nodes_to_score, terms_for, weights_of
from plimsoll.placement.together import KinArray, ReplicaErrors
from plimsoll.replay.series import BINS_PER_HOUR

Places = npt.NDArray[np.intp]
NOWHERE = -1
MOST_PODS = 110  # the kubelet's own default
MAX_SCORE = 100
AFFINITY_WEIGHT = 2  # of NodeAffinity against NodeResourcesFit in kube-scheduler's defaults
SCORED_POD_CORES, NODE_CORES = 0.1, 32.0


@dataclass(frozen=True, slots=True)
class Fleet:
    """P pods on one clock."""

    usage_bytes: FloatArray  # [P, bins] 0 where a pod does not run
    past_bins: int  # what lies before the first placement: whole hours
    request_bytes: FloatArray  # [P]
    kin: KinArray | None = None  # [P] a number, from 0 on, for all replicas of a workload; None: none has any
    # True: as the operator counts pods, by the largest of their workload's replicas in each hour; False: each
    # by its own past.
    by_workload: bool = False

    @property
    def hourly_bytes(self) -> FloatArray:
        """[P, hours] maxima."""
        n, bins = self.usage_bytes.shape
        hours = bins // BINS_PER_HOUR
        cut = self.usage_bytes[:, : hours * BINS_PER_HOUR]
        return np.asarray(cut.reshape(n, hours, BINS_PER_HOUR).max(axis=2))


@dataclass(frozen=True, slots=True)
class PlacementSettings:
    """How a replay places."""

    placing: bool = True  # False: the scheduler alone
    bound: float = DEFAULT_BOUND
    recreated_an_hour: float = 0.02  # share of the pods
    shuffled: bool = False  # forecasts of other pods: what happens when all are wrong
    guarded: bool = True  # False: forecasts are followed however wrong (for comparison only)
    seed: int = 7


@dataclass(frozen=True, slots=True)
class PlacementOutcome:
    """What came of it."""

    nodes: int
    unplaced: int  # pods that found no node, at any time
    short_node_bins: int  # node-bins in which usage exceeded the capacity
    node_bins: int
    short_nodes: int  # nodes that were short at least once
    placements: int = 0
    unopinionated: int = 0  # of them those left to the scheduler
    heeded: int = 0  # pods on the very node that was preferred most
    promised: tuple[float, ...] = field(default=(), repr=False)  # short_after of each choice


class KubeScheduler:
    """What kube-scheduler does with bare pods that differ in memory alone.

    Source: kube-scheduler 1.37, default profile: NodeResourcesFit (filter; LeastAllocated, for which a pod
    without a CPU request counts as 100m), NodeResourcesBalancedAllocation (by what is requested, and only by
    how the pod changes the balance), NodeAffinity (weight 2); of many nodes some feasible ones are scored
    (`percentageOfNodesToScore` 0), beginning where it left off.
    """

    def __init__(self, capacity_bytes: FloatArray, rng: np.random.Generator) -> None:
        self.capacity_bytes = capacity_bytes
        self.requested_bytes = np.zeros(len(capacity_bytes))
        self.pods = np.zeros(len(capacity_bytes), dtype=np.int64)
        self._rng = rng
        self._start = 0

    def feasible(self, request_bytes: float) -> npt.NDArray[np.bool_]:
        """[N] nodes that the filter lets through."""
        room = self.requested_bytes + request_bytes <= self.capacity_bytes
        return np.asarray(room & (self.pods < MOST_PODS), dtype=np.bool_)

    def place(self, request_bytes: float, preferred: Sequence[int] = ()) -> int:
        """The node with the best score, or NOWHERE; the pod is counted there. `preferred`: best first."""
        scored = self._scored(self.feasible(request_bytes))
        if not len(scored):
            return NOWHERE
        score = self._score(scored, request_bytes) + self._affinity(scored, preferred)
        best = scored[score == score.max()]
        place = int(best[self._rng.integers(len(best))])
        self.requested_bytes[place] += request_bytes
        self.pods[place] += 1
        return place

    def remove(self, place: int, request_bytes: float) -> None:
        """A pod is gone."""
        self.requested_bytes[place] -= request_bytes
        self.pods[place] -= 1

    def _scored(self, feasible: npt.NDArray[np.bool_]) -> Places:
        n = len(feasible)
        order = (self._start + np.arange(n)) % n
        found = np.flatnonzero(feasible[order])[: nodes_to_score(n)]
        enough = len(found) == nodes_to_score(n)
        self._start = (self._start + (int(found[-1]) + 1 if enough else n)) % n
        return np.asarray(order[found], dtype=np.intp)

    def _score(self, scored: Places, request_bytes: float) -> FloatArray:
        before = self.requested_bytes[scored] / self.capacity_bytes[scored]
        memory = before + request_bytes / self.capacity_bytes[scored]
        cpu = np.minimum((self.pods[scored] + 1) * SCORED_POD_CORES / NODE_CORES, 1.0)
        least = np.floor((_points(1 - memory) + _points(1 - cpu)) / 2)
        # Nobody requests CPU here: the balance is off by half of what memory is requested.
        change = _points(1 - memory / 2) - _points(1 - before / 2)
        balanced = MAX_SCORE / 2 + np.floor((MAX_SCORE / 2 + change) / 2)
        return np.asarray(least + balanced)

    def _affinity(self, scored: Places, preferred: Sequence[int]) -> FloatArray:
        raw = np.zeros(len(self.capacity_bytes))
        for place, weight in zip(preferred, weights_of(len(preferred)), strict=True):
            raw[place] = weight
        found = raw[scored]
        highest = found.max(initial=0.0)
        return AFFINITY_WEIGHT * np.floor(MAX_SCORE * found / highest) if highest > 0 else found


def _points(share: FloatArray) -> FloatArray:
    """Whole points of a share; the scheduler counts in integers, so a rounding error must not cost one."""
    return np.floor(MAX_SCORE * share + 1e-9)


def replay_placement(
    fleet: Fleet, nodes: int, capacity_bytes: float, settings: PlacementSettings | None = None
) -> PlacementOutcome:
    """Place all pods on `nodes` equal nodes and see which run short."""
    return _Run(fleet, np.full(nodes, capacity_bytes), settings or PlacementSettings()).run()


class _Run:
    def __init__(self, fleet: Fleet, capacity_bytes: FloatArray, settings: PlacementSettings) -> None:
        self._fleet, self._settings, self._capacity = fleet, settings, capacity_bytes
        self._rng = np.random.default_rng(settings.seed)
        self._scheduler = KubeScheduler(capacity_bytes, self._rng)
        self._hourly = fleet.hourly_bytes
        self._places: Places = np.full(len(fleet.request_bytes), NOWHERE, dtype=np.intp)
        self._rows = _Rows(fleet.kin, self._hourly) if fleet.by_workload and fleet.kin is not None else None
        # By dice of its own: where nothing is said, what comes must be what comes without.
        mixed = np.random.default_rng([settings.seed, 1]).permutation(len(self._places))
        self._mixed = mixed if settings.shuffled else None
        self._judge = LoadJudge()
        self._names = [str(place) for place in range(len(capacity_bytes))]
        self._unplaced: set[int] = set()
        self._placements = self._left_alone = self._heeded = 0
        self._terms = terms_for(nodes_to_score(len(capacity_bytes)) / len(capacity_bytes))
        self._promised: list[float] = []

    def run(self) -> PlacementOutcome:
        hours = self._hourly.shape[1]
        first = self._fleet.past_bins // BINS_PER_HOUR
        short = np.zeros(len(self._capacity), dtype=np.int64)
        if self._settings.placing:
            self._hindcast(first)
        for hour in range(first, hours):
            loads = self._loads(hour) if self._settings.placing else None
            self._hour(hour, first, loads)
            used = self._used(hour)
            short += (used > self._capacity[:, None]).sum(axis=1)
            if loads is not None:
                self._learn(hour, loads, used)
        return PlacementOutcome(
            nodes=len(self._capacity),
            unplaced=len(self._unplaced),
            short_node_bins=int(short.sum()),
            node_bins=len(short) * (hours - first) * BINS_PER_HOUR,
            short_nodes=int((short > 0).sum()),
            placements=self._placements,
            unopinionated=self._left_alone,
            heeded=self._heeded,
            promised=tuple(self._promised),
        )

    def _hour(self, hour: int, first: int, loads: Loads | None) -> None:
        """The pods that are created at the beginning of an hour find their nodes."""
        n = len(self._places)
        if hour == first:
            coming = self._rng.permutation(n)
        else:
            coming = self._rng.permutation(n)[: round(n * self._settings.recreated_an_hour)]
            for pod in coming.tolist():
                if self._places[pod] != NOWHERE:
                    self._scheduler.remove(self._places[pod], self._fleet.request_bytes[pod])
                    self._places[pod] = NOWHERE
        trusted = not self._settings.guarded or self._judge.trusted
        chooser = self._chooser(loads) if loads is not None and trusted else None
        for pod in coming.tolist():
            self._place(pod, chooser, loads)

    def _place(self, pod: int, chooser: Chooser | None, loads: Loads | None) -> None:
        request, one, ranked = self._fleet.request_bytes[pod], None, []
        if chooser is not None and loads is not None:
            one = loads.take([pod])
            ranked = chooser.rank(one, self._terms, self._scheduler.feasible(request))
        preferred = [each.place for each in ranked]
        self._placements += 1
        self._left_alone += not ranked
        place = self._scheduler.place(request, preferred)
        self._places[pod] = place
        if place == NOWHERE:
            self._unplaced.add(pod)
        elif chooser is not None and one is not None:
            chooser.add(place, one)
            self._heeded += place in preferred[:1]
            self._promised += [each.short_after for each in ranked if each.place == place]

    def _loads(self, hour: int) -> Loads:
        if self._rows is not None:
            return self._rows.loads(hour, self._mixed)
        past = self._hourly[:, max(0, hour - PAST_HOURS) : hour]
        return loads_of(past if self._mixed is None else past[self._mixed], self._fleet.kin)

    def _chooser(self, loads: Loads) -> Chooser:
        return Chooser(self._sums(loads), self._settings.bound)

    def _sums(self, loads: Loads) -> NodeLoads:
        sums = empty_nodes(self._capacity, LANES)
        placed = np.flatnonzero(self._places != NOWHERE)
        put(sums, loads.take(placed), self._places[placed])
        sums.inflation[:] = self._judge.inflation_of(self._names)
        return sums

    def _used(self, hour: int) -> FloatArray:
        """[N, 12] what each node used in each bin of an hour."""
        bins = slice(hour * BINS_PER_HOUR, (hour + 1) * BINS_PER_HOUR)
        used = np.zeros((len(self._capacity), BINS_PER_HOUR))
        placed = self._places != NOWHERE
        np.add.at(used, self._places[placed], self._fleet.usage_bytes[placed, bins])
        return used

    def _hindcast(self, hour: int) -> None:
        """What would have been said a day ago, against what came."""
        if hour < 2 * LANES:
            return
        said, came = self._loads(hour - LANES).mean_bytes, self._hourly[:, hour - LANES : hour]
        if self._rows is None:
            self._judge.hindcast(said, self._fleet.request_bytes, came)
            return
        one = self._rows.one_each  # the operator asks of each row once
        self._judge.hindcast(said[one], self._rows.most(self._fleet.request_bytes), self._rows.came(hour))
        for lane in range(LANES):
            self._rows.learn(came[:, lane] - said[:, lane])

    def _learn(self, hour: int, loads: Loads, used: FloatArray) -> None:
        sums = self._sums(loads)
        requested = self._scheduler.requested_bytes
        said = sums.mean_bytes[:, 0], sums.variance[:, 0]
        self._judge.hour(*said, requested, used.max(axis=1), self._names)
        if self._rows is not None:
            self._rows.learn(self._hourly[:, hour] - loads.mean_bytes[:, 0])


class _Rows:
    """Pods that share the rows of their workloads, as the operator's engine sees them."""

    def __init__(self, kin: KinArray, hourly_bytes: FloatArray) -> None:
        self._kin = kin
        self._largest = self.most(hourly_bytes)
        self._errors = ReplicaErrors(len(self._largest))
        self.one_each = np.unique(kin, return_index=True)[1]  # [K] a pod of each row

    def most(self, of_pods: FloatArray) -> FloatArray:
        """[K, ...] the largest of each row's pods [P, ...]."""
        found = np.full((int(self._kin.max()) + 1, *of_pods.shape[1:]), -np.inf)
        np.maximum.at(found, self._kin, of_pods)
        return found

    def came(self, hour: int) -> FloatArray:
        """[K, LANES] what the rows were told in the day before an hour."""
        return self._largest[:, hour - LANES : hour]

    def loads(self, hour: int, mixed: Places | None) -> Loads:
        """[P] as they are said at an hour; `mixed`: of other pods."""
        rows = loads_of(self._largest[:, max(0, hour - PAST_HOURS) : hour])
        of = self._kin if mixed is None else self._kin[mixed]
        common = self._errors.variance(of, rows.variance[of, 0])
        shared = Shared(self._kin, np.repeat(common[:, None], LANES, axis=1))
        return Loads(rows.mean_bytes[of], rows.variance[of], rows.third[of], shared)

    def learn(self, errors: FloatArray) -> None:
        """An hour has passed: by how much each pod was beyond what was said of its row."""
        self._errors.hour(self._kin, errors)
