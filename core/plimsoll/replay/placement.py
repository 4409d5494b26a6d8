"""Replays recorded containers as pods of a cluster: where each scheduler puts them, which nodes run short.

In: a `Fleet` (usage of P pods, five-minute maxima on one clock, requests), a number of nodes, who places.
Out: `PlacementOutcome`: pods that found no node, node-bins in which the sum of usage exceeds what a node has.
Pods come in random order when the past is over, and every hour some are recreated, as rollouts do; who
places knows only what was used before. Memory alone is counted. The scheduler is modelled by what decides in
kube-scheduler where only memory differs (`KubeScheduler`). Where it is asked for, nodes in danger are
relieved, pods are held until room is made, nodes are excluded and room is kept for who starts by the clock,
by the rules of the operator and at the beginning of each hour (`moves`).
"""

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from plimsoll.placement.choose import COMFORT, DEFAULT_BOUND, Choice, Chooser
from plimsoll.placement.fit import NodeLoads, deviate, empty_nodes, margin, put
from plimsoll.placement.guard import LoadJudge
from plimsoll.placement.lanes import LANES, PAST_HOURS, FloatArray, Loads, Shared, loads_of
from plimsoll.placement.preference import nodes_to_score, terms_for
from plimsoll.placement.together import KinArray, ReplicaErrors
from plimsoll.replay.kube_scheduler import NOWHERE, KubeScheduler, Places
from plimsoll.replay.moves import Cluster, Moved, Mover
from plimsoll.replay.rooms import Clock, Rooms
from plimsoll.replay.series import BINS_PER_HOUR

BoolArray = npt.NDArray[np.bool_]


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
    # [P, hours] in which hours each pod runs, known beforehand as a CronJob's are; None: all run always.
    runs: BoolArray | None = None

    def __post_init__(self) -> None:
        """Raises ValueError for rows by workload of which some replicas run by the clock."""
        if self.by_workload and self.runs is not None:
            raise ValueError("rows by workload are of pods that run always")

    @property
    def hourly_bytes(self) -> FloatArray:
        """[P, hours] maxima; NaN where a pod does not run."""
        n, bins = self.usage_bytes.shape
        hours = bins // BINS_PER_HOUR
        cut = self.usage_bytes[:, : hours * BINS_PER_HOUR]
        most = cut.reshape(n, hours, BINS_PER_HOUR).max(axis=2)
        return np.asarray(most if self.runs is None else np.where(self.runs[:, :hours], most, np.nan))


@dataclass(frozen=True, slots=True)
class PlacementSettings:
    """How a replay places."""

    placing: bool = True  # False: the scheduler alone
    bound: float = DEFAULT_BOUND
    comfort: float | None = COMFORT  # None: as tight as the bound lets
    recreated_an_hour: float = 0.02  # share of the pods
    shuffled: bool = False  # forecasts of other pods: what happens when all are wrong
    guarded: bool = True  # False: forecasts are followed however wrong (for comparison only)
    relieving: bool = False  # placement.relief Evict: pods leave nodes in danger
    holding: bool = False  # gates: a pod for which there is no room waits until others have left
    required: bool = False  # placement.node Require
    keeping: bool = False  # room is kept for who starts by the clock, and made where there is none
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
    evictions: int = 0
    evictions_in_vain: int = 0  # see `moves`
    held: int = 0  # pods that room was made for
    promised: tuple[float, ...] = field(default=(), repr=False)  # short_after of each choice


def replay_placement(
    fleet: Fleet, nodes: int, capacity_bytes: float, settings: PlacementSettings | None = None
) -> PlacementOutcome:
    """Place all pods on `nodes` equal nodes and see which run short."""
    return _Run(fleet, np.full(nodes, capacity_bytes), settings or PlacementSettings()).run()


@dataclass(frozen=True, slots=True)
class _Look:
    """What is said by in one hour."""

    chooser: Chooser
    loads: Loads  # [P] until each pod's end
    mover: Mover


def _cluster_of(fleet: Fleet, scheduler: KubeScheduler, places: Places) -> Cluster:
    n = len(places)
    kin = np.arange(n) if fleet.kin is None else fleet.kin
    several = np.ones(n, dtype=np.bool_) if fleet.kin is None else np.bincount(kin)[kin] > 1
    always = np.ones(n, dtype=np.bool_) if fleet.runs is None else fleet.runs.all(axis=1)
    return Cluster(scheduler, fleet.request_bytes, places, np.zeros(n, dtype=np.int64), kin, several & always)


class _Run:
    def __init__(self, fleet: Fleet, capacity_bytes: FloatArray, settings: PlacementSettings) -> None:
        self._fleet, self._settings, self._capacity = fleet, settings, capacity_bytes
        self._rng = np.random.default_rng(settings.seed)
        self._scheduler = KubeScheduler(capacity_bytes, self._rng)
        self._hourly = fleet.hourly_bytes
        self._places: Places = np.full(len(fleet.request_bytes), NOWHERE, dtype=np.intp)
        self._cluster = _cluster_of(fleet, self._scheduler, self._places)
        self._clock = None if fleet.runs is None else Clock(fleet.runs, settings.bound)
        self._moved = Moved()
        self._look: _Look | None = None  # None: nothing is said in this hour
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
                self._learn(hour, self._until_their_end(hour, loads), used)
        return PlacementOutcome(
            nodes=len(self._capacity),
            unplaced=len(self._unplaced),
            short_node_bins=int(short.sum()),
            node_bins=len(short) * (hours - first) * BINS_PER_HOUR,
            short_nodes=int((short > 0).sum()),
            placements=self._placements,
            unopinionated=self._left_alone,
            heeded=self._heeded,
            evictions=self._moved.evictions,
            evictions_in_vain=self._moved.in_vain,
            held=self._moved.held,
            promised=tuple(self._promised),
        )

    def _hour(self, hour: int, first: int, loads: Loads | None) -> None:
        """The pods that are created at the beginning of an hour find their nodes, and others leave theirs."""
        coming = self._coming(hour, first)
        rooms = self._looked(hour, loads)
        for pod in coming:
            if rooms is not None:
                rooms.take(pod)
            self._cluster.since_hour[pod] = hour
            self._place(pod)
        if self._look is not None:
            if self._settings.relieving:
                self._look.mover.relieve()
            self._moved.add(self._look.mover.moved)

    def _coming(self, hour: int, first: int) -> list[int]:
        """Pods that are made when an hour begins; those that are made anew, or have ended, are gone."""
        n = len(self._places)
        order = self._rng.permutation(n)
        if hour == first:
            made = np.ones(n, dtype=np.bool_)
        else:
            made = np.zeros(n, dtype=np.bool_)
            made[order[: round(n * self._settings.recreated_an_hour)]] = True
        runs = np.ones(n, dtype=np.bool_)
        if self._clock is not None:
            runs = self._clock.runs_at(hour)
            made |= runs & ~self._clock.runs_at(hour - 1)
        for pod in np.flatnonzero((made | ~runs) & (self._places != NOWHERE)).tolist():
            self._cluster.gone(pod, self._places[pod])
            self._places[pod] = NOWHERE
        return [pod for pod in order.tolist() if made[pod] and runs[pod]]

    def _looked(self, hour: int, loads: Loads | None) -> Rooms | None:
        """What is said by in this hour, and the room that is kept in it."""
        self._look, rooms = None, None
        if loads is None or (self._settings.guarded and not self._judge.trusted):
            return None
        present = self._until_their_end(hour, loads)
        if self._clock is not None and self._settings.keeping:
            rooms = self._clock.keep(hour, loads, lambda: self._chooser(present), self._feasible)
        chooser = self._chooser(present) if rooms is None else rooms.chooser
        mover = Mover(self._cluster, chooser, present, self._settings.bound, hour, self._come_again)
        self._look = _Look(chooser, present, mover)
        if rooms is not None:
            for pod in rooms.unfit_now:
                place = mover.make_room(rooms.loads[pod], self._feasible(pod))
                if place is not None:
                    rooms.put(pod, place)
        return rooms

    def _until_their_end(self, hour: int, loads: Loads) -> Loads:
        return loads if self._clock is None else loads.masked(self._clock.present(hour))

    def _feasible(self, pod: int) -> BoolArray:
        return self._scheduler.feasible(self._fleet.request_bytes[pod])

    def _come_again(self, pod: int) -> None:
        """The successor of a pod that was evicted."""
        self._place(pod, may_hold=False)

    def _place(self, pod: int, *, may_hold: bool = True) -> None:
        choices, required = self._said(pod, may_hold=may_hold)
        preferred = [each.place for each in choices]
        self._placements += 1
        self._left_alone += not preferred
        place = self._scheduler.place(self._fleet.request_bytes[pod], preferred, required)
        self._places[pod] = place
        if place == NOWHERE:
            self._unplaced.add(pod)
        elif self._look is not None:
            self._look.chooser.add(place, self._look.loads.take([pod]))
            self._heeded += place in preferred[:1]
            self._promised += [each.short_after for each in choices if each.place == place]

    def _said(self, pod: int, *, may_hold: bool) -> tuple[list[Choice], BoolArray | None]:
        """The nodes that the webhook prefers for a pod, and those that it leaves it; None: all."""
        if self._look is None:
            return [], None
        chooser, one, feasible = self._look.chooser, self._look.loads.take([pod]), self._feasible(pod)
        if self._settings.required or (self._settings.holding and may_hold):
            kept = chooser.rank_within(one, 1, feasible)
            if not kept and self._settings.holding and may_hold:
                place = self._look.mover.make_room(one, feasible)
                if place is not None:
                    return chooser.rank(one, 1, np.arange(len(feasible)) == place), None
            if self._settings.required and kept:
                margins = margin(chooser.nodes, one)
                keeps = (margins >= deviate(self._settings.bound)) | ~np.isfinite(chooser.need_bytes)
                return chooser.prefer(one, self._terms, feasible & keeps), keeps
        return chooser.prefer(one, self._terms, feasible), None

    def _loads(self, hour: int) -> Loads:
        if self._rows is not None:
            return self._rows.loads(hour, self._mixed)
        past = self._hourly[:, max(0, hour - PAST_HOURS) : hour]
        return loads_of(past if self._mixed is None else past[self._mixed], self._fleet.kin)

    def _chooser(self, loads: Loads) -> Chooser:
        return Chooser(self._sums(loads), self._settings.bound, self._settings.comfort)

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
        before = slice(max(0, hour - LANES - PAST_HOURS), hour - LANES)
        if self._rows is None:
            self._judge.hindcast(said, self._fleet.request_bytes, came, self._hourly[:, before])
            return
        one = self._rows.one_each  # the operator asks of each row once
        requested, told = self._rows.most(self._fleet.request_bytes), self._rows.came(hour)
        self._judge.hindcast(said[one], requested, told, self._rows.seen(before))
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
        return self.seen(slice(hour - LANES, hour))

    def seen(self, hours: slice) -> FloatArray:
        """[K, hours] what the rows were told in some hours."""
        return self._largest[:, hours]

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
