"""What the scalar guards are told about the cluster: plain facts, frozen, gathered by the shell for one
container.

In: nothing. Out: dataclasses only. A fact nobody knows is None and makes a guard hold; it is never replaced
by a friendly guess. Bytes are what the pod spec says unless a name says `in_force` (the kubelet's
`status.resources`).
"""

from dataclasses import dataclass
from enum import StrEnum

from plimsoll.api.effective import EffectiveContainerPolicy


class Purpose(StrEnum):
    """Why a change is asked for; only a routine one waits for cooldown, window and budget."""

    FORECAST = "Forecast"
    URGENT = "Urgent"  # after an OOM kill, or on a climb towards the limit
    RESTORE = "Restore"  # back to the original resources, asked by a person


class QosClass(StrEnum):
    """Kubernetes' quality-of-service class of a pod; it cannot change while the pod lives."""

    GUARANTEED = "Guaranteed"
    BURSTABLE = "Burstable"
    BEST_EFFORT = "BestEffort"


class ResizeStatus(StrEnum):
    """Where a pod's resize stands, from its conditions."""

    NONE = "None"
    DEFERRED = "Deferred"  # the kubelet tries again by itself
    INFEASIBLE = "Infeasible"  # the kubelet never tries again
    IN_PROGRESS = "InProgress"
    ERROR = "Error"  # in progress and refused, e.g. a limit below present use


@dataclass(frozen=True, slots=True)
class Ask:
    """One row of a recommendation, or one pod-level raise, in whole bytes. `ready` False: not enough
    history.
    """

    limit_bytes: int | None  # None: leave the limit (a restore where there was none at first)
    request_bytes: int | None  # None: leave the request, except where QoS ties it to the limit
    lower_bytes: int | None = (
        None  # a limit between lower and upper is left as it is: moving it costs more than it gains
    )
    upper_bytes: int | None = None
    purpose: Purpose = Purpose.FORECAST
    reason: str = "Forecast"  # CamelCase: Forecast, OOMKilled, Climb, Restore
    ready: bool = True
    made_seconds: float | None = None  # Unix time at which the forecast behind it was made


@dataclass(frozen=True, slots=True)
class ContainerState:
    """One container of one pod. `limit_bytes`/`request_bytes` are the spec's (None: unset)."""

    name: str
    limit_bytes: int | None
    request_bytes: int | None
    reported: bool = True  # status.containerStatuses[].resources is there; without it a resize is rejected
    resizable: bool = True  # a regular container or native sidecar; other init containers cannot be resized
    restarts_on_resize: bool = False  # resizePolicy memory RestartContainer
    cpu_guaranteed: bool = False  # cpu limit is set and equals the request
    usage_bytes: float | None = None  # present use (highest of the workload's pods)
    usage_age_seconds: float | None = None
    needed_bytes: float | None = None  # what would stay of it once its agent has reclaimed; None: unknown
    last_change_seconds: float | None = None  # Unix time of our last change to this container
    leaks: bool = False  # it only ever grows, says the leak detector
    in_force_bytes: int | None = None  # the limit that the kubelet says it enforces; None: not said


@dataclass(frozen=True, slots=True)
class PodState:
    """The pod around it. Sums are over the *other* containers (None: one of them has none)."""

    namespace: str
    name: str
    qos: QosClass = QosClass.BURSTABLE
    running: bool = True
    terminating: bool = False
    mirror: bool = False  # a static pod's shadow: the API cannot resize it
    resize: ResizeStatus = ResizeStatus.NONE
    resize_message: str = ""
    refused: str = ""  # the kubelet called our last resize infeasible, and why; not asked again for a while
    memory_hpa: str = ""  # name of a HorizontalPodAutoscaler that scales this workload on memory
    others_limit_bytes: int | None = 0
    others_request_bytes: int | None = 0
    others_guaranteed: bool = False  # every other container has cpu and memory limit = request


@dataclass(frozen=True, slots=True)
class MemoryRange:
    """The memory part of one LimitRange item, `Container` or `Pod`."""

    name: str
    scope: str  # "Container" | "Pod"
    min_bytes: int | None = None
    max_bytes: int | None = None
    max_ratio: float | None = None  # limit / request


@dataclass(frozen=True, slots=True)
class QuotaRoom:
    """What a ResourceQuota still gives (None: it does not count that)."""

    name: str
    limits_left_bytes: int | None = None
    requests_left_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class NamespaceState:
    """What the namespace allows."""

    name: str
    ranges: tuple[MemoryRange, ...] = ()
    quotas: tuple[QuotaRoom, ...] = ()


@dataclass(frozen=True, slots=True)
class KubeNodeState:
    """The kube node a pod runs on. `swap` True: containers may have swap (LimitedSwap), so requests stay."""

    name: str
    allocatable_bytes: int | None = None
    requested_bytes: int | None = None  # sum of the memory requests of its pods
    swap: bool = False
    static_memory_manager: bool = False


@dataclass(frozen=True, slots=True)
class ControlState:
    """What holds for the whole operator in this loop."""

    paused: bool = False
    supported: bool = True  # Kubernetes >= 1.35
    version: str = ""
    problems: tuple[str, ...] = ()  # a usage source is down, the engine restarts, ...
    settled: bool = (
        True  # long enough since the start of the engine that a missing hour cannot look like calm
    )
    max_usage_age_seconds: float = 180.0
    routine_left: int | None = None  # changes that rate and budget still give; None: no bound


@dataclass(frozen=True, slots=True)
class Situation:
    """All that the guards look at besides what is asked."""

    policy: EffectiveContainerPolicy | None
    container: ContainerState
    pod: PodState
    namespace: NamespaceState
    kube_node: KubeNodeState | None
    control: ControlState
    now_seconds: float
