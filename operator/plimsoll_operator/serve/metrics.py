"""Every metric of the operator, in one table: the code, /metrics and the page in docs/ read the same.

In: names of the table with their labels. Out: `prometheus-client` metrics in a registry. A name or a label
that is not in the table is an error at once, so that nothing undocumented is served. Units are in the
names: `_seconds`, `_bytes`, `_total` (a counter), and none for plain counts.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

FAST_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0)
SLOW_SECONDS = (0.01, 0.05, 0.1, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0)


class MetricKind(StrEnum):
    """Prometheus' metric types that are used."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


@dataclass(frozen=True, slots=True)
class MetricDefinition:
    """One metric as it is served and documented."""

    name: str
    kind: MetricKind
    unit: str  # seconds, bytes, or what is counted
    description: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = FAST_SECONDS


_C, _G, _H = MetricKind.COUNTER, MetricKind.GAUGE, MetricKind.HISTOGRAM

DEFINITIONS: tuple[MetricDefinition, ...] = (
    MetricDefinition("plimsoll_build_info", _G, "1", "Always 1; the version is a label.", ("version",)),
    MetricDefinition("plimsoll_leader", _G, "0 or 1", "1 while this replica holds the Lease and may write."),
    MetricDefinition("plimsoll_paused", _G, "0 or 1", "1 while acting is paused (`plimsoll pause`)."),
    MetricDefinition(
        "plimsoll_loop_seconds", _H, "seconds", "Wall time of one whole loop.", buckets=SLOW_SECONDS
    ),
    MetricDefinition(
        "plimsoll_loop_stage_seconds",
        _H,
        "seconds",
        "Wall time of one stage of the loop, the engine's stages included (`engine_fetch`, ...).",
        ("stage",),
        SLOW_SECONDS,
    ),
    MetricDefinition("plimsoll_loops_total", _C, "loops", "Loops that ran, by outcome.", ("outcome",)),
    MetricDefinition(
        "plimsoll_loop_last_timestamp_seconds", _G, "Unix seconds", "Time at which a loop last ended."
    ),
    MetricDefinition(
        "plimsoll_event_loop_hold_seconds_max",
        _G,
        "seconds",
        "Longest time the event loop was held in the last minute; more than 0.05 delays webhooks.",
    ),
    MetricDefinition(
        "plimsoll_event_loop_holds_total", _C, "holds", "Times the event loop was held longer than 0.05 s."
    ),
    MetricDefinition(
        "plimsoll_event_loop_hold_cpu_seconds_max",
        _G,
        "seconds",
        "The same in processor time of the loop's thread: what the operator itself, not the machine, is to "
        "blame for.",
    ),
    MetricDefinition(
        "plimsoll_event_loop_cpu_holds_total",
        _C,
        "holds",
        "Times the event loop was held longer than 0.05 s of its own processor time.",
    ),
    MetricDefinition("plimsoll_workloads", _G, "workloads", "Workloads that a policy selects."),
    MetricDefinition(
        "plimsoll_containers",
        _G,
        "containers",
        "Live containers that a policy selects, by its mode.",
        ("mode",),
    ),
    MetricDefinition(
        "plimsoll_owners_unknown_pods", _G, "pods", "Pods whose owner is not known yet, so that they wait."
    ),
    MetricDefinition("plimsoll_policies", _G, "policies", "Policies, by whether they are valid.", ("state",)),
    MetricDefinition(
        "plimsoll_decisions_total",
        _C,
        "decisions",
        "Decisions, by kind (raise, lower, keep, hold) and reason.",
        ("kind", "reason"),
    ),
    MetricDefinition(
        "plimsoll_held_containers",
        _G,
        "containers",
        "Containers held in the last loop, by reason.",
        ("reason",),
    ),
    MetricDefinition(
        "plimsoll_limit_bytes", _G, "bytes", "Sum of the memory limits in force of live selected containers."
    ),
    MetricDefinition(
        "plimsoll_usage_bytes", _G, "bytes", "Sum of the present memory use of live selected containers."
    ),
    MetricDefinition(
        "plimsoll_resizes_total",
        _C,
        "resizes",
        "Resizes asked for, by direction (raise, lower) and outcome (accepted, refused, failed).",
        ("direction", "outcome"),
    ),
    MetricDefinition(
        "plimsoll_resizes_unfinished",
        _G,
        "pods",
        "Pods whose resize has not come to an end, by status (Deferred, Infeasible, InProgress, Error).",
        ("status",),
    ),
    MetricDefinition(
        "plimsoll_price_factor",
        _G,
        "1",
        "What the price of an objective (slack:X, oom:X) has been multiplied by, so that its containers come "
        "to what they ask for.",
        ("objective",),
    ),
    MetricDefinition(
        "plimsoll_promised_exceedances",
        _G,
        "hours",
        "Hours above the limit that forecasts let expect in about the last 14 days, by class of the usage.",
        ("class",),
    ),
    MetricDefinition(
        "plimsoll_realised_exceedances",
        _G,
        "hours",
        "Of the same hours those that were, or would have been, above the limit.",
        ("class",),
    ),
    MetricDefinition(
        "plimsoll_needed_basis_rows",
        _G,
        "rows",
        "Rows whose policy says limits.basis needed, by what their limit is made for: needed, or why it is "
        "usage (awaited, stale, untold, killed).",
        ("basis",),
    ),
    MetricDefinition(
        "plimsoll_agent_clock_skew_seconds_max",
        _G,
        "seconds",
        "How far the clock of the node that is furthest off was from the operator's at its agent's last "
        "hello; nothing is decided by an agent's clock.",
    ),
    MetricDefinition(
        "plimsoll_agents_reclaimed_bytes",
        _G,
        "bytes",
        "What the agents that are known have taken by reclaim, each since it started.",
    ),
    MetricDefinition(
        "plimsoll_agents_returned_bytes",
        _G,
        "bytes",
        "What of it has come back.",
    ),
    MetricDefinition(
        "plimsoll_agents_greeted",
        _G,
        "kube nodes",
        "Nodes whose agent said hello, by its version and its kernel; the rarest together as `others`.",
        ("agent_version", "kernel"),
    ),
    MetricDefinition(
        "plimsoll_agents",
        _G,
        "kube nodes",
        "Nodes whose agent attends (present) or did (away).",
        ("presence",),
    ),
    MetricDefinition(
        "plimsoll_shrinks_total",
        _C,
        "shrinks",
        "Usage-aware shrinks that came to an end: done, abandoned (nothing was written), rolled-back, "
        "superseded (written, then something else set the limit, or the old one was not let through).",
        ("outcome",),
    ),
    MetricDefinition(
        "plimsoll_shrinks_under_way", _G, "containers", "Containers whose agent makes room for a lower limit."
    ),
    MetricDefinition(
        "plimsoll_models_total",
        _C,
        "words",
        "What agents said of shared models, by what came of it: asked, taken, refused, off (learning is), "
        "too-often, unknown, full, unkept, failed; and trials that ended: promote, roll-back.",
        ("outcome", "kind"),
    ),
    MetricDefinition(
        "plimsoll_model_versions_sent_total", _C, "models", "Shared models that agents were given."
    ),
    MetricDefinition(
        "plimsoll_leases_total",
        _C,
        "requests",
        "Burst leases that agents asked for, by outcome (granted, refused, failed).",
        ("outcome",),
    ),
    MetricDefinition("plimsoll_leases_in_force", _G, "containers", "Containers that have a burst lease."),
    MetricDefinition("plimsoll_agent_streams_total", _C, "streams", "Streams of agents that were let in."),
    MetricDefinition(
        "plimsoll_agent_relays_total", _C, "streams", "Streams that were carried to the replica that leads."
    ),
    MetricDefinition(
        "plimsoll_agents_relayed", _G, "streams", "Streams that are carried to the replica that leads now."
    ),
    MetricDefinition(
        "plimsoll_agent_refusals_total",
        _C,
        "streams and messages",
        "Streams of agents that were refused or ended, and messages that make no sense, or for "
        "them could not be written (`unsaid`) or kept (`full`); lease requests that came too "
        "fast; by why.",
        ("why",),
    ),
    MetricDefinition(
        "plimsoll_evictions_total", _C, "evictions", "Evictions asked for, by outcome.", ("outcome",)
    ),
    MetricDefinition(
        "plimsoll_leaking_containers", _G, "containers", "Workloads' containers that leak memory now."
    ),
    MetricDefinition(
        "plimsoll_leak_seconds_to_limit",
        _G,
        "seconds",
        "For each workload's container that leaks: until it reaches its limit at the present pace "
        "(a year where it has none).",
        ("namespace", "kind", "workload", "container"),
    ),
    MetricDefinition(
        "plimsoll_workload_class_containers",
        _G,
        "containers",
        "Workloads' containers by the shape of their usage (flat, drift, sawtooth, bursty, growth, ...).",
        ("class",),
    ),
    MetricDefinition("plimsoll_oom_kills_total", _C, "kills", "OOM kills seen in selected containers."),
    MetricDefinition(
        "plimsoll_api_writes_total",
        _C,
        "requests",
        "Writes to the Kubernetes API, by what was written and the HTTP status (0: no answer).",
        ("what", "status"),
    ),
    MetricDefinition("plimsoll_samples_total", _C, "samples", "Samples of memory taken into the histories."),
    MetricDefinition(
        "plimsoll_samples_rejected_total",
        _C,
        "samples",
        "Samples that were not believed, by reason.",
        ("reason",),
    ),
    MetricDefinition(
        "plimsoll_source_problems_total",
        _C,
        "loops",
        "Loops in which the usage source failed as a whole, so that everything held.",
    ),
    MetricDefinition(
        "plimsoll_usage_age_seconds_max",
        _G,
        "seconds",
        "Age of the oldest newest sample of a live container.",
    ),
    MetricDefinition(
        "plimsoll_engine_up", _G, "0 or 1", "1 while the engine's process runs and is restored."
    ),
    MetricDefinition(
        "plimsoll_engine_restarts_total", _C, "restarts", "Times the engine's process was started anew."
    ),
    MetricDefinition(
        "plimsoll_memory_outcomes_total",
        _C,
        "outcomes",
        "What levels of the fleet's memory answered: hit, miss, stale (Redis was not asked), stored, taken, "
        "joined, confirmed, again (was lost and is sent again), error-slow ...",
        ("level", "outcome"),
    ),
    MetricDefinition(
        "plimsoll_memory_latency_seconds",
        _G,
        "seconds",
        "Within how long a level of the memory did what it was asked, since the start.",
        ("level", "operation", "quantile"),
    ),
    MetricDefinition(
        "plimsoll_memory_redis_away",
        _G,
        "0 or 1",
        "1 while the memory's Redis does not answer, or takes nothing; 0 where it has none.",
    ),
    MetricDefinition(
        "plimsoll_memory_waiting",
        _G,
        "records",
        "Records of the memory that Redis does not have, or has not been read back from yet.",
    ),
    MetricDefinition(
        "plimsoll_memory_unwritten_total",
        _C,
        "histories",
        "Histories that the memory did not take; profiles have them.",
    ),
    MetricDefinition(
        "plimsoll_forecast_rows",
        _G,
        "containers",
        "Workloads' containers whose policy names Prophet, by state (Fitted, Waiting, TooShort, NoSeason, "
        "Failed, Unavailable); in all but the first, auto stands in.",
        ("state",),
    ),
    MetricDefinition(
        "plimsoll_forecast_queue_depth",
        _G,
        "fits",
        "Fits of Prophet that were asked for and are not done; the loop does not wait for them.",
    ),
    MetricDefinition(
        "plimsoll_forecast_fit_seconds",
        _H,
        "seconds",
        "Wall time of one fit of Prophet.",
        buckets=SLOW_SECONDS,
    ),
    MetricDefinition(
        "plimsoll_forecast_fits_total",
        _C,
        "fits",
        "Fits of Prophet, by outcome (fitted, failed).",
        ("outcome",),
    ),
    MetricDefinition(
        "plimsoll_forecast_workers_replaced_total",
        _C,
        "processes",
        "Forecast workers that died or took too long and were replaced.",
    ),
    MetricDefinition(
        "plimsoll_webhook_requests_total",
        _C,
        "requests",
        "Admission reviews answered, by outcome (patched, unchanged, error, timeout).",
        ("outcome",),
    ),
    MetricDefinition("plimsoll_webhook_seconds", _H, "seconds", "Time to answer one admission review."),
    MetricDefinition(
        "plimsoll_placements_total",
        _C,
        "pods",
        "New pods whose policy asks for placement, by outcome: preferred, required, preferred-only (too many "
        "nodes to exclude), held (until room is made), or why there was no opinion (untrusted, unknown, "
        "stale, full, nowhere, no-usage, doubt-...).",
        ("outcome",),
    ),
    MetricDefinition(
        "plimsoll_placement_seconds", _H, "seconds", "Time to decide where one pod should go, of the answer."
    ),
    MetricDefinition(
        "plimsoll_placement_trusted",
        _G,
        "0 or 1",
        "1 while forecasts tell what kube nodes use better than requests do; otherwise nothing is placed.",
    ),
    MetricDefinition(
        "plimsoll_placement_inflation",
        _G,
        "1",
        "Realised variance of what kube nodes use over the promised, at least 1; widens sums in part.",
    ),
    MetricDefinition(
        "plimsoll_placement_kube_nodes",
        _G,
        "kube nodes",
        "Kube nodes by whether there is an opinion of them (known, unknown).",
        ("state",),
    ),
    MetricDefinition(
        "plimsoll_placement_expected_pods",
        _G,
        "pods",
        "Pods that were given a kube node and are not bound yet.",
    ),
    MetricDefinition(
        "plimsoll_placement_coming_pods",
        _G,
        "pods",
        "Pods that are known to start within the day (CronJobs, daily starts), by room: kept on a kube "
        "node, or unfit, where none has any within the bound.",
        ("room",),
    ),
    MetricDefinition(
        "plimsoll_gates_total",
        _C,
        "pods",
        "Pods that were held until room was made and that the operator let go, by outcome: made, no-room, "
        "partly (not all could be evicted who stood in the way), late (its time was over), refused (it was "
        "gone by then).",
        ("outcome",),
    ),
    MetricDefinition(
        "plimsoll_gate_seconds", _H, "seconds", "How long the operator saw a pod held before it let it go."
    ),
    MetricDefinition(
        "plimsoll_relief_kube_nodes",
        _G,
        "kube nodes",
        "Kube nodes in danger of being short of memory within a day, as the leader sees it: endangered, and "
        "unrelieved (those of which not enough pods can be moved).",
        ("state",),
    ),
    MetricDefinition(
        "plimsoll_relief_total",
        _C,
        "pods",
        "Pods that should leave their kube node before it is short, by outcome: proposed (an event), "
        "evicted, refused (by a disruption budget or the API server).",
        ("outcome",),
    ),
)


class Metrics:
    """A table's metrics in a registry of their own."""

    def __init__(self, version: str, definitions: Iterable[MetricDefinition] = DEFINITIONS) -> None:
        self.registry = CollectorRegistry()
        self._by_name: dict[str, Counter | Gauge | Histogram] = {
            each.name: _made(each, self.registry) for each in definitions
        }
        self.set("plimsoll_build_info", 1.0, version=version)

    def count(self, name: str, amount: float = 1.0, **labels: str) -> None:
        """Add to a counter."""
        metric = self._by_name[name]
        assert isinstance(metric, Counter), name
        (metric.labels(**labels) if labels else metric).inc(amount)

    def set(self, name: str, value: float, **labels: str) -> None:
        """Set a gauge."""
        metric = self._by_name[name]
        assert isinstance(metric, Gauge), name
        (metric.labels(**labels) if labels else metric).set(value)

    def follow(self, name: str, read: Callable[[], float]) -> None:
        """Let a gauge show what `read` says at each scrape."""
        metric = self._by_name[name]
        assert isinstance(metric, Gauge), name
        metric.set_function(read)

    def replace(self, name: str, label: str, values: Mapping[str, float]) -> None:
        """Set all of a one-label gauge's series; those that are not named go."""
        metric = self._by_name[name]
        assert isinstance(metric, Gauge), name
        metric.clear()
        for value_of_label, value in values.items():
            metric.labels(**{label: value_of_label}).set(value)

    def replace_many(self, name: str, labels: tuple[str, ...], values: dict[tuple[str, ...], float]) -> None:
        """The same for a gauge of several labels."""
        metric = self._by_name[name]
        assert isinstance(metric, Gauge), name
        metric.clear()
        for of_labels, value in values.items():
            metric.labels(**dict(zip(labels, of_labels, strict=True))).set(value)

    def observe(self, name: str, value: float, **labels: str) -> None:
        """Add an observation to a histogram."""
        metric = self._by_name[name]
        assert isinstance(metric, Histogram), name
        (metric.labels(**labels) if labels else metric).observe(value)

    def value(self, name: str, **labels: str) -> float:
        """Return what a counter or gauge now shows; 0 where it was never set."""
        return self.registry.get_sample_value(name, labels) or 0.0


def _made(definition: MetricDefinition, registry: CollectorRegistry) -> Counter | Gauge | Histogram:
    name, text, labels = definition.name, definition.description, definition.labels
    if definition.kind is MetricKind.COUNTER:
        return Counter(name, text, labels, registry=registry)
    if definition.kind is MetricKind.GAUGE:
        return Gauge(name, text, labels, registry=registry)
    return Histogram(name, text, labels, registry=registry, buckets=definition.buckets)
