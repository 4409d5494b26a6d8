"""What runs on each kube node, added up: for the placing, and for the judging of forecasts.

In: pods of a world, rows of their containers, loads. Out: `Sums`. A container with loads counts with them,
any other with its request, as constant as the scheduler takes it; one that has always ended after some hours
counts until then. Pods of a kube node that nobody lists are left out.
"""

import math
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from plimsoll.placement.lanes import LANES, FloatArray, Loads
from plimsoll_operator.place.book import LoadBook
from plimsoll_operator.place.kube_nodes import KubeNodes, Requested
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
    pods: dict[int, list[PodRecord]]  # by place, those that were added up

    def add(self, place: int, loads: Loads) -> None:
        """One more pod that is expected there."""
        for column, part in (
            (self.mean_bytes, loads.mean_bytes),
            (self.variance, loads.variance),
            (self.third, loads.third),
        ):
            column[place] += part[0]


def no_sums(nodes: KubeNodes) -> Sums:
    """Nothing anywhere."""
    mean, variance, third, foretold = (np.zeros((len(nodes), LANES)) for _ in range(4))
    containers, fed, faded = (np.zeros(len(nodes), dtype=np.int64) for _ in range(3))
    asked = np.zeros(len(nodes))
    return Sums(mean, variance, third, nodes.nothing(), foretold, asked, containers, fed, faded, {})


async def add_up(
    pods: Iterable[PodRecord],
    nodes: KubeNodes,
    row_of: RowOf,
    book: LoadBook,
    now_seconds: float,
    breathe: Callable[[], Awaitable[None]],
) -> Sums:
    """Sums over pods that are bound and not over."""
    sums, part = no_sums(nodes), _Part()
    for pod in pods:
        place = nodes.place.get(pod.kube_node, -1)
        if place < 0 or pod.phase not in ("Running", "Pending"):
            continue
        sums.pods.setdefault(place, []).append(pod)
        sums.requested.add(place, pod.requested_bytes, pod.requested_cpu_millis)
        for container in pod.containers:
            row = row_of((pod.uid, container.spec.name))
            part.add(place, row, constant_bytes(container), started_seconds(container))
        part.pods += 1
        if part.pods == CHUNK_PODS:
            part.into(sums, book, now_seconds)
            part = _Part()
            await breathe()
    part.into(sums, book, now_seconds)
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
    counts with its constant. With them [count] whether all of a pod's containers have loads.
    """
    at = np.array(of, dtype=np.intp)
    known = np.isfinite(loads.mean_bytes[:, 0])
    whole = np.zeros(count, dtype=np.bool_)
    whole[at] = True
    whole[at[~known]] = False
    mean, variance, third = (np.zeros((count, LANES)) for _ in range(3))
    np.add.at(mean, at, np.where(known[:, None], loads.mean_bytes, np.array(constant)[:, None]))
    np.add.at(variance, at[known], loads.variance[known])
    np.add.at(third, at[known], loads.third[known])
    return Loads(mean, variance, third), whole


class _Part:
    """Containers of a chunk of pods, before they are added up."""

    def __init__(self) -> None:
        self.pods = 0
        self._places: list[int] = []
        self._rows: list[int] = []
        self._constant: list[float] = []
        self._started: list[float] = []

    def add(self, place: int, row: int, constant: float, started: float) -> None:
        self._places.append(place)
        self._rows.append(row)
        self._constant.append(constant)
        self._started.append(started)

    def into(self, sums: Sums, book: LoadBook, now_seconds: float) -> None:
        places, rows = np.array(self._places, dtype=np.intp), np.array(self._rows, dtype=np.int64)
        loads = book.of_running(rows, np.array(self._started), now_seconds)
        constant = np.array(self._constant)
        known = np.isfinite(loads.mean_bytes[:, 0])
        mean = np.where(known[:, None], loads.mean_bytes, constant[:, None])
        np.add.at(sums.mean_bytes, places, mean)
        np.add.at(sums.fed, places[rows >= 0], 1)
        np.add.at(sums.faded, places[book.faded(rows, now_seconds)], 1)
        here = places[known]
        for column, values in (
            (sums.variance, loads.variance[known]),
            (sums.third, loads.third[known]),
            (sums.foretold_bytes, loads.mean_bytes[known]),
            (sums.asked_bytes, constant[known]),
            (sums.containers, 1),
        ):
            np.add.at(column, here, values)
