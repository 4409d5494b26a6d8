"""Resizes: written once, overlaid until the indices have caught up, and followed to an end.

In: a pod's plan; later the pod's conditions. Out: expectations (what we wrote and the resourceVersion of
it), and for each resize under way what is to be done. Level-based: after a restart everything is read off
the pods again, so a kill in the middle of a resize loses nothing and repeats nothing, for a target is
absolute.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum

from plimsoll.guard.state import ResizeStatus
from plimsoll_operator.actuate.api import MemoryValues
from plimsoll_operator.records import ContainerRecord, PodRecord, RememberedContainer

# How long a kubelet's "infeasible" is believed before it is asked again.
REFUSAL_SECONDS = 3600.0
SWAP_WORDS = "swap"
MEMORY_MANAGER_WORDS = "memory manager"


@dataclass(frozen=True, slots=True)
class Expectation:
    """What was written to one pod, and the version from which on the index shows it."""

    resource_version: int
    values: Mapping[str, MemoryValues]
    at_seconds: float


class Expectations:
    """Own writes, until the watch has brought them back."""

    LONGEST_SECONDS = 120.0  # a watch that is this far behind is broken; believing the index is then safer

    def __init__(self) -> None:
        self._by_uid: dict[str, Expectation] = {}

    def __len__(self) -> int:
        """Writes not seen in the indices yet."""
        return len(self._by_uid)

    def wrote(self, pod_uid: str, expectation: Expectation) -> None:
        """Remember a write; what an older one said of other containers still counts."""
        before = self._by_uid.get(pod_uid)
        values = {**before.values, **expectation.values} if before is not None else expectation.values
        self._by_uid[pod_uid] = replace(expectation, values=values)

    def overlaid(self, pod: PodRecord, now_seconds: float) -> PodRecord:
        """The pod as it is with our own writes; the very same object where the index has caught up."""
        expected = self._by_uid.get(pod.uid)
        if expected is None:
            return pod
        late = not abs(now_seconds - expected.at_seconds) <= self.LONGEST_SECONDS
        if pod.resource_version >= expected.resource_version or late:
            del self._by_uid[pod.uid]
            return pod
        containers = tuple(_with(each, expected.values.get(each.spec.name)) for each in pod.containers)
        return replace(pod, containers=containers)

    def keep_only(self, present: set[str]) -> None:
        """Forget pods that are gone."""
        for uid in self._by_uid.keys() - present:
            del self._by_uid[uid]


class Verdict(StrEnum):
    """What is to be done about a resize under way."""

    WAIT = "wait"
    LEARN = "learn"  # the kubelet has told us something about its node: take back and try differently
    TAKE_BACK = "take back"  # put the spec back to what is in force
    EVICT = "evict"


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a resize may take, seconds."""

    deferred_evict_seconds: float = 300.0
    give_up_seconds: float = 600.0


def verdict(pod: PodRecord, now_seconds: float, patience: Patience, *, may_evict: bool) -> Verdict:
    """What to do about a pod's resize; a pod without one has nothing to wait for."""
    resize = pod.resize
    if resize is None:
        return Verdict.WAIT
    since = resize.since_seconds if resize.since_seconds is not None else now_seconds
    age_seconds = max(0.0, now_seconds - since)
    if resize.status is ResizeStatus.INFEASIBLE:
        return _never(resize.message, may_evict)
    if resize.status is ResizeStatus.DEFERRED and may_evict:
        return Verdict.EVICT if age_seconds >= patience.deferred_evict_seconds else Verdict.WAIT
    if resize.status is ResizeStatus.ERROR and age_seconds >= patience.give_up_seconds:
        return Verdict.TAKE_BACK
    return Verdict.WAIT


def _never(message: str, may_evict: bool) -> Verdict:  # noqa: FBT001
    """The kubelet will not do it. A pinned pod's successor is born with what no resize can give that one."""
    if teaches(message) and not (may_evict and pins(message)):
        return Verdict.LEARN
    return Verdict.EVICT if may_evict else Verdict.TAKE_BACK


def pins(message: str) -> bool:
    """True where the kubelet's memory manager resizes no Guaranteed pod at all."""
    return MEMORY_MANAGER_WORDS in message.lower()


def teaches(message: str) -> bool:
    """True where an Infeasible says something about the kube node that changes what we ask next."""
    return SWAP_WORDS in message.lower() or pins(message)


def values_in_force(pod: PodRecord) -> dict[str, MemoryValues]:
    """What must be written so that the spec says again what the kubelet enforces; empty where it does."""
    found = {}
    for each in pod.containers:
        actual = (each.actual_limit_bytes, each.actual_request_bytes)
        asked = (each.spec.limit_bytes, each.spec.request_bytes)
        if each.reported and actual not in (asked, (None, None)):
            found[each.spec.name] = MemoryValues(*actual, each.spec.sidecar)
    return found


def asked_by_us(pod: PodRecord, remembered: RememberedContainer) -> bool:
    """True where a container's spec still asks for what our last change on record set, and has not got it.

    This is how a successor knows a resize that its predecessor left under way from a person's own, which asks
    for something else.
    """
    decision = remembered.decision
    container = next((each for each in pod.containers if each.spec.name == remembered.name), None)
    if container is None or decision is None or not decision.acted or not container.reported:
        return False
    if decision.to_bytes is None or container.spec.limit_bytes != decision.to_bytes:
        return False
    if container.actual_limit_bytes != container.spec.limit_bytes:
        return True
    # The limit is in force: only a change that was of the request alone is still ours.
    asks_more = container.actual_request_bytes != container.spec.request_bytes
    return asks_more and decision.from_bytes == decision.to_bytes


def still_asks(container: ContainerRecord, values: MemoryValues) -> bool:
    """True where a container's spec asks for just these values, and the kubelet does not enforce them yet."""
    limit, request = container.spec.limit_bytes, container.spec.request_bytes
    asked = values.limit_bytes in (None, limit) and values.request_bytes in (None, request)
    in_force = (container.actual_limit_bytes, container.actual_request_bytes) == (limit, request)
    return asked and not (container.reported and in_force)


def settled(pod: PodRecord) -> bool:
    """True where nothing is under way: the kubelet enforces what the spec says."""
    return pod.resize is None and not values_in_force(pod)


def _with(container: ContainerRecord, values: MemoryValues | None) -> ContainerRecord:
    if values is None:
        return container
    limit = values.limit_bytes if values.limit_bytes is not None else container.spec.limit_bytes
    request = values.request_bytes if values.request_bytes is not None else container.spec.request_bytes
    return replace(container, spec=replace(container.spec, limit_bytes=limit, request_bytes=request))
