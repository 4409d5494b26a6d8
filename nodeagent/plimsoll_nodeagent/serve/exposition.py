"""A snapshot as Prometheus reads it.

In: a `Snapshot`. Out: the families of `DEFINITIONS` with their samples, and their text. A value that is
None is not served: an absent series says "not known", zero would say "none". The text is made when it is
asked for and kept until the next snapshot, so that a second scraper costs nothing.
"""

import resource
import threading
import time
from collections.abc import Callable, Iterator

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from plimsoll_nodeagent.control.reports import ContainerReport, CoordinationReport, NumaReport, Report
from plimsoll_nodeagent.kernelfs import Absence
from plimsoll_nodeagent.loop import Snapshot
from plimsoll_nodeagent.sample.formats import Pressure
from plimsoll_nodeagent.sample.reading import ContainerSample
from plimsoll_nodeagent.serve.metrics import CONTAINER_LABELS, DEFINITIONS

_MAXRSS_UNIT_BYTES = 1024  # getrusage counts KiB on Linux

# Values of the further labels of a metric (none, one or two), and the value. None is left out.
Value = tuple[tuple[str, ...], float | None]
EVENTS = ("low", "high", "max", "oom", "oom_kill", "oom_group_kill")


def _stat(sample: ContainerSample) -> list[Value]:
    stat = sample.stat
    if stat is None:
        return []
    return [
        (("anon",), stat.anon_bytes),
        (("file",), stat.file_bytes),
        (("inactive_file",), stat.inactive_file_bytes),
        (("slab",), stat.slab_bytes),
    ]


def _refaults(sample: ContainerSample) -> list[Value]:
    stat = sample.stat
    return (
        [] if stat is None else [(("anon",), stat.refault_anon_pages), (("file",), stat.refault_file_pages)]
    )


def _events(sample: ContainerSample) -> list[Value]:
    events = sample.events or {}
    return [((name,), events.get(name)) for name in EVENTS]


def _ratios(pressure: Pressure | None) -> list[Value]:
    if pressure is None:
        return []
    return [
        (("some", "10s"), pressure.some.avg10_ratio),
        (("some", "60s"), pressure.some.avg60_ratio),
        (("full", "10s"), pressure.full.avg10_ratio),
        (("full", "60s"), pressure.full.avg60_ratio),
    ]


def _stalls(pressure: Pressure | None) -> list[Value]:
    if pressure is None:
        return []
    return [(("some",), pressure.some.total_seconds), (("full",), pressure.full.total_seconds)]


CONTAINER_VALUES: dict[str, Callable[[ContainerSample], list[Value]]] = {
    "plimsoll_container_usage_bytes": lambda each: [((), each.usage_bytes)],
    "plimsoll_container_usage_peak_bytes": lambda each: [((), each.peak_bytes)],
    "plimsoll_container_working_set_bytes": lambda each: [((), each.working_set_bytes)],
    "plimsoll_container_memory_max_bytes": lambda each: [((), each.memory_max_bytes)],
    "plimsoll_container_memory_high_bytes": lambda each: [((), each.memory_high_bytes)],
    "plimsoll_container_swap_bytes": lambda each: [((), each.swap_bytes)],
    "plimsoll_container_memory_stat_bytes": _stat,
    "plimsoll_container_refaults_pages_total": _refaults,
    "plimsoll_container_memory_events_total": _events,
    "plimsoll_container_pressure_ratio": lambda each: _ratios(each.pressure),
    "plimsoll_container_pressure_seconds_total": lambda each: _stalls(each.pressure),
}


def _kube_node_memory(snapshot: Snapshot) -> list[Value]:
    memory = snapshot.kube_node.memory
    if memory is None:
        return []
    return [
        (("total",), memory.total_bytes),
        (("free",), memory.free_bytes),
        (("available",), memory.available_bytes),
        (("swap_total",), memory.swap_total_bytes),
        (("swap_free",), memory.swap_free_bytes),
    ]


def _features(snapshot: Snapshot) -> list[Value]:
    found = snapshot.features
    present: list[Value] = [((name,), 1.0) for name in sorted(found.present)]
    return present + [((each.what,), 0.0) for each in found.missing]


def _resident_bytes() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * _MAXRSS_UNIT_BYTES


NODE_VALUES: dict[str, Callable[[Snapshot], list[Value]]] = {
    "plimsoll_kube_node_memory_bytes": _kube_node_memory,
    "plimsoll_kube_node_pressure_ratio": lambda each: _ratios(each.kube_node.pressure),
    "plimsoll_kube_node_pressure_seconds_total": lambda each: _stalls(each.kube_node.pressure),
    "plimsoll_agent_pods": lambda each: [((), each.pods)],
    "plimsoll_agent_containers": lambda each: [((), len(each.samples))],
    "plimsoll_agent_containers_left_out": lambda each: [((), each.left_out)],
    "plimsoll_agent_containers_added_total": lambda each: [((), each.added_total)],
    "plimsoll_agent_containers_removed_total": lambda each: [((), each.removed_total)],
    "plimsoll_agent_ticks_total": lambda each: [((), each.ticks_total)],
    "plimsoll_agent_tick_seconds": lambda each: [((), each.took_seconds)],
    "plimsoll_agent_sample_timestamp_seconds": lambda each: [((), each.taken_seconds)],
    "plimsoll_agent_reads_failed_total": lambda each: [
        ((reason.value,), each.failures_total[reason]) for reason in Absence
    ],
    "plimsoll_agent_kernel_feature": _features,
    "plimsoll_agent_cpu_seconds_total": lambda _: [((), time.process_time())],
    "plimsoll_agent_resident_bytes_max": lambda _: [((), _resident_bytes())],
}


class SnapshotCollector(Collector):
    """The newest snapshot as metric families; before there is one, the version and that nothing is seen."""

    def __init__(
        self, latest: Callable[[], Snapshot | None], version: str, report: Callable[[], Report | None]
    ) -> None:
        self._latest = latest
        self._version = version
        self._report = report

    def collect(self) -> Iterator[Metric]:
        """Yield every family of the table that has a sample."""
        snapshot = self._latest()
        for definition in DEFINITIONS:
            kind = definition.kind.value
            metric = Metric(definition.name.removesuffix("_total"), definition.description, kind)
            for labels, value in self._samples(definition.name, snapshot):
                metric.add_sample(definition.name, dict(zip(definition.labels, labels, strict=True)), value)
            yield metric

    def _samples(self, name: str, snapshot: Snapshot | None) -> Iterator[tuple[tuple[str, ...], float]]:
        if name == "plimsoll_agent_build_info":
            yield (self._version,), 1.0
        elif name == "plimsoll_agent_ready":
            yield (), float(snapshot is not None and snapshot.sees_pods)
        elif name in REPORT_VALUES:
            report = self._report()
            yield from _known((), [] if report is None else REPORT_VALUES[name](report))
        elif snapshot is None:
            return
        elif name in NODE_VALUES:
            yield from _known((), NODE_VALUES[name](snapshot))
        else:
            values = CONTAINER_VALUES[name]
            for sample in snapshot.samples:
                yield from _known(container_labels(sample), values(sample))


def container_labels(sample: ContainerSample) -> tuple[str, ...]:
    """Return the values of `CONTAINER_LABELS`."""
    container = sample.container
    labels = (container.pod_uid, container.container_id, container.qos.value)
    assert len(labels) == len(CONTAINER_LABELS)
    return labels


def _of_each(
    value: Callable[[ContainerReport], float | None],
) -> Callable[[Report], list[Value]]:
    """A metric of each container under a policy, with the labels of its sample."""
    return lambda report: [
        ((each.pod_uid, each.container_id, each.qos), value(each)) for each in report.containers
    ]


def _reasons(report: Report) -> list[Value]:
    return [((each.pod_uid, each.container_id, each.qos, each.reason), 1.0) for each in report.containers]


def _of_numa(value: Callable[[NumaReport], float | None]) -> Callable[[Report], list[Value]]:
    return lambda report: [((str(each.numa_node),), value(each)) for each in report.node.numa]


def _levels(report: Report) -> list[Value]:
    return [
        ((each.engine.value, each.level.value, each.falls_back_to.value), 0.0 if each.why else 1.0)
        for each in report.capabilities.engines
    ]


def _joined(value: Callable[[CoordinationReport], list[Value]]) -> Callable[[Report], list[Value]]:
    """A metric of an agent that has an operator; without one there is none."""
    return lambda report: [] if report.coordination is None else value(report.coordination)


REPORT_VALUES: dict[str, Callable[[Report], list[Value]]] = {
    "plimsoll_container_needed_bytes": _of_each(lambda each: each.needed_bytes),
    "plimsoll_container_cold_bytes": _of_each(lambda each: each.cold_bytes),
    "plimsoll_container_stuck_bytes": _of_each(lambda each: each.stuck_bytes),
    "plimsoll_container_reclaim_asked_bytes_total": _of_each(lambda each: each.asked_bytes),
    "plimsoll_container_reclaim_taken_bytes_total": _of_each(lambda each: each.taken_bytes),
    "plimsoll_container_reclaim_returned_bytes_total": _of_each(lambda each: each.returned_bytes),
    "plimsoll_container_reclaim_budget_bytes": _of_each(lambda each: each.budget_bytes),
    "plimsoll_container_reclaim_state": _reasons,
    "plimsoll_container_leak_hint_bytes_per_hour": _of_each(lambda each: each.leak_bytes_per_hour),
    "plimsoll_agent_actions_total": lambda each: [
        ((kind, answer), count) for (kind, answer), count in each.actions_total.items()
    ],
    "plimsoll_agent_stage_seconds": lambda each: [
        ((name,), value) for name, value in each.stage_seconds.items()
    ],
    "plimsoll_agent_stage_failures_total": lambda each: [
        ((name,), value) for name, value in each.stage_failures.items()
    ],
    "plimsoll_agent_container_failures_total": lambda each: [
        ((name,), value) for name, value in each.container_failures.items()
    ],
    "plimsoll_agent_engine_best": _levels,
    "plimsoll_agent_policies_readable": lambda each: [((), 0.0 if each.policy_problem else 1.0)],
    "plimsoll_kube_node_pressure_forecast_ratio": lambda each: [((), each.node.pressure_forecast)],
    "plimsoll_kube_node_pressure_fallbacks_total": lambda each: [((), each.node.forecast_fallbacks_total)],
    "plimsoll_kube_node_ahead_total": lambda each: [
        (("proactive",), each.node.ahead.proactive),
        (("late",), each.node.ahead.late),
        (("rate-limited",), each.node.ahead.rate_limited),
        (("futile",), each.node.ahead.futile),
    ],
    "plimsoll_kube_node_ahead_reclaimed_bytes_total": lambda each: [((), each.node.ahead.reclaimed_bytes)],
    "plimsoll_kube_node_pressure_right_ratio": lambda each: [((), each.node.ahead.right_ratio)],
    "plimsoll_kube_node_pressure_brier": lambda each: [((), each.node.ahead.brier)],
    "plimsoll_kube_node_brought_back_bytes_total": lambda each: [((), each.node.brought_back_total)],
    "plimsoll_agent_attending": _joined(lambda each: [((), float(each.attending))]),
    "plimsoll_agent_policies_made_timestamp_seconds": _joined(
        lambda each: [((), each.policies_version / 1000.0)] if each.policies_version else []
    ),
    "plimsoll_agent_streams_total": _joined(lambda each: [((), each.streams_total)]),
    "plimsoll_agent_batches_given_up_total": _joined(lambda each: [((), each.given_up_total)]),
    "plimsoll_agent_messages_refused_total": _joined(lambda each: [((), each.refused_total)]),
    "plimsoll_agent_messages_too_large_total": _joined(
        lambda each: [((kind,), total) for kind, total in each.too_large_total.items()]
    ),
    "plimsoll_agent_containers_unnamed": _joined(lambda each: [((), each.unnamed)]),
    "plimsoll_agent_stream_failures_total": _joined(
        lambda each: [((why,), total) for why, total in each.stream_failures_total.items()]
    ),
    "plimsoll_agent_leases_total": _joined(
        lambda each: [((outcome,), total) for outcome, total in each.leases_total.items()]
    ),
    "plimsoll_agent_lease_raises_total": _joined(lambda each: [((), each.raises_total)]),
    "plimsoll_agent_lease_raise_seconds_total": _joined(lambda each: [((), each.raises_seconds_total)]),
    "plimsoll_agent_lease_raise_seconds": _joined(lambda each: [((), each.raise_seconds)]),
    "plimsoll_agent_models_total": _joined(
        lambda each: [((outcome,), total) for outcome, total in each.models_total.items()]
    ),
    "plimsoll_agent_looks_total": lambda each: [((), each.node.looks_total)],
    "plimsoll_agent_numa_containers": lambda each: [((), each.node.places.containers)],
    "plimsoll_agent_numa_local_ratio": lambda each: [((), each.node.places.local_ratio)],
    "plimsoll_agent_numa_moved_bytes_total": lambda each: [((), each.node.places.moved_bytes_total)],
    "plimsoll_agent_numa_taken_back_total": lambda each: [((), each.node.places.taken_back_total)],
    "plimsoll_agent_numa_moving": lambda each: [((), each.node.places.moving)],
    "plimsoll_agent_numa_ended_total": lambda each: [
        ((why,), total) for why, total in each.node.places.ended_total.items()
    ],
    "plimsoll_agent_numa_waits_total": lambda each: [
        ((why,), total) for why, total in each.node.places.waits_total.items()
    ],
    "plimsoll_agent_numa_page_seconds": lambda each: [((), each.node.places.page_seconds)],
    "plimsoll_agent_moved_bytes_total": lambda each: [((to,), n) for to, n in each.moved_bytes_total.items()],
    "plimsoll_agent_trials_ended_total": lambda each: [
        ((to,), total) for to, total in each.trials_ended_total.items()
    ],
    "plimsoll_agent_models_version": lambda each: [((), each.models_version)],
    "plimsoll_numa_node_pressure_forecast_ratio": _of_numa(lambda each: each.pressure_forecast),
    "plimsoll_kube_node_needed_bytes": lambda each: [((), each.node.needed_bytes)],
    "plimsoll_kube_node_cold_bytes": lambda each: [((), each.node.cold_bytes)],
    "plimsoll_numa_node_free_bytes": _of_numa(lambda each: each.free_bytes),
    "plimsoll_numa_node_fragmentation_ratio": _of_numa(lambda each: each.fragmentation_ratio),
}


def _known(labels: tuple[str, ...], values: list[Value]) -> Iterator[tuple[tuple[str, ...], float]]:
    for more, value in values:
        if value is not None:
            yield (*labels, *more), value


class Exposition:
    """The text of /metrics, made at most once a snapshot."""

    def __init__(
        self,
        latest: Callable[[], Snapshot | None],
        version: str,
        report: Callable[[], Report | None] = lambda: None,
    ) -> None:
        self._latest = latest
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(SnapshotCollector(latest, version, report))
        self._lock = threading.Lock()
        self._made: tuple[Snapshot, bytes] | None = None

    def text(self) -> bytes:
        """Return the text of the newest snapshot."""
        with self._lock:
            snapshot = self._latest()
            if snapshot is None:
                return generate_latest(self._registry)
            if self._made is None or self._made[0] is not snapshot:
                self._made = (snapshot, generate_latest(self._registry))
            return self._made[1]
