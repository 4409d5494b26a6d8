"""What runs on each kube node, added up: for the placing, and for the judging of forecasts.

In: pods of a world, rows of their containers, loads. Out: `Sums`. A container with loads counts with them,
any other with its request, as constant as the scheduler takes it; one that has always ended after some hours
counts until then. What pods of one workload deviate by together counts as often as there are of them. Pods
of a kube node that nobody lists are left out.
"""

import math
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from plimsoll.placement.fit import roots_of
from plimsoll.placement.lanes import LANES, FloatArray, Loads, Shared
from plimsoll.placement.together import NO_KIN, Together
from plimsoll_operator.place.book import LoadBook
from plimsoll_operator.place.kube_nodes import KubeNodes, Places, Requested
from plimsoll_operator.records import ContainerRecord, PodRecord

CHUNK_PODS = 1000  # between two turns of the event loop: about 10 ms
# What kube-scheduler takes a container without a request to need (schedutil.DefaultMemoryRequest).
UNASKED_BYTES = 200 * 2**20

IntArray = npt.NDArray[np.int64]
RowOf = Callable[[tuple[str, str]], int]


@dataclass(slots=True)
class Sums:
    """Over N kube nodes."""

    mean_bytes: FloatArray  # [N, LANES] by hour of the day (UTC)
    variance: FloatArray  # [N, LANES]
    third: FloatArray  # [N, LANES]
    requested: Requested
    # Of the containers that have loads alone, which a judgement is about:
    foretold_bytes: FloatArray  # [N, LANES] their means
    asked_bytes: FloatArray  # [N] their requests
    containers: IntArray  # [N] how many there are
    fed: IntArray  # [N] containers that feed a row, with loads or without
    faded: IntArray  # [N] of them those whose loads have become too old
    claimed_bytes: FloatArray  # [N] requests of running containers that feed no row
    pods: dict[int, list[PodRecord]]  # by place, those that were added up
    together: Together = field(default_factory=Together)  # what pods of one workload share


def no_sums(nodes: KubeNodes) -> Sums:
    """Nothing anywhere."""
    mean, variance, third, foretold = (np.zeros((len(nodes), LANES)) for _ in range(4))
    containers, fed, faded = (np.zeros(len(nodes), dtype=np.int64) for _ in range(3))
    asked, claimed = np.zeros(len(nodes)), np.zeros(len(nodes))
    requested = nodes.nothing()
    return Sums(mean, variance, third, requested, foretold, asked, containers, fed, faded, claimed, {})


async def add_up(
    pods: Iterable[PodRecord],
    nodes: KubeNodes,
    row_of: RowOf,
    book: LoadBook,
    now_seconds: float,
    breathe: Callable[[], Awaitable[None]],
) -> Sums:
    """Sums over pods that are bound and not over."""
    sums, part, kins = no_sums(nodes), _Part(), _Kins()
    for pod in pods:
        place = nodes.place.get(pod.kube_node, -1)
        if place < 0 or pod.phase not in ("Running", "Pending"):
            continue
        sums.pods.setdefault(place, []).append(pod)
        sums.requested.add(place, pod.requested_bytes, pod.requested_cpu_millis)
        part.begin(place)
        for container in pod.containers:
            row = row_of((pod.uid, container.spec.name))
            part.add(row, constant_bytes(container), started_seconds(container))
        if len(part) == CHUNK_PODS:
            kins.take(*part.into(sums, book, now_seconds))
            part = _Part()
            await breathe()
    kins.take(*part.into(sums, book, now_seconds))
    for places, variance, third in kins.into(sums.together):
        np.add.at(sums.variance, places, variance)
        np.add.at(sums.third, places, third)
        await breathe()
    return sums


def constant_bytes(container: ContainerRecord) -> float:
    """What a container counts with of which nothing is known."""
    asked = container.spec.request_bytes
    return float(UNASKED_BYTES if asked is None else asked)


def started_seconds(container: ContainerRecord) -> float:
    """When a container began; NaN: not known."""
    return math.nan if container.started_seconds is None else container.started_seconds


def gathered(
    loads: Loads, constant: Sequence[float], of: Sequence[int], count: int
) -> tuple[Loads, npt.NDArray[np.bool_]]:
    """Loads of containers added up by pod: `of` says whose each is, of `count`; a container without loads
    counts with its constant. With them [count] whether all of a pod's containers have loads. A pod's kin is
    the least row of its containers: the pods of a workload have the same ones.
    """
    at = np.array(of, dtype=np.intp)
    known = loads.known()
    whole = np.zeros(count, dtype=np.bool_)
    whole[at] = True
    whole[at[~known]] = False
    filled = loads.filled(np.array(constant))
    mean, variance, third, common = (np.zeros((count, LANES)) for _ in range(4))
    shared = filled.shared or Shared(np.full(len(at), NO_KIN), np.zeros_like(filled.variance))
    for column, part in (
        (mean, filled.mean_bytes),
        (variance, filled.variance),
        (third, filled.third),
        (common, shared.variance),
    ):
        np.add.at(column, at, part)
    kin = np.full(count, np.iinfo(np.int64).max)
    np.minimum.at(kin, at[known], shared.kin[known])
    kin[kin == np.iinfo(np.int64).max] = NO_KIN
    return Loads(mean, variance, third, Shared(kin, common)), whole


class _Part:
    """Containers of a chunk of pods, before they are added up."""

    def __init__(self) -> None:
        self._places: list[int] = []  # of pods
        self._of: list[int] = []  # of containers: whose each is ...
        self._rows: list[int] = []  # ... and so on
        self._constant: list[float] = []
        self._started: list[float] = []

    def __len__(self) -> int:
        return len(self._places)

    def begin(self, place: int) -> None:
        """One more pod."""
        self._places.append(place)

    def add(self, row: int, constant: float, started: float) -> None:
        """One of its containers."""
        self._of.append(len(self._places) - 1)
        self._rows.append(row)
        self._constant.append(constant)
        self._started.append(started)

    def into(self, sums: Sums, book: LoadBook, now_seconds: float) -> tuple[Loads, Places]:
        """Add them up, as if each pod deviated by itself; returns the pods, and where they are."""
        of_pods, rows = np.array(self._places, dtype=np.intp), np.array(self._rows, dtype=np.int64)
        started = np.array(self._started, dtype=np.float64)
        loads = book.of_running(rows, started, now_seconds)
        constant, known = np.array(self._constant), loads.known()
        pods, _ = gathered(loads, self._constant, self._of, len(of_pods))
        places = of_pods[np.array(self._of, dtype=np.intp)]
        np.add.at(sums.fed, places[rows >= 0], 1)
        np.add.at(sums.faded, places[book.faded(rows, now_seconds)], 1)
        here, strange = places[known], (rows < 0) & np.isfinite(started)
        np.add.at(sums.claimed_bytes, places[strange], constant[strange])
        for column, at, values in (
            (sums.mean_bytes, of_pods, pods.mean_bytes),
            (sums.variance, of_pods, pods.variance),
            (sums.third, of_pods, pods.third),
            (sums.foretold_bytes, here, loads.mean_bytes[known]),
            (sums.asked_bytes, here, constant[known]),
            (sums.containers, here, 1),
        ):
            np.add.at(column, at, values)
        return pods, of_pods


class _Kins:
    """Pods of all chunks that share deviations with others, before those are added up."""

    def __init__(self) -> None:
        self._kin: list[npt.NDArray[np.int64]] = []
        self._places: list[Places] = []
        self._roots: list[FloatArray] = []

    def take(self, pods: Loads, places: Places) -> None:
        """The pods of a chunk."""
        if pods.shared is None:
            return
        some = np.flatnonzero(pods.shared.kin != NO_KIN)
        self._kin.append(pods.shared.kin[some])
        self._places.append(places[some])
        self._roots.append(roots_of(pods.take(some)))

    def into(self, together: Together) -> Iterator[tuple[Places, FloatArray, FloatArray]]:
        """Whole kins, a chunk at a time: where the variance and the third moment are greater by how much."""
        if not self._kin:
            return
        kin, places = np.concatenate(self._kin), np.concatenate(self._places)
        roots = np.concatenate(self._roots)
        order = np.argsort(kin, kind="stable")
        starts = np.flatnonzero(np.diff(kin[order], prepend=-2))
        begin = 0
        for end in [*starts[1:].tolist(), len(order)]:
            if end - begin >= CHUNK_PODS or end == len(order):
                mine = order[begin:end]
                yield together.gather(kin[mine], places[mine], roots[mine])
                begin = end
