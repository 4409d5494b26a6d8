"""Metrics of the loop: what was seen, decided and written, and how the process does.

In: nothing. Out: `LOOP`, definitions for `metrics.DEFINITIONS`.
"""

from plimsoll_operator.serve.definition import SLOW_SECONDS, MetricDefinition, MetricKind

_C, _G, _H = MetricKind.COUNTER, MetricKind.GAUGE, MetricKind.HISTOGRAM

LOOP: tuple[MetricDefinition, ...] = (
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
)
