"""What agents and operator say, as the core knows it; `plimsoll_proto.wire` puts it on the wire.

In: nothing. Out: frozen dataclasses with their checks. Batches are columnar: a float64 column each, NaN where
nothing is known, rows as in `indexes`. `check` raises MessageError for what no honest sender says; absurd
values are the receiver's to judge, for it knows how large its nodes are.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from plimsoll.coordinate.columns import LARGEST, MOST_ROWS, FloatArray
from plimsoll.pages.control_types import ReclaimPolicy

IntArray = NDArray[np.int64]
MOST_NAME = 253  # characters of a Kubernetes name
MOST_TEXT = 1000
MOST_INDEX = 2**32 - 1

SAMPLE_COLUMNS = (
    "usage_bytes", "working_set_bytes", "memory_max_bytes", "needed_bytes", "cold_bytes",
    "refault_bytes_total", "stall_microseconds_total", "oom_kill_count_total", "unsure_bytes",
)  # fmt: skip
FORECAST_COLUMNS = ("pressure_probability_ppm", "limit_reached_milliseconds")
OUTCOME_COLUMNS = ("asked_bytes_total", "taken_bytes_total", "returned_bytes_total")


class MessageError(ValueError):
    """A message that makes no sense; it is counted and not acted on."""


@dataclass(frozen=True, slots=True)
class RosterEntry:
    """Which container an index stands for."""

    index: int
    pod_uid: str
    container_id: str
    container_name: str = ""


@dataclass(frozen=True, slots=True)
class Roster:
    """Containers that came and went."""

    added: tuple[RosterEntry, ...] = ()
    removed: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Capability:
    """One engine of a node's kernel."""

    engine: str
    level: str
    missing: str = ""


@dataclass(frozen=True, slots=True)
class NodeFacts:
    """What a hello says besides numbers."""

    kube_node: str
    agent_version: str = ""
    kernel: str = ""
    capabilities: tuple[Capability, ...] = ()
    roster: Roster = Roster()
    sent_seconds: float = 0.0
    policies_wanted: bool = False  # the agent reads none itself


@dataclass(frozen=True, slots=True, eq=False)
class SampleBatch:
    """One look at a node's containers. `memory_max_bytes` 0: the kernel's `max`."""

    taken_seconds: float
    indexes: IntArray
    columns: Mapping[str, FloatArray]
    available_bytes: int = 0  # of the kube node
    dropped_total: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class ForecastBatch:
    """Pressure and bursts ahead."""

    made_seconds: float
    horizon_seconds: float
    indexes: IntArray
    columns: Mapping[str, FloatArray]
    kube_node_pressure: float | None = None  # probability


@dataclass(frozen=True, slots=True, eq=False)
class OutcomeBatch:
    """What reclaim has done since the agent's epoch began."""

    taken_seconds: float
    indexes: IntArray
    columns: Mapping[str, FloatArray]


@dataclass(frozen=True, slots=True)
class ModelDelta:
    """What a node has learnt of a class, whole, and which version of the shared model it has.

    `base_checksum`: of the `ModelVersion` that it uses, "" for none. An empty payload only asks.
    """

    checksum: str
    kind: str
    class_name: str
    schema_version: int
    base_checksum: str
    observations: int
    payload: bytes


class ShrinkStage(StrEnum):
    """How far an agent is with a shrink."""

    RECLAIMING = "reclaiming"
    REACHED = "reached"
    STOPPED = "stopped"
    OBSERVED = "observed"


@dataclass(frozen=True, slots=True)
class ShrinkReport:
    """What an agent says of a shrink. `memory_max_bytes` None: could not be read; 0: the kernel's `max`."""

    shrink_id: int
    stage: ShrinkStage
    remaining_bytes: int
    memory_max_bytes: int | None
    reason: str = ""
    oom_kills_total: int = 0


@dataclass(frozen=True, slots=True)
class LeaseRequest:
    """A container will reach its limit within seconds."""

    lease_id: int
    index: int
    wanted_bytes: int  # on top of memory.max
    memory_max_bytes: int
    growth_bytes_per_second: int
    limit_reached_seconds: float
    asked_seconds: float


@dataclass(frozen=True, slots=True, eq=False)
class Unread:
    """A batch as it came: thousands come a second, and few are ever looked into.

    `read` raises MessageError or ColumnError for one that makes no sense.
    """

    read: Callable[[], SampleBatch | ForecastBatch]
    foresees: bool = False  # it is a ForecastBatch


AgentBody = (
    Roster | SampleBatch | ForecastBatch | OutcomeBatch | ModelDelta | ShrinkReport | LeaseRequest | Unread
)
LASTS_SECONDS: Mapping[type, float] = {ShrinkReport: 2.0, LeaseRequest: 6.0}
"""How long what speaks of a moment may wait to be said: said again each second, asked again after three."""


@dataclass(frozen=True, slots=True)
class ShrinkRequest:
    """Reclaim towards a target; or, once `written`, say what the kernel holds."""

    shrink_id: int
    pod_uid: str
    container_name: str
    limit_bytes: int
    target_bytes: int
    deadline_seconds: float  # from when it is heard
    written: bool = False
    container_id: str = ""


@dataclass(frozen=True, slots=True)
class ShrinkCancel:
    """Let go of a shrink."""

    shrink_id: int
    reason: str


@dataclass(frozen=True, slots=True)
class LeaseAnswer:
    """`limit_bytes` 0: refused."""

    lease_id: int
    limit_bytes: int
    lasts_seconds: float
    refusal: str = ""


@dataclass(frozen=True, slots=True)
class ModelVersion:
    """A shared model as a node is to use it; an empty payload: what ships."""

    kind: str
    class_name: str
    version: int
    schema_version: int
    checksum: str
    payload: bytes


@dataclass(frozen=True, slots=True)
class ContainerPolicy:
    """What policies say about reclaim in one container, and what it shares experience with."""

    pod_uid: str
    container_id: str
    container_name: str
    policy: ReclaimPolicy
    workload: str = ""  # and the container's name
    shared_class: str = ""  # of its image


@dataclass(frozen=True, slots=True)
class PolicySnapshot:
    """Everything that policies say for a node: a later one replaces it whole. Who is not named has none."""

    version: int
    policies: tuple[ContainerPolicy, ...] = ()


@dataclass(frozen=True, slots=True)
class Drain:
    """This replica ends soon."""

    reconnect_after_seconds: float
    reason: str


OperatorBody = ShrinkRequest | ShrinkCancel | LeaseAnswer | ModelVersion | PolicySnapshot | Drain


def check_batch(indexes: IntArray, names: Sequence[str], values: FloatArray) -> None:
    """Raises MessageError unless every container stands in it once, and nothing is negative.

    `values`: float64[names, rows], NaN where nothing is known.
    """
    if len(indexes) > MOST_ROWS:
        raise MessageError(f"{len(indexes)} rows; a batch holds {MOST_ROWS}")
    rising = bool(np.all(indexes[1:] > indexes[:-1]))
    if not rising and len(np.unique(indexes)) != len(indexes):
        raise MessageError("a container stands twice in one batch")
    if len(indexes) and not 0 <= int(indexes.min()) <= int(indexes.max()) <= MOST_INDEX:
        raise MessageError("a container index that none has")
    if values.size and float(np.fmin.reduce(values, axis=None)) < 0.0:
        below = [name for name, row in zip(names, values, strict=True) if bool((row < 0.0).any())]
        raise MessageError(f"{below[0]} is negative")


def check_roster(roster: Roster) -> None:
    """Raises MessageError for too many entries, and for names that no container has."""
    if len(roster.added) > MOST_ROWS or len(roster.removed) > MOST_ROWS:
        raise MessageError(f"a roster of more than {MOST_ROWS} entries")
    for each in roster.added:
        if not 0 < len(each.pod_uid) <= MOST_NAME or not 0 < len(each.container_id) <= MOST_NAME:
            raise MessageError("a roster entry without pod or container, or with a name too long")
        if len(each.container_name) > MOST_NAME:
            raise MessageError("a container's name is too long")


def check_policies(snapshot: PolicySnapshot) -> None:
    """Raises MessageError for more containers than a node has, unnamed ones, and bounds that are none."""
    if len(snapshot.policies) > MOST_ROWS:
        raise MessageError(f"policies of {len(snapshot.policies)} containers; a node has {MOST_ROWS}")
    for each in snapshot.policies:
        if not 0 < len(each.container_id) <= MOST_NAME:
            raise MessageError("a policy of a container without id, or with one too long")
        bounds = (each.policy.max_pressure_ratio, each.policy.refault_budget_ratio)
        if not all(0.0 <= bound <= 1.0 for bound in bounds):  # false for NaN, too
            raise MessageError(f"bounds of {each.policy.source!r} that are no ratios: {bounds}")


def check_amounts(*amounts_bytes: int) -> None:
    """Raises MessageError for bytes below zero or beyond all memory there is."""
    if not all(0 <= each <= LARGEST for each in amounts_bytes):
        raise MessageError("bytes that no container has")
