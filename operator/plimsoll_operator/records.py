"""The few facts the operator keeps of each object, as frozen slotted records: 50,000 pods must fit.

In: nothing. Out: dataclasses only; `parse.py` makes them from what the API server sends. What replicas
share (`ContainerSpec`, labels, owners) is one object for all of them.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from plimsoll.api.fields import Condition
from plimsoll.api.policy import PolicyStatus
from plimsoll.api.precedence import EffectivePolicy
from plimsoll.api.profile import RecommendationSummary
from plimsoll.coordinate.lease import Lent
from plimsoll.guard.state import MemoryRange, ResizeStatus

if TYPE_CHECKING:
    from plimsoll_operator.parse.needs import Needs
    from plimsoll_operator.place.gate import Gate

Labels = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class OwnerRef:
    """The controller that an object names as its owner."""

    api_version: str
    kind: str
    name: str
    uid: str


@dataclass(frozen=True, slots=True)
class ContainerSpec:
    """What a pod spec says of a container's memory."""

    name: str
    limit_bytes: int | None
    request_bytes: int | None
    restarts_on_resize: bool
    resizable: bool
    cpu_guaranteed: bool
    sidecar: bool
    image: str = ""


@dataclass(frozen=True, slots=True)
class OomRecord:
    """One OOM kill as the pod's status tells it; equal records are the same kill, however often read."""

    container_id: str
    restarts: int
    at_seconds: float


@dataclass(frozen=True, slots=True)
class ContainerRecord:
    """One container: its spec, and what the kubelet says is in force (None: not reported)."""

    spec: ContainerSpec
    reported: bool
    actual_limit_bytes: int | None
    actual_request_bytes: int | None
    running: bool
    restarts: int
    started_seconds: float | None
    oom: OomRecord | None
    container_id: str = ""  # without the runtime's name; "" before it runs


@dataclass(frozen=True, slots=True)
class ResizeRecord:
    """A resize condition of a pod."""

    status: ResizeStatus
    message: str
    since_seconds: float | None


@dataclass(frozen=True, slots=True)
class PlacedRecord:
    """What our annotation says of where a pod was meant to go."""

    kube_node: str
    decision: str  # names the decision among all
    created_seconds: float | None


@dataclass(frozen=True, slots=True)
class PodRecord:
    """One pod. `resource_version` is what our own writes are compared with."""

    namespace: str
    name: str
    uid: str
    resource_version: int
    kube_node: str
    phase: str
    qos: str
    owner: OwnerRef | None
    labels: Labels
    terminating: bool
    mirror: bool
    ready: bool
    containers: tuple[ContainerRecord, ...]
    resize: ResizeRecord | None
    requested_bytes: int  # what the scheduler counts for it
    requested_cpu_millis: int = 0
    placed: PlacedRecord | None = None
    gate: "Gate | None" = None  # ours, which holds it until room is made
    # What its successor asks of a kube node; None: nobody makes one, or it is in doubt.
    needs: "Needs | None" = None
    grace_seconds: int = 30  # that it may take to end once it is told to
    created_seconds: float | None = None  # by the API server's clock

    @property
    def live(self) -> bool:
        """True for a pod that runs containers or is about to."""
        return self.phase in ("Running", "Pending") and not self.terminating


@dataclass(frozen=True, slots=True)
class OwnerRecord:
    """A ReplicaSet or Job: only who owns it (None: nobody, it is the workload itself)."""

    kind: str
    namespace: str
    name: str
    owner: OwnerRef | None


@dataclass(frozen=True, slots=True)
class CronJobRecord:
    """A CronJob that is not suspended: when it starts, and what its pods ask for."""

    namespace: str
    name: str
    schedule: str
    zone: str  # "": the controller's own
    pods: int  # of one run at the same time
    labels: Labels  # of its pods
    specs: tuple[ContainerSpec, ...]
    needs: "Needs"


@dataclass(frozen=True, slots=True)
class NamespaceRecord:
    """One namespace."""

    name: str
    labels: Labels


@dataclass(frozen=True, slots=True)
class LimitRangeRecord:
    """The memory items of one LimitRange."""

    namespace: str
    ranges: tuple[MemoryRange, ...]


@dataclass(frozen=True, slots=True)
class QuotaRecord:
    """The memory part of one ResourceQuota (None: not counted)."""

    namespace: str
    name: str
    limits_hard_bytes: int | None
    limits_used_bytes: int
    requests_hard_bytes: int | None
    requests_used_bytes: int


@dataclass(frozen=True, slots=True)
class HpaRecord:
    """A HorizontalPodAutoscaler that scales on memory."""

    namespace: str
    name: str
    kind: str
    target: str


@dataclass(frozen=True, slots=True)
class KubeNodeRecord:
    """One kube node. A taint is (key, value, effect)."""

    name: str
    allocatable_bytes: int | None
    swap_bytes: int
    node_class: str
    capacity_bytes: int | None = None
    allocatable_cpu_millis: int | None = None
    allocatable_pods: int | None = None
    labels: Labels = ()
    taints: tuple[tuple[str, str, str], ...] = ()
    unschedulable: bool = False


@dataclass(frozen=True, slots=True)
class NodeMemoryRecord:
    """What a kube node's agent wrote of it last."""

    name: str
    usage_bytes: int | None  # all that is in use there, whoever uses it
    updated_seconds: float | None  # by the node's clock
    peak_seconds: float | None = None  # when an operator last wrote of its peak; None: nothing is said of it


@dataclass(frozen=True, slots=True)
class RememberedDecision:
    """The decision that a profile shows."""

    kind: str
    reason: str
    message: str
    at_seconds: float | None
    from_bytes: int | None
    to_bytes: int | None

    @property
    def acted(self) -> bool:
        """True where something was written to a pod."""
        return self.kind in ("raise", "lower")


@dataclass(frozen=True, slots=True)
class RememberedContainer:
    """What a profile remembers of a container besides its checkpoint."""

    name: str
    original: tuple[int | None, int | None] | None = None  # limit, request
    decision: RememberedDecision | None = None
    oom_count: int = 0
    oom_seconds: float | None = None
    oom_limit_bytes: int | None = None
    oom_floor_bytes: int | None = None
    recommended: RecommendationSummary | None = None  # what admission knows before the engine has spoken
    moved: tuple[int, float] | None = None  # the limit a pod was evicted for, and when


@dataclass(frozen=True, slots=True)
class ProfileRecord:
    """One MemoryProfile, without its checkpoints."""

    namespace: str
    name: str
    uid: str
    resource_version: int
    kind: str
    target: str
    node_class: str
    restore: bool
    updated_seconds: float | None
    containers: tuple[RememberedContainer, ...]
    conditions: tuple[Condition, ...] = ()
    generation: int = 1
    policy: str = ""  # the one that speaks for it, as its status names it
    pods: int = 0
    leases: tuple[Lent, ...] = ()

    def container(self, name: str) -> RememberedContainer | None:
        """What is remembered of one container."""
        return next((each for each in self.containers if each.name == name), None)


@dataclass(frozen=True, slots=True)
class PolicyRecord:
    """One policy, and the status it has in the cluster."""

    policy: EffectivePolicy
    uid: str
    status: PolicyStatus


@dataclass(frozen=True, slots=True)
class ControlRecord:
    """The control ConfigMap."""

    paused: bool
