"""What is told upward of a tick: for each container under a policy, and for the node.

In: the reclaimer's state and a snapshot. Out: frozen reports, which /metrics, `plimsoll-agent status` and
NodeMemory show alike. Bytes that nobody can tell are None and never zero.
"""

import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass

from plimsoll.pages.control_types import Reason
from plimsoll_nodeagent.act.outcome import Outcome
from plimsoll_nodeagent.capabilities import KernelCapabilities
from plimsoll_nodeagent.control.forecasting import PressureForecasts
from plimsoll_nodeagent.control.reclaiming import Controlled, Reclaimer
from plimsoll_nodeagent.kernelfs import Absence, KernelFs
from plimsoll_nodeagent.loop import Snapshot
from plimsoll_nodeagent.sample.buddy import HUGE_PAGE_ORDER, Zone, parse_buddyinfo, unusable_ratio
from plimsoll_nodeagent.sample.formats import FormatError
from plimsoll_nodeagent.sample.numa import NumaNodeSample, sample_numa_nodes
from plimsoll_nodeagent.sample.triggers import KUBE_NODE

COLD_SECONDS = 120.0
PAUSED = (Reason.PRESSURE, Reason.BACKING_OFF, Reason.THRASHING, Reason.BUDGET, Reason.UNKNOWN, Reason.CLOCK)


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

    def as_dict(self) -> dict[str, object]:
        """Plain values."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class NumaReport:
    """One NUMA node."""

    numa_node: int
    total_bytes: int
    free_bytes: int
    fragmentation_ratio: float | None
    needed_bytes: int | None
    cold_bytes: int | None


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
    numa: tuple[NumaReport, ...]

    @property
    def fragmentation_ratio(self) -> float | None:
        """The worst NUMA node's."""
        known = [each.fragmentation_ratio for each in self.numa if each.fragmentation_ratio is not None]
        return max(known, default=None)


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


def container_reports(reclaimer: Reclaimer, snapshot: Snapshot) -> tuple[ContainerReport, ...]:
    """One for each container under a policy that was sampled."""
    sampled = {each.container.key for each in snapshot.samples}
    return tuple(_container(each) for key, each in reclaimer.controlled.items() if key in sampled)


def node_report(
    fs: KernelFs, reclaimer: Reclaimer, forecasts: PressureForecasts, snapshot: Snapshot
) -> NodeReport:
    """The node, and what its containers make together: needed is usage where nobody can tell better."""
    controlled = [each for each in reclaimer.controlled.values() if each.need is not None]
    known = {each.container.key: each.need for each in controlled}
    needed = cold = None
    if controlled:
        rest = sum(each.usage_bytes for each in snapshot.samples if each.container.key not in known)
        needed = rest + sum(each.needed_bytes for each in known.values() if each is not None)
        cold = sum(each.cold_bytes for each in known.values() if each is not None)
    return NodeReport(
        pressure_forecast=forecasts.probability.get(KUBE_NODE),
        forecast_fallbacks_total=forecasts.fallbacks_total,
        needed_bytes=needed,
        cold_bytes=cold,
        controlled=len(reclaimer.controlled),
        paused=sum(reclaimer.reasons[each] for each in PAUSED),
        asked_total=reclaimer.asked_total,
        taken_total=reclaimer.taken_total,
        returned_total=reclaimer.returned_total,
        numa=tuple(_numa(each, _zones(fs), controlled) for each in sample_numa_nodes(fs)),
    )


def _container(each: Controlled) -> ContainerReport:
    law, need, decision = each.law, each.need, each.decision
    minute = None if each.looked is None else int(each.looked.ages.working_set_bytes(60.0))
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
    )


def _numa(sample: NumaNodeSample, zones: tuple[Zone, ...], controlled: Iterable[Controlled]) -> NumaReport:
    own = [each for each in zones if each.numa_node == sample.numa_node]
    free = sum(each.free_pages for each in own)
    worst = (
        sum(unusable_ratio(each, HUGE_PAGE_ORDER) * each.free_pages for each in own) / free if free else None
    )
    ages = [each.looked.by_numa_node.get(sample.numa_node) for each in controlled if each.looked is not None]
    known = [each for each in ages if each is not None]
    cold = sum(each.idle_bytes(COLD_SECONDS) for each in known)
    hot = sum(each.total_bytes for each in known) - cold
    return NumaReport(
        numa_node=sample.numa_node,
        total_bytes=sample.total_bytes,
        free_bytes=sample.free_bytes,
        fragmentation_ratio=worst,
        needed_bytes=int(hot) if known else None,
        cold_bytes=int(cold) if known else None,
    )


def _zones(fs: KernelFs) -> tuple[Zone, ...]:
    text = fs.read("/proc/buddyinfo")
    try:
        return () if isinstance(text, Absence) else parse_buddyinfo(text)
    except FormatError:
        return ()


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
