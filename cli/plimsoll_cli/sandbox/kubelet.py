"""A small honest model of kubelet and kernel: what a limit does to a container whose memory use is recorded.

In: containers that replay recorded five-minute maxima, and resizes that somebody asked for. Out: events
with the world's time (OOM kills, restarts, resizes done, refused, deferred) and each container's present
state. The very same class runs under the operator and under the baselines, so that their figures compare.

A bin's peak falls in its middle. A resize takes effect seconds after it was asked for; a limit below
present usage is refused and tried again; requests that do not fit the kube node wait or never come. Usage
above the limit kills the container once in that bin; it restarts after 10 s * 2^n, at most 5 min, and goes
on where the trace is. Source: the behaviour of kubelet 1.37.1, measured on a node.
"""

from dataclasses import dataclass, field
from enum import StrEnum
from random import Random

import numpy as np
import numpy.typing as npt

from plimsoll.usage.sample import BIN_SECONDS

FloatArray = npt.NDArray[np.float64]

PEAK_SECONDS = BIN_SECONDS / 2  # into a bin
# Patch to status on a real kube node took 0.7 to 1.5 s; a busy one is slower.
RESIZE_DELAY_SECONDS = (0.7, 3.0)
FIRST_BACK_OFF_SECONDS = 10.0
LONGEST_BACK_OFF_SECONDS = 300.0
# A container that ran this long has its back-off forgotten (kubelet: twice the longest).
BACK_OFF_RESET_SECONDS = 600.0


class EventKind(StrEnum):
    """What can happen to a container."""

    STARTED = "Started"
    OOM_KILLED = "OOMKilled"
    RESTARTED = "Restarted"
    RESIZED = "Resized"
    RESIZE_REFUSED = "ResizeRefused"  # limit below usage: stays in progress with an error, retried
    RESIZE_DEFERRED = "ResizeDeferred"  # does not fit the kube node now, retried
    RESIZE_INFEASIBLE = "ResizeInfeasible"  # never fits, not retried
    STOPPED = "Stopped"


@dataclass(frozen=True, slots=True)
class KubeletEvent:
    """Something that happened, with the limit in force at that moment."""

    kind: EventKind
    container: str  # the model's key
    seconds: float
    limit_bytes: int
    usage_bytes: float
    message: str = ""


@dataclass(frozen=True, slots=True)
class Resources:
    """A request and a limit."""

    request_bytes: int
    limit_bytes: int


@dataclass(slots=True)
class Container:
    """One container: its recorded use and what kubelet and kernel hold of it."""

    key: str
    kube_node: str
    usage: FloatArray  # [bins] from `first_bin` on; NaN: not recorded
    first_bin: int
    resources: Resources  # in force
    desired: Resources  # in the spec
    started_seconds: float
    resize_asked_seconds: float = 0.0
    resize_state: EventKind | None = None  # REFUSED, DEFERRED or INFEASIBLE
    running: bool = True
    restart_seconds: float = 0.0
    restarts: int = 0
    crashes_in_a_row: int = 0
    killed_seconds: float | None = None
    usage_bytes: float = float("nan")  # now, as its cgroup shows it

    def recorded(self, bin_index: int) -> float:
        """The trace's maximum in a bin; NaN where there is none."""
        position = bin_index - self.first_bin
        return float(self.usage[position]) if 0 <= position < len(self.usage) else float("nan")

    def ended(self, bin_index: int) -> bool:
        """Whether the trace is over."""
        return bin_index >= self.first_bin + len(self.usage)


@dataclass(frozen=True, slots=True)
class BinRecord:
    """What a bin was for one container."""

    container: str
    usage_bytes: float  # recorded demand
    limit_bytes: int  # in force at the peak
    oom: bool


@dataclass
class KubeletModel:
    """All kube nodes' kubelets and kernels; `allocatable_bytes` is what pods' requests may sum to on each."""

    allocatable_bytes: dict[str, int]
    seed: int = 0
    containers: dict[str, Container] = field(default_factory=dict)
    events: list[KubeletEvent] = field(default_factory=list)

    def start(
        self,
        key: str,
        kube_node: str,
        usage: FloatArray,
        first_bin: int,
        resources: Resources,
        seconds: float,
    ) -> None:
        """Run a container that follows `usage` from the bin `first_bin` on."""
        made = Container(key, kube_node, usage, first_bin, resources, resources, seconds)
        self.containers[key] = made
        self._tell(EventKind.STARTED, made, seconds)

    def stop(self, key: str, seconds: float) -> None:
        """The container is deleted."""
        gone = self.containers.pop(key, None)
        if gone is not None:
            self._tell(EventKind.STOPPED, gone, seconds)

    def resize(self, key: str, resources: Resources, seconds: float) -> None:
        """The spec now asks for `resources`; they come into force later, if they can."""
        container = self.containers[key]
        if resources != container.desired:
            container.desired = resources
            container.resize_asked_seconds = seconds
            container.resize_state = None

    def play(self, bin_index: int) -> list[BinRecord]:
        """Let a bin happen: resizes, then the peak, then restarts."""
        start = float(bin_index * BIN_SECONDS)
        for container in self.containers.values():
            self._restart_if_due(container, start + PEAK_SECONDS)
            self._try_resize(container, start)
        records = [self._peak(container, bin_index) for container in self.containers.values()]
        for container in self.containers.values():
            self._restart_if_due(container, start + BIN_SECONDS)
        return records

    def _try_resize(self, container: Container, start: float) -> None:
        if container.desired == container.resources or container.resize_state is EventKind.RESIZE_INFEASIBLE:
            return
        seconds = max(start, container.resize_asked_seconds) + self._delay(container, start)
        state, why = self._obstacle(container)
        if state is None:
            old = container.resources.limit_bytes
            container.resources, container.resize_state = container.desired, None
            self._tell(EventKind.RESIZED, container, seconds, f"from {old}")
        elif state is not container.resize_state:
            container.resize_state = state
            self._tell(state, container, seconds, why)

    def _delay(self, container: Container, start: float) -> float:
        draw = Random(f"{self.seed} {container.key} {start}").uniform(*RESIZE_DELAY_SECONDS)  # noqa: S311
        return min(draw, PEAK_SECONDS)

    def _obstacle(self, container: Container) -> tuple[EventKind | None, str]:
        wanted = container.desired
        allocatable = self.allocatable_bytes[container.kube_node]
        if wanted.request_bytes > allocatable:
            why = f"Node didn't have enough capacity: memory, requested: {wanted.request_bytes}"
            return EventKind.RESIZE_INFEASIBLE, f"{why}, capacity: {allocatable}"
        others = self.requested_bytes(container.kube_node) - container.resources.request_bytes
        if (
            wanted.request_bytes > container.resources.request_bytes
            and others + wanted.request_bytes > allocatable
        ):
            return EventKind.RESIZE_DEFERRED, "Node didn't have enough resource: memory"
        usage = container.usage_bytes if container.running else 0.0
        if wanted.limit_bytes < container.resources.limit_bytes and usage > wanted.limit_bytes:
            why = f"cannot decrease memory limits: attempting to set pod memory limit ({wanted.limit_bytes}) "
            return EventKind.RESIZE_REFUSED, why + f"below current usage ({usage:.0f})"
        return None, ""

    def requested_bytes(self, kube_node: str) -> int:
        """The sum of requests in force on a kube node."""
        return sum(c.resources.request_bytes for c in self.containers.values() if c.kube_node == kube_node)

    def _peak(self, container: Container, bin_index: int) -> BinRecord:
        demand, limit = container.recorded(bin_index), container.resources.limit_bytes
        oom = demand > limit
        if not np.isnan(demand):
            # The cgroup cannot be charged more than its limit; after a kill that is what its peak was.
            container.usage_bytes = min(demand, limit)
        if oom:
            self._kill(container, bin_index * BIN_SECONDS + PEAK_SECONDS)
        return BinRecord(container.key, demand, limit, oom)

    def _kill(self, container: Container, seconds: float) -> None:
        if (
            container.killed_seconds is not None
            and seconds - container.killed_seconds > BACK_OFF_RESET_SECONDS
        ):
            container.crashes_in_a_row = 0
        back_off = min(FIRST_BACK_OFF_SECONDS * 2**container.crashes_in_a_row, LONGEST_BACK_OFF_SECONDS)
        container.crashes_in_a_row += 1
        container.running, container.killed_seconds = False, seconds
        container.restart_seconds = seconds + back_off
        self._tell(EventKind.OOM_KILLED, container, seconds, f"back-off {back_off:.0f}s")

    def _restart_if_due(self, container: Container, until: float) -> None:
        if container.running or container.restart_seconds > until:
            return
        container.running = True
        container.restarts += 1
        container.started_seconds = container.restart_seconds
        self._tell(EventKind.RESTARTED, container, container.restart_seconds)

    def _tell(self, kind: EventKind, container: Container, seconds: float, message: str = "") -> None:
        limit, usage = container.resources.limit_bytes, container.usage_bytes
        self.events.append(KubeletEvent(kind, container.key, seconds, limit, usage, message))

    def take_events(self) -> list[KubeletEvent]:
        """The events since the last call, oldest first."""
        taken, self.events = sorted(self.events, key=lambda event: event.seconds), []
        return taken
