"""The four kinds of `plimsoll.dev/v1alpha1`, each with what its CRD needs to know about it.

In: objects as a cluster holds them (`MemoryPolicy.model_validate(body)`). Out: frozen models, and `KINDS`,
the one list from which the YAML of the CRDs, their documentation and the RBAC are made.
"""

from dataclasses import dataclass

from plimsoll.api.fields import Model
from plimsoll.api.policy import ClusterMemoryPolicySpec, MemoryPolicySpec, PolicyStatus
from plimsoll.api.profile import NodeMemorySpec, NodeMemoryStatus, ProfileSpec, ProfileStatus

GROUP = "plimsoll.dev"
VERSION = "v1alpha1"
API_VERSION = f"{GROUP}/{VERSION}"


class ObjectMeta(Model):
    """The metadata we read; the API server keeps the rest."""

    name: str = ""
    namespace: str = ""
    uid: str = ""
    generation: int = 0


class MemoryPolicy(Model):
    """What is wanted for the memory of one workload, or of the pods a selector matches, in its namespace."""

    metadata: ObjectMeta = ObjectMeta()
    spec: MemoryPolicySpec
    status: PolicyStatus = PolicyStatus()


class ClusterMemoryPolicy(Model):
    """What is wanted for memory all over the cluster, or where its selectors match."""

    metadata: ObjectMeta = ObjectMeta()
    spec: ClusterMemoryPolicySpec
    status: PolicyStatus = PolicyStatus()


class MemoryProfile(Model):
    """What Plimsoll knows of a workload: usage, forecast, recommendation, last decision, history. Written
    by the operator.
    """

    metadata: ObjectMeta = ObjectMeta()
    spec: ProfileSpec = ProfileSpec()
    status: ProfileStatus = ProfileStatus()


class NodeMemory(Model):
    """A Kubernetes node's memory, as its agent sees it. Written by Plimsoll."""

    metadata: ObjectMeta = ObjectMeta()
    spec: NodeMemorySpec = NodeMemorySpec()
    status: NodeMemoryStatus = NodeMemoryStatus()


@dataclass(frozen=True, slots=True)
class Column:
    """One column of `kubectl get`; priority 1 shows with `-o wide` only."""

    name: str
    path: str
    type: str = "string"
    priority: int = 0


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of the group and how kubectl names and prints it."""

    model: type[Model]
    plural: str
    short_name: str
    namespaced: bool
    columns: tuple[Column, ...]

    @property
    def name(self) -> str:
        """The kind, `MemoryPolicy`."""
        return self.model.__name__

    @property
    def crd_name(self) -> str:
        """The CRD's object name, `memorypolicies.plimsoll.dev`."""
        return f"{self.plural}.{GROUP}"


_AGE = Column("Age", ".metadata.creationTimestamp", "date")
_FIRST = ".status.containers[0]"
_CONFLICT = Column("Conflict", '.status.conditions[?(@.type=="Conflict")].status')
_NOT_YET = Column("NotYetActive", '.status.conditions[?(@.type=="NotYetActive")].status', priority=1)
_MODE = Column("Mode", ".spec.mode")
_IMPORTANCE = Column("Importance", ".spec.importance")
_WORKLOADS = Column("Workloads", ".status.workloads", "integer")
_TARGET = (
    Column("Kind", ".spec.targetRef.kind"),
    Column("Target", ".spec.targetRef.name"),
)

KINDS = (
    Kind(
        MemoryPolicy,
        "memorypolicies",
        "mempol",
        namespaced=True,
        columns=(_MODE, *_TARGET, _IMPORTANCE, _WORKLOADS, _CONFLICT, _NOT_YET, _AGE),
    ),
    Kind(
        ClusterMemoryPolicy,
        "clustermemorypolicies",
        "cmempol",
        namespaced=False,
        columns=(_MODE, _IMPORTANCE, _WORKLOADS, _CONFLICT, _NOT_YET, _AGE),
    ),
    Kind(
        MemoryProfile,
        "memoryprofiles",
        "memprof",
        namespaced=True,
        columns=(
            *_TARGET,
            Column("Mode", ".status.mode"),
            Column("Ready", '.status.conditions[?(@.type=="Ready")].status'),
            Column("Container", f"{_FIRST}.name"),
            Column("Recommended", f"{_FIRST}.recommendation.target"),
            Column("Decision", f"{_FIRST}.lastDecision.kind"),
            Column("Reason", f"{_FIRST}.lastDecision.reason"),
            Column("Usage", f"{_FIRST}.usage.current", priority=1),
            Column("Policy", ".status.policy", priority=1),
            _AGE,
        ),
    ),
    Kind(
        NodeMemory,
        "nodememories",
        "nodemem",
        namespaced=False,
        columns=(
            Column("Capacity", ".status.capacity"),
            Column("Usage", ".status.usage"),
            Column("Pressure", ".status.pressure", "number"),
            Column("Needed", ".status.needed"),
            Column("Cold", ".status.cold"),
            Column("Acting", '.status.conditions[?(@.type=="Acting")].status'),
            _AGE,
        ),
    ),
)
