"""MemoryProfile (what we know of a workload) and NodeMemory (what a node has): written by Plimsoll.

In: the operator's numbers. Out: statuses small enough for etcd (a profile's checkpoints are at most 8 KiB a
container). Quantities and times are text in the cluster and bytes and Unix seconds here, see `fields.py`.
"""

from typing import Annotated

from pydantic import Field

from plimsoll.api.effective import Mode
from plimsoll.api.fields import Condition, Duration, Model, Quantity, Sentence, Time, Word, map_list
from plimsoll.api.policy import TargetRef

CHECKPOINT_MAX_CHARACTERS = 11_264  # base64 of 8 KiB is 10,924 characters
MAX_CONTAINERS = 64
MAX_LEASES = 64

DecisionWord = Annotated[str, Field(json_schema_extra={"enum": ["raise", "lower", "keep", "hold"]})]
BasisWord = Annotated[str, Field(json_schema_extra={"enum": ["usage", "needed"]})]
QuantityWord = Annotated[str, Field(json_schema_extra={"enum": ["usage", "working-set"]})]


class ProfileSpec(Model):
    """Which workload the profile is of. People set only `restore`."""

    target_ref: TargetRef | None = None
    """The workload."""
    node_class: Annotated[str, Field(max_length=253)] | None = None
    """For a DaemonSet: the class of nodes whose pods this profile is of."""
    restore: bool = False
    """While true, the original resources are put back, guarded, and then held. Set by `plimsoll restore`."""


class UsageSummary(Model):
    """What was seen."""

    quantity: QuantityWord | None = None
    """usage or working-set; a history never mixes them."""
    current_bytes: Quantity | None = None
    """Newest sample, the largest over the workload's pods."""
    peak_day_bytes: Quantity | None = None
    """Largest in the last 24 hours."""
    peak_history_bytes: Quantity | None = None
    """Largest in the history kept."""
    history_seconds: Duration | None = None
    """How long it has been watched."""
    last_sample_time_seconds: Time | None = None
    """When the newest sample was taken."""
    basis: BasisWord | None = None
    """Where the policy asks for limits.basis needed: what the limit is made for now."""
    basis_reason: Sentence = ""
    """Why so."""
    needed_bytes: Quantity | None = None
    """What of it is needed, by the nodes' agents, the largest over the workload's pods; absent: not known."""


class QuantileForecast(Model):
    """One point of the forecast distribution."""

    level: Annotated[float, Field(ge=0, le=1)]
    """Probability that the peak stays at or below the value."""
    value_bytes: Quantity
    """The peak at that probability."""


class PromiseSummary(Model):
    """How what was said of the limit has been kept, over about the last 14 days."""

    hours: Annotated[float, Field(ge=0)] = 0.0
    """Hours that were judged; older ones count for less and less."""
    promised_fraction: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Of those hours, the share in which the limit was expected to be exceeded."""
    realised_fraction: Annotated[float, Field(ge=0, le=1)] = 0.0
    """The share in which it was, or would have been."""
    buffer_shift_fraction: float = 0.0
    """What broken promises have added to every level of the forecast (negative: kept ones took away)."""


class ForecastSummary(Model):
    """The distribution of the peak over the horizon."""

    model: Word = ""
    """Forecaster that made it."""
    horizon_seconds: Duration | None = None
    """How far ahead it speaks."""
    time_seconds: Time | None = None
    """When it was made."""
    quantiles: Annotated[
        tuple[QuantileForecast, ...],
        Field(max_length=32, json_schema_extra={"x-kubernetes-list-type": "atomic"}),
    ] = ()
    """The distribution."""
    promises: PromiseSummary | None = None
    """How such forecasts were kept; as of the last checkpoint."""
    stand_in: Sentence = ""
    """Why another model than this made it; empty: this one did."""


class RecommendationSummary(Model):
    """What forecast and price ask for, before the guards."""

    lower_bytes: Quantity | None = None
    """Below this the limit is too low."""
    target_bytes: Quantity | None = None
    """The limit asked for."""
    upper_bytes: Quantity | None = None
    """Above this the limit is too high."""
    buffer_bytes: Quantity | None = None
    """The part of the target above the forecast, from past errors."""
    request_bytes: Quantity | None = None
    """The request asked for: what nine in ten hours need, at most the target. It moves with the limit."""
    oom_price: Annotated[float, Field(gt=0)] | None = None
    """What an OOM kill was worth to it, in container-days of unused limit: by the policy, and as far as its
    objective's price was moved since."""


class DecisionRecord(Model):
    """The last decision and why."""

    kind: DecisionWord
    """raise, lower, keep or hold."""
    reason: Word = ""
    """One word a machine can count."""
    message: Sentence = ""
    """A sentence with the numbers."""
    time_seconds: Time | None = None
    """When it was made."""
    from_bytes: Quantity | None = None
    """The limit before."""
    to_bytes: Quantity | None = None
    """The limit after; absent where nothing was set."""


class OriginalResources(Model):
    """Memory resources as they were before Plimsoll first touched the container; recorded once."""

    request_bytes: Quantity | None = None
    """The request; absent means there was none."""
    limit_bytes: Quantity | None = None
    """The limit; absent means there was none."""


class OomMemory(Model):
    """What is remembered of OOM kills, across restarts of the operator."""

    count: Annotated[int, Field(ge=0)] = 0
    """OOM kills seen."""
    last_time_seconds: Time | None = None
    """When the last one was."""
    limit_bytes: Quantity | None = None
    """The limit it died at."""
    floor_bytes: Quantity | None = None
    """No limit is set below this until floorUntil."""
    floor_until_seconds: Time | None = None
    """When the floor is lifted."""


class MoveMemory(Model):
    """A raise that could not be had in place, so that its pod was evicted."""

    limit_bytes: Quantity | None = None
    """The limit that was asked for. For a day new pods start with no less."""
    time_seconds: Time | None = None
    """When the pod was evicted."""


class LeakSummary(Model):
    """A leak, as it was last found."""

    since_time_seconds: Time | None = None
    """When it was first told."""
    growth_per_hour_bytes: Quantity | None = None
    """How much it grows in an hour."""
    growth_per_hour_low_bytes: Quantity | None = None
    """Lower end of the interval around that."""
    growth_per_hour_high_bytes: Quantity | None = None
    """Upper end of the interval around that."""
    death_time_seconds: Time | None = None
    """When it reaches the limit in force at that pace; absent where there is none."""
    cap_time_seconds: Time | None = None
    """When it reaches the policy's leak.cap; absent where there is none."""


class ContainerProfile(Model):
    """What is known of one container."""

    name: Annotated[str, Field(min_length=1, max_length=63)]
    """Container name."""
    mode: Mode | None = None
    """The mode in force for it."""
    usage: UsageSummary | None = None
    """What was seen."""
    forecast: ForecastSummary | None = None
    """The distribution of the peak over the horizon."""
    recommendation: RecommendationSummary | None = None
    """What forecast and price ask for."""
    last_decision: DecisionRecord | None = None
    """The last decision and why."""
    original_resources: OriginalResources | None = None
    """As they were before Plimsoll first touched them."""
    oom: OomMemory | None = None
    """What is remembered of OOM kills."""
    moved: MoveMemory | None = None
    """Present for a day after a pod had to be evicted to get its raise."""
    workload_class: Word = ""
    """The shape of its usage: flat, drift, sawtooth, bursty, growth, diurnal, weekly, startup-peak, batch,
    idle or unknown."""
    leak: LeakSummary | None = None
    """Present while it leaks."""
    checkpoint: (
        Annotated[str, Field(max_length=CHECKPOINT_MAX_CHARACTERS, json_schema_extra={"format": "byte"})]
        | None
    ) = None
    """History, packed; read back when the operator starts."""


class LeaseMemory(Model):
    """A burst lease that is in force, or has ended and is not taken back yet."""

    pod_uid: Annotated[str, Field(min_length=1, max_length=64)]
    """The pod's uid."""
    container: Annotated[str, Field(min_length=1, max_length=63)]
    """The container's name."""
    before_bytes: Quantity
    """The limit before the first lease: where it goes back to, if no forecast says otherwise."""
    limit_bytes: Quantity
    """What it was raised to."""
    until_time_seconds: Time
    """When it ends."""


class ProfileStatus(Model):
    """What is known of the workload."""

    policy: Annotated[str, Field(max_length=400)] | None = None
    """The policy that speaks for it, as `MemoryPolicy namespace/name`; absent means none."""
    mode: Mode | None = None
    """That policy's mode."""
    pods: Annotated[int, Field(ge=0)] | None = None
    """Live pods."""
    updated_time_seconds: Time | None = None
    """When this was written."""
    containers: Annotated[tuple[ContainerProfile, ...], map_list("name", MAX_CONTAINERS)] = ()
    """What is known of each container."""
    conditions: Annotated[tuple[Condition, ...], map_list("type", 16)] = ()
    """Ready always; Resizing, Restored, Conflict, Unsupported and Paused while they say something."""
    leases: Annotated[tuple[LeaseMemory, ...], Field(max_length=MAX_LEASES)] | None = None
    """Burst leases of its pods, for an operator that did not grant them; written by themselves."""


class NumaNodeMemory(Model):
    """One NUMA node's memory."""

    id: Annotated[int, Field(ge=0, le=1023)]
    """The kernel's number of it."""
    total_bytes: Quantity | None = None
    """Memory it has."""
    free_bytes: Quantity | None = None
    """Memory that is free."""
    used_bytes: Quantity | None = None
    """Memory in use: what is neither free nor page cache that the kernel drops first."""
    remote_fraction: Annotated[float, Field(ge=0, le=1)] | None = None
    """Share of accesses to it that come from other NUMA nodes' CPUs, of the containers whose policy says
    placement.numa; an estimate: bytes by CPU time, as if all memory of a container were used alike. Absent
    where no such container has memory on it and runs, and for slower memory."""
    tier: Annotated[int, Field(ge=0)] | None = None
    """The kernel's number of its memory tier, smaller is faster; absent where the kernel knows none."""
    slow: bool | None = None
    """Whether it is slower memory than others here: it has no CPUs, or is in a lower tier."""
    needed_bytes: Quantity | None = None
    """What the watched containers' memory on it must keep resident; absent where nobody can tell."""
    cold_bytes: Quantity | None = None
    """What of it has long been idle."""


class Capability(Model):
    """One thing the agent does with the kernel, and by which means it can do it on this node."""

    name: Annotated[str, Field(min_length=1, max_length=63)]
    """What is done: pressure, idle-age, reclaim, page-advice, ..."""
    level: Word = ""
    """The means that was found: for idle-age damon, mglru, idle-bits, refaults or none."""
    found: bool = True
    """Whether it is the best means there is; false says that something less is used, or nothing."""
    message: Sentence = ""
    """What is missing and what is lost by it."""


class ReclaimSummary(Model):
    """What proactive reclaim did on this node since its agent started."""

    containers: Annotated[int, Field(ge=0)] = 0
    """Containers that a policy wants reclaimed."""
    asked_bytes: Quantity | None = None
    """What was asked of the kernel."""
    taken_bytes: Quantity | None = None
    """What it really took."""
    returned_bytes: Quantity | None = None
    """What was touched again and brought back in those containers."""
    paused: Annotated[int, Field(ge=0)] = 0
    """Containers in which reclaim pauses now: pressure, the refault budget, or data that is missing."""


class NodePeak(Model):
    """What a node's pods will need together in the fullest hour to come, as the distribution of their sum.
    Deviations that replicas of a workload have in common count as often as there are of them. Pods that
    nobody forecasts count with their requests."""

    quantiles: Annotated[tuple[QuantileForecast, ...], Field(max_length=16)] = ()
    """The distribution."""
    short_percent: Annotated[float, Field(ge=0, le=100)] | None = None
    """Probability that the node is short of memory within the horizon, percent."""
    horizon_seconds: Duration | None = None
    """How far ahead it speaks."""
    updated_time_seconds: Time | None = None
    """When the operator wrote this."""


class NodeMemorySpec(Model):
    """Nothing to set yet: the object's name is the Kubernetes node's."""


class NodeMemoryStatus(Model):
    """A Kubernetes node's memory, as its agent sees it."""

    capacity_bytes: Quantity | None = None
    """Memory the node has."""
    usage_bytes: Quantity | None = None
    """Memory in use."""
    pressure_percent: Annotated[float, Field(ge=0, le=100)] | None = None
    """PSI some, ten-second average, percent."""
    pressure_forecast_percent: Annotated[float, Field(ge=0, le=100)] | None = None
    """Probability of pressure some seconds ahead, percent."""
    peak: NodePeak | None = None
    """Forecast of the node's peak. Written by the operator where a policy asks for placement.node and it has
    an opinion of the node; all else here is the agent's."""
    needed_bytes: Quantity | None = None
    """What the watched containers must keep resident: hot memory, and what reclaim could not take. Absent
    where nobody can tell."""
    cold_bytes: Quantity | None = None
    """What of theirs has long been idle."""
    swapped_bytes: Quantity | None = None
    """Swap in use: memory that usage no longer counts."""
    swap_room_bytes: Quantity | None = None
    """Swap that is left. A limit of the node: where it is none, only file pages can be reclaimed."""
    containers: Annotated[int, Field(ge=0)] | None = None
    """Containers that are watched."""
    page_policy: Word = ""
    """Which predictor tells idle memory (plimsoll-agent set-policy changes it)."""
    fragmentation_fraction: Annotated[float, Field(ge=0, le=1)] | None = None
    """Share of free memory that is of no use for a huge page; the worst NUMA node's."""
    reclaim: ReclaimSummary | None = None
    """What proactive reclaim did."""
    capabilities: Annotated[tuple[Capability, ...], map_list("name", 32)] = ()
    """What the agent can do on this node, and by which means."""
    limits: Annotated[tuple[Sentence, ...], Field(max_length=16)] = ()
    """Limits of the node that are reported and not fought: no swap, LimitedSwap, swap that is full or saves
    little, demotion that is off."""
    agent_version: Word = ""
    """Version of the agent that wrote this."""
    numa_nodes: Annotated[tuple[NumaNodeMemory, ...], map_list("id", 64)] = ()
    """Per NUMA node."""
    updated_time_seconds: Time | None = None
    """When this was written."""
    conditions: Annotated[tuple[Condition, ...], map_list("type", 16)] = ()
    """Ready (the node's pods are seen), Acting (the agent may write, and policies are read) and, where the
    two are joined, Attending (the operator hears the agent)."""
