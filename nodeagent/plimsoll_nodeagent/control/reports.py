"""What is told upward of a tick: for each container under a policy, and for the node.

In: the reclaimer's state and a snapshot. Out: frozen reports, which /metrics, `plimsoll-agent status` and
NodeMemory show alike. Bytes that nobody can tell are None and never zero.
"""

import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field

from plimsoll.coordinate.sought import unsure_bytes
from plimsoll.pages.control_types import Reason
from plimsoll_nodeagent.act.outcome import Outcome
from plimsoll_nodeagent.capabilities import KernelCapabilities
from plimsoll_nodeagent.control.controlled import Controlled
from plimsoll_nodeagent.control.numa_places import NumaPlaces
from plimsoll_nodeagent.control.numa_under_way import End, Wait
from plimsoll_nodeagent.control.pressing import Pressing
from plimsoll_nodeagent.control.reclaiming import SUFFERS, Reclaimer
from plimsoll_nodeagent.kernelfs import KernelFs
from plimsoll_nodeagent.loop import Snapshot
from plimsoll_nodeagent.sample.buddy import Zone
from plimsoll_nodeagent.sample.numa import NumaNodeSample, read_tiers, sample_numa_nodes
from plimsoll_nodeagent.sample.pressure_readings import fragmentation_ratio, numa_key, read_node, scope_name
from plimsoll_nodeagent.sample.reading import ContainerSample
from plimsoll_nodeagent.sample.triggers import KUBE_NODE

COLD_SECONDS = 120.0
PAUSED = (
    Reason.PRESSURE,
    Reason.FORESEEN,
    Reason.BACKING_OFF,
    Reason.THRASHING,
    Reason.BUDGET,
    Reason.UNKNOWN,
    Reason.CLOCK,
    Reason.SHRINKING,
)


@dataclass(frozen=True, slots=True)
class ContainerReport:
    """Live diagnostics of one container under a policy."""

    container_id: str
    pod_uid: str
    qos: str
    policy: str
    mode: str
    importance: str
    needed_bytes: int | None
    hot_bytes: int | None
    cold_bytes: int | None
    stuck_bytes: int | None
    unsure_bytes: int | None
    """Of what is needed, page cache that was not tried yet."""
    cold_age_seconds: float | None
    working_set_minute_bytes: int | None
    reason: str
    sentence: str
    arm: str
    pressure_ratio: float | None
    budget_bytes: float
    return_ratio: float
    yield_ratio: float
    asked_bytes: int
    taken_bytes: int
    returned_bytes: int
    leak_bytes_per_hour: float | None
    model_loss: float | None
    """Of the hazards of return, faded over its looks; None before two could be compared."""
    model_observations: int
    """Pairs of looks that this loss is of, since the container began or the agent did."""
    pressure_forecast: float | None
    looks: int
    """Looks at its memory by address; 0 where DAMON does not watch it."""
    order_of: str
    """Whose order its cold memory goes in: the expert that the guard follows; empty without addresses."""
    address_cold_bytes: int | None
    bring_back_precision: float | None

    def as_dict(self) -> dict[str, object]:
        """Plain values."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class NumaReport:
    """One NUMA node."""

    numa_node: int
    total_bytes: int
    free_bytes: int
    used_bytes: int
    remote_ratio: float | None
    tier: int | None
    slow: bool
    fragmentation_ratio: float | None
    needed_bytes: int | None
    cold_bytes: int | None
    pressure_forecast: float | None


@dataclass(frozen=True, slots=True)
class PressureReport:
    """What was done ahead of pressure, and how good the forecasts were."""

    proactive: int
    late: int
    rate_limited: int
    futile: int
    reclaimed_bytes: int
    judged: int
    right_ratio: float | None
    brier: float | None
    predictor: str
    """Who has the word, and whom the score is of."""


@dataclass(frozen=True, slots=True)
class NumaPlacesReport:
    """Memory that follows CPUs between NUMA nodes."""

    containers: int
    local_ratio: float | None
    moved_bytes_total: int
    taken_back_total: int
    moving: int
    """Containers of which moves are under way."""
    ended_total: dict[str, int]
    """By why (`numa_under_way.End`)."""
    waits_total: dict[str, int]
    """By what ended a turn early (`numa_under_way.Wait`)."""
    page_seconds: float


@dataclass(frozen=True, slots=True)
class NodeReport:
    """The node."""

    pressure_forecast: float | None
    forecast_fallbacks_total: int
    needed_bytes: int | None
    cold_bytes: int | None
    controlled: int
    paused: int
    asked_total: int
    taken_total: int
    returned_total: int
    brought_back_total: int
    looks_total: int
    places: NumaPlacesReport
    ahead: PressureReport
    numa: tuple[NumaReport, ...]

    @property
    def fragmentation_ratio(self) -> float | None:
        """The worst NUMA node's."""
        known = [each.fragmentation_ratio for each in self.numa if each.fragmentation_ratio is not None]
        return max(known, default=None)


@dataclass(frozen=True, slots=True)
class CoordinationReport:
    """How the agent stands with its operator."""

    attending: bool
    streams_total: int
    given_up_total: int
    """Batches of totals and samples that a full buffer gave up, and messages that could not be written."""
    refused_total: int
    """Messages that a full buffer did not take: what must arrive."""
    leases_total: dict[str, int]
    """By what came of it: asked, granted, refused; away: wanted, and there was nobody to ask."""
    raises_total: int = 0
    """Times that memory.max was seen raised after a lease was asked for."""
    raises_seconds_total: float = 0.0
    """From the request to the kernel's file, of all of them together."""
    raise_seconds: float | None = None
    """Of the last one."""
    stream_failures_total: dict[str, int] = field(default_factory=dict)
    """Streams that were not opened, or ended, by why."""
    why: str = ""
    """Why it does not attend."""
    too_large_total: dict[str, int] = field(default_factory=dict)
    """Of `given_up_total`, those that are larger than an operator takes, by kind."""
    unnamed: int = 0
    """Containers of which the operator is told nothing, for there are more than a hello names."""
    in_part: str = ""
    """What was too large within the last hour."""
    models_total: dict[str, int] = field(default_factory=dict)
    """Shared models by what came of them: told, given, withdrawn, unreadable, refused."""
    policies_version: int = 0
    """When the operator made what it told last of policies, Unix milliseconds; 0: it tells none."""


@dataclass(frozen=True, slots=True)
class Report:
    """What one tick knows."""

    snapshot: Snapshot
    node: NodeReport
    containers: tuple[ContainerReport, ...]
    capabilities: KernelCapabilities
    policy_problem: str
    page_policy: str
    stage_seconds: dict[str, float]
    stage_failures: dict[str, int]
    actions_total: dict[tuple[str, str], int]
    latest: tuple[Outcome, ...]
    models_version: int = 0
    container_failures: dict[str, int] = field(default_factory=dict)
    """By stage: how often something went wrong with one container, which was then left alone."""
    moved_bytes_total: dict[str, int] = field(default_factory=dict)
    """By where to: huge pages, slower memory, and back up to the faster."""
    trials_ended_total: dict[str, int] = field(default_factory=dict)
    """Of the same: what did not pay, and ended for a while."""
    coordination: CoordinationReport | None = None


def container_reports(
    reclaimer: Reclaimer, pressing: Pressing, snapshot: Snapshot
) -> tuple[ContainerReport, ...]:
    """One for each container under a policy that was sampled."""
    sampled = {each.container.key: each for each in snapshot.samples}
    said = pressing.forecasts.probability
    controlled = reclaimer.controlled.items()
    return tuple(_container(each, sampled[key], said.get(key)) for key, each in controlled if key in sampled)


def node_report(
    fs: KernelFs,
    reclaimer: Reclaimer,
    pressing: Pressing,
    places: NumaPlaces,
    looks_total: int,
    snapshot: Snapshot,
) -> NodeReport:
    """The node, and what its containers make together: needed is usage where nobody can tell better."""
    controlled = [each for each in reclaimer.controlled.values() if each.need is not None]
    known = {each.container.key: each.need for each in controlled}
    needed = cold = None
    if controlled:
        rest = sum(each.usage_bytes for each in snapshot.samples if each.container.key not in known)
        store_bytes = reclaimer.readings.store.taken_bytes  # zram's, which is charged to no container
        needed = rest + store_bytes + sum(each.needed_bytes for each in known.values() if each is not None)
        cold = sum(each.cold_bytes for each in known.values() if each is not None)
    said, zones = pressing.forecasts.probability, read_node(fs).zones
    remote, slow = places.remote_shares(), {each.numa_node for each in read_tiers(fs).slow}
    return NodeReport(
        pressure_forecast=said.get(KUBE_NODE),
        forecast_fallbacks_total=pressing.forecasts.fallbacks_total,
        needed_bytes=needed,
        cold_bytes=cold,
        controlled=len(reclaimer.controlled),
        paused=sum(reclaimer.reasons[each] for each in PAUSED),
        asked_total=reclaimer.asked_total,
        taken_total=reclaimer.taken_total,
        returned_total=reclaimer.returned_total,
        brought_back_total=reclaimer.brought_back_total,
        looks_total=looks_total,
        places=NumaPlacesReport(
            containers=len(places.plans),
            local_ratio=places.local_share(),
            moved_bytes_total=places.moves.moved_bytes_total,
            taken_back_total=places.taken_back_total,
            moving=places.moves.moving(),
            ended_total={why.value: places.moves.ended[why] for why in End},
            waits_total={why.value: places.moves.waits[why] for why in Wait},
            page_seconds=places.moves.cost.page_seconds,
        ),
        ahead=pressure_report(pressing),
        numa=tuple(
            _numa(
                each,
                zones,
                controlled,
                said.get(numa_key(each.numa_node)),
                remote.get(each.numa_node),
                slow=each.numa_node in slow,
            )
            for each in sample_numa_nodes(fs)
        ),
    )


def pressure_report(pressing: Pressing) -> PressureReport:
    """Actions ahead of pressure, and the forecasts' score."""
    counts, score = pressing.counts, pressing.forecasts.score
    return PressureReport(
        proactive=counts.proactive,
        late=counts.reactive,
        rate_limited=counts.rate_limited,
        futile=counts.futile,
        reclaimed_bytes=pressing.reclaimed_bytes,
        judged=score.judged,
        right_ratio=_finite(score.right_ratio),
        brier=_finite(score.brier),
        predictor=pressing.forecasts.predictor,
    )


def pressure_dict(pressing: Pressing) -> dict[str, object]:
    """The same as plain values, with the newest forecast of every scope by name."""
    said = pressing.forecasts.probability
    return {**asdict(pressure_report(pressing)), "scopes": {scope_name(key): p for key, p in said.items()}}


def _container(each: Controlled, sample: ContainerSample, probability: float | None) -> ContainerReport:
    plan = each.addresses
    law, need, decision = each.law, each.need, each.decision
    minute = None if each.aged is None else int(each.aged.minute_bytes)
    return ContainerReport(
        container_id=each.container.container_id,
        pod_uid=each.container.pod_uid,
        qos=each.container.qos.value,
        policy=law.policy.source,
        mode=law.policy.mode.value,
        importance=law.policy.importance.value,
        needed_bytes=None if need is None else need.needed_bytes,
        hot_bytes=None if need is None else need.hot_bytes,
        cold_bytes=None if need is None else need.cold_bytes,
        stuck_bytes=None if need is None else need.stuck_bytes,
        unsure_bytes=_unsure_bytes(each, sample),
        cold_age_seconds=_finite(each.cold_age_seconds),
        working_set_minute_bytes=minute,
        reason="" if decision is None else decision.reason.value,
        sentence="" if decision is None else decision.sentence,
        arm=law.arm.name,
        pressure_ratio=law.pressure_ratio,
        budget_bytes=law.budget.balance_bytes,
        return_ratio=law.budget.return_ratio,
        yield_ratio=law.yield_ratio,
        asked_bytes=each.asked_bytes,
        taken_bytes=each.taken_bytes,
        returned_bytes=each.returned_bytes,
        leak_bytes_per_hour=None if each.hint is None else each.hint.growth_bytes_per_hour,
        model_loss=_finite(each.survival.loss),
        model_observations=each.survival.observations,
        pressure_forecast=probability,
        looks=0 if plan is None else plan.looks,
        order_of="" if plan is None else plan.follows,
        address_cold_bytes=None if plan is None or not plan.looks else plan.cold_bytes,
        bring_back_precision=None if plan is None else _finite(plan.returned_ratio),
    )


def _unsure_bytes(each: Controlled, sample: ContainerSample) -> int | None:
    if each.need is None:
        return None
    suffers = each.decision is not None and each.decision.reason in SUFFERS
    return unsure_bytes(sample.usage_bytes, each.need.needed_bytes, sample.cache_bytes, suffers=suffers)


def _numa(
    sample: NumaNodeSample,
    zones: tuple[Zone, ...],
    controlled: Iterable[Controlled],
    probability: float | None,
    remote: float | None,
    *,
    slow: bool,
) -> NumaReport:
    own = tuple(each for each in zones if each.numa_node == sample.numa_node)
    ages = [each.looked.by_numa_node.get(sample.numa_node) for each in controlled if each.looked is not None]
    known = [each for each in ages if each is not None]
    cold = sum(each.idle_bytes(COLD_SECONDS) for each in known)
    hot = sum(each.total_bytes for each in known) - cold
    return NumaReport(
        numa_node=sample.numa_node,
        total_bytes=sample.total_bytes,
        free_bytes=sample.free_bytes,
        used_bytes=max(0, sample.total_bytes - sample.available_bytes),
        remote_ratio=remote,
        tier=sample.tier,
        slow=slow,
        fragmentation_ratio=_finite(fragmentation_ratio(own)),
        needed_bytes=int(hot) if known else None,
        cold_bytes=int(cold) if known else None,
        pressure_forecast=probability,
    )


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
