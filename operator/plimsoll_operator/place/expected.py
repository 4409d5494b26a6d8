"""Pods that were given a node and do not run there yet: without them a batch of replicas would all go to one.

In: our own decisions, and the annotation on pods that a watch shows (another replica's decisions, too). Out:
who is expected where. A pod that is bound counts by itself. A decision that no pod was ever seen of (a quota
refused it, the API server tried again) is forgotten after two minutes, a pod that nobody could place after
ten: by then the scheduler has had its say.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from plimsoll.placement.lanes import Loads
from plimsoll.workload import WorkloadRef
from plimsoll_operator.records import PodRecord

UNSEEN_SECONDS = 120.0
UNBOUND_SECONDS = 600.0

# Workload and loads of a pod that is not bound; None where its workload is not known.
LoadsOf = Callable[[PodRecord], tuple[WorkloadRef, Loads] | None]


@dataclass(frozen=True, slots=True)
class Expected:
    """A pod on its way."""

    kube_node: str
    workload: WorkloadRef
    loads: Loads  # one row
    request_bytes: float
    request_cpu_millis: float
    at_seconds: float


class ExpectedPods:
    """By decision."""

    def __init__(self) -> None:
        self._pods: dict[str, Expected] = {}

    def __len__(self) -> int:
        return len(self._pods)

    def __contains__(self, decision: str) -> bool:
        return decision in self._pods

    def __iter__(self) -> Iterator[Expected]:
        return iter(self._pods.values())

    def add(self, decision: str, pod: Expected) -> None:
        """Expect a pod."""
        self._pods[decision] = pod

    def settle(self, pods: Iterable[PodRecord], loads_of: LoadsOf, now_seconds: float) -> None:
        """Compare with the pods of a moment that may be a little older than the newest decisions."""
        unbound: dict[str, Expected] = {}
        bound: set[str] = set()
        for pod in pods:
            if pod.placed is None:
                continue
            if pod.kube_node or not pod.live:
                bound.add(pod.placed.decision)
            elif (found := self.of(pod, loads_of, now_seconds)) is not None:
                unbound[pod.placed.decision] = found
        self._pods = {
            decision: each
            for decision, each in self._pods.items()
            if decision not in bound and now_seconds - each.at_seconds <= UNSEEN_SECONDS
        } | unbound

    def of(self, pod: PodRecord, loads_of: LoadsOf, now_seconds: float) -> Expected | None:
        """What is expected of an unbound pod that carries our annotation; None where nothing is any more."""
        placed = pod.placed
        if placed is None or pod.kube_node or not pod.live:
            return None
        since = placed.created_seconds
        if since is None or not abs(now_seconds - since) <= UNBOUND_SECONDS:
            return None
        found = loads_of(pod)
        if found is None:
            return None
        requested = float(pod.requested_bytes), float(pod.requested_cpu_millis)
        return Expected(placed.kube_node, *found, *requested, since)
