"""Every metric of the node agent, in one table: the code, /metrics and the page in docs/ read the same.

In: nothing. Out: `DEFINITIONS`. Units are in the names: `_bytes`, `_seconds`, `_pages`, `_ratio` (0 to 1),
`_total` (a counter). A container is named by the uid of its pod and by its container id: cgroupfs knows no
other names; join them with kube-state-metrics' `kube_pod_container_info`.
"""

from plimsoll_nodeagent.serve.metric_definition import MetricDefinition, MetricKind

_C, _G = MetricKind.COUNTER, MetricKind.GAUGE
CONTAINER_LABELS = ("pod_uid", "container_id", "qos")

_OF_CONTAINERS = (
    ("usage_bytes", _G, "bytes", "Memory charged to the container's cgroup (memory.current).", ()),
    ("usage_peak_bytes", _G, "bytes", "The most that was ever charged (memory.peak).", ()),
    ("working_set_bytes", _G, "bytes", "Usage without inactive file pages, as the kubelet reports it.", ()),
    ("memory_max_bytes", _G, "bytes", "memory.max: +Inf where the kernel has `max`.", ()),
    ("memory_high_bytes", _G, "bytes", "memory.high: +Inf where the kernel has `max`.", ()),
    ("swap_bytes", _G, "bytes", "In swap (memory.swap.current), read back and kept there too.", ()),
    (
        "memory_stat_bytes",
        _G,
        "bytes",
        "Parts of usage from memory.stat: anon, file, inactive_file, slab.",
        ("part",),
    ),
    (
        "refaults_pages_total",
        _C,
        "pages",
        "Reclaimed pages that were touched again, by kind: anon, file.",
        ("pages",),
    ),
    (
        "memory_events_total",
        _C,
        "events",
        "memory.events: low, high, max, oom, oom_kill, oom_group_kill.",
        ("event",),
    ),
    (
        "pressure_ratio",
        _G,
        "0 to 1",
        "PSI of memory: share of the last 10 s or 60 s in which some task, or all (full), stalled.",
        ("stalled", "window"),
    ),
    ("pressure_seconds_total", _C, "seconds", "PSI of memory: all stalls together.", ("stalled",)),
)

_ENGINE_LABELS = ("engine", "level", "falls_back_to")
_OF_RECLAIM = (
    *(
        MetricDefinition(f"plimsoll_container_{name}", kind, unit, text, (*CONTAINER_LABELS, *labels))
        for name, kind, unit, text, labels in (
            (
                "needed_bytes",
                _G,
                "bytes",
                "What must stay resident: hot, and what reclaim could not take.",
                (),
            ),
            ("cold_bytes", _G, "bytes", "What is cold by the page policy in force.", ()),
            (
                "stuck_bytes",
                _G,
                "bytes",
                "Cold, but reclaim could not take it (no swap, pinned, given back).",
                (),
            ),
            ("reclaim_asked_bytes_total", _C, "bytes", "Asked of the kernel in this container.", ()),
            ("reclaim_taken_bytes_total", _C, "bytes", "What the kernel really took, as measured.", ()),
            ("reclaim_returned_bytes_total", _C, "bytes", "Brought back since a policy speaks for it.", ()),
            ("reclaim_budget_bytes", _G, "bytes", "Balance of the refault account; negative is a debt.", ()),
            ("reclaim_state", _G, "1", "Why so much is reclaimed now, or nothing.", ("reason",)),
            (
                "leak_hint_bytes_per_hour",
                _G,
                "bytes",
                "Growth of memory that is touched once and never again; absent where there is none.",
                (),
            ),
        )
    ),
    MetricDefinition(
        "plimsoll_agent_actions_total",
        _C,
        "actions",
        "What was done to the kernel, by answer.",
        ("kind", "answer"),
    ),
    MetricDefinition(
        "plimsoll_agent_stage_seconds", _G, "seconds", "Wall time of each stage of the last tick.", ("stage",)
    ),
    MetricDefinition(
        "plimsoll_agent_stage_failures_total",
        _C,
        "failures",
        "Ticks that ended in a stage's failure.",
        ("stage",),
    ),
    MetricDefinition(
        "plimsoll_agent_container_failures_total",
        _C,
        "failures",
        "What went wrong with one container alone, by stage: it was held, the others went on.",
        ("stage",),
    ),
    MetricDefinition(
        "plimsoll_agent_engine_best",
        _G,
        "0 or 1",
        "The means by which each engine works here; 1 where there is no better one.",
        _ENGINE_LABELS,
    ),
    MetricDefinition(
        "plimsoll_agent_policies_readable",
        _G,
        "0 or 1",
        "0 where policies cannot be read; nothing is reclaimed then.",
    ),
    MetricDefinition(
        "plimsoll_kube_node_pressure_forecast_ratio",
        _G,
        "0 to 1",
        "Probability of pressure some seconds ahead.",
    ),
    MetricDefinition(
        "plimsoll_kube_node_pressure_fallbacks_total",
        _C,
        "forecasts",
        "Pressure forecasts made by plain rules, because the model was missing or not trusted.",
    ),
    MetricDefinition(
        "plimsoll_kube_node_needed_bytes",
        _G,
        "bytes",
        "Usage of all containers less what reclaim could take.",
    ),
    MetricDefinition(
        "plimsoll_kube_node_cold_bytes", _G, "bytes", "Cold memory of containers under a policy."
    ),
    MetricDefinition(
        "plimsoll_numa_node_pressure_forecast_ratio",
        _G,
        "0 to 1",
        "Probability of pressure some seconds ahead, of each NUMA node.",
        ("numa_node",),
    ),
    MetricDefinition(
        "plimsoll_kube_node_ahead_total",
        _C,
        "actions",
        "Actions for foreseen pressure: proactive, late, rate-limited (left out), futile (no effect).",
        ("how",),
    ),
    MetricDefinition(
        "plimsoll_kube_node_ahead_reclaimed_bytes_total", _C, "bytes", "Reclaimed ahead of pressure."
    ),
    MetricDefinition(
        "plimsoll_kube_node_pressure_right_ratio",
        _G,
        "0 to 1",
        "Share of the last few hundred forecasts, of all scopes, that called pressure or calm rightly.",
    ),
    MetricDefinition(
        "plimsoll_kube_node_pressure_brier", _G, "score", "Brier score of the same forecasts; 0 is best."
    ),
    MetricDefinition(
        "plimsoll_kube_node_brought_back_bytes_total", _C, "bytes", "Read in before it was asked for."
    ),
    MetricDefinition(
        "plimsoll_agent_looks_total", _C, "looks", "Looks at containers' memory by address (DAMON)."
    ),
    MetricDefinition(
        "plimsoll_agent_numa_containers", _G, "containers", "Containers whose memory follows their CPUs."
    ),
    MetricDefinition(
        "plimsoll_agent_numa_local_ratio",
        _G,
        "0 to 1",
        "Share of their accesses that are local, as far as all their memory is used alike; the mean.",
    ),
    MetricDefinition(
        "plimsoll_agent_numa_moved_bytes_total", _C, "bytes", "Memory moved between NUMA nodes."
    ),
    MetricDefinition(
        "plimsoll_agent_numa_taken_back_total",
        _C,
        "moves",
        "Moves that were taken back because the container stalled more.",
    ),
    MetricDefinition(
        "plimsoll_agent_numa_moving", _G, "containers", "Containers whose memory is being moved now."
    ),
    MetricDefinition(
        "plimsoll_agent_numa_ended_total",
        _C,
        "moves",
        "Moves that ended: done; rest (some pages stayed); fruitless (none could be asked for); unwanted (by"
        " a new plan); otherwise (others took their place); refused; gone (the container, or its policy).",
        ("why",),
    ),
    MetricDefinition(
        "plimsoll_agent_numa_waits_total",
        _C,
        "turns",
        "Turns that ended before the move did: brake (the container stalled above its bound), time.",
        ("why",),
    ),
    MetricDefinition(
        "plimsoll_agent_numa_page_seconds", _G, "s", "CPU time that moving a page takes here, an estimate."
    ),
    MetricDefinition(
        "plimsoll_agent_moved_bytes_total",
        _C,
        "bytes",
        "Memory gathered into huge pages (huge), let go to slower memory (slower) and brought up (faster).",
        ("to",),
    ),
    MetricDefinition(
        "plimsoll_agent_trials_ended_total",
        _C,
        "trials",
        "Huge pages (huge) and moves to slower memory (slower) that did not pay and ended for a while.",
        ("to",),
    ),
    MetricDefinition(
        "plimsoll_agent_models_version",
        _G,
        "1",
        "Version of what was learned before, from which new containers start; 0: what is built in.",
    ),
    MetricDefinition(
        "plimsoll_numa_node_free_bytes", _G, "bytes", "Free memory of each NUMA node.", ("numa_node",)
    ),
    MetricDefinition(
        "plimsoll_numa_node_fragmentation_ratio",
        _G,
        "0 to 1",
        "Share of free memory in blocks too small for a huge page.",
        ("numa_node",),
    ),
)

DEFINITIONS: tuple[MetricDefinition, ...] = (
    *(
        MetricDefinition(f"plimsoll_container_{name}", kind, unit, text, (*CONTAINER_LABELS, *labels))
        for name, kind, unit, text, labels in _OF_CONTAINERS
    ),
    MetricDefinition(
        "plimsoll_kube_node_memory_bytes",
        _G,
        "bytes",
        "Memory of the node from /proc/meminfo: total, free, available, swap_total, swap_free.",
        ("part",),
    ),
    MetricDefinition(
        "plimsoll_kube_node_pressure_ratio",
        _G,
        "0 to 1",
        "PSI of memory on the whole node, as for containers.",
        ("stalled", "window"),
    ),
    MetricDefinition(
        "plimsoll_kube_node_pressure_seconds_total",
        _C,
        "seconds",
        "PSI of memory on the whole node: all stalls together.",
        ("stalled",),
    ),
    MetricDefinition("plimsoll_agent_build_info", _G, "1", "Always 1; the version is a label.", ("version",)),
    MetricDefinition(
        "plimsoll_agent_ready",
        _G,
        "0 or 1",
        "1 where the last look found the kubelet's root of pods; 0 before the first look, too.",
    ),
    MetricDefinition("plimsoll_agent_pods", _G, "pods", "Pods that have a cgroup on this node."),
    MetricDefinition(
        "plimsoll_agent_containers",
        _G,
        "containers",
        "Containers that were sampled, pod sandboxes among them: cgroupfs cannot tell them.",
    ),
    MetricDefinition(
        "plimsoll_agent_containers_left_out",
        _G,
        "containers",
        "Containers that are not sampled, because there are more than `--most-containers`.",
    ),
    MetricDefinition("plimsoll_agent_containers_added_total", _C, "containers", "Containers that came."),
    MetricDefinition("plimsoll_agent_containers_removed_total", _C, "containers", "Containers that went."),
    MetricDefinition("plimsoll_agent_ticks_total", _C, "ticks", "Looks at the whole node."),
    MetricDefinition("plimsoll_agent_tick_seconds", _G, "seconds", "Wall time of the last look."),
    MetricDefinition(
        "plimsoll_agent_sample_timestamp_seconds", _G, "Unix seconds", "Time at which the last look began."
    ),
    MetricDefinition(
        "plimsoll_agent_reads_failed_total",
        _C,
        "reads",
        "Kernel files that gave nothing: gone (with its cgroup), denied, unsupported, busy, torn, garbled.",
        ("reason",),
    ),
    MetricDefinition(
        "plimsoll_agent_kernel_feature",
        _G,
        "0 or 1",
        "1 where this kernel has the file; found once at start.",
        ("feature",),
    ),
    MetricDefinition(
        "plimsoll_agent_attending",
        _G,
        "0 or 1",
        "1 while the operator hears this agent (--operator-address).",
    ),
    MetricDefinition(
        "plimsoll_agent_policies_made_timestamp_seconds",
        _G,
        "seconds",
        "When the operator made what this agent holds of policies (--policies-from-operator), Unix time.",
    ),
    MetricDefinition(
        "plimsoll_agent_streams_total", _C, "streams", "Streams to the operator that were opened."
    ),
    MetricDefinition(
        "plimsoll_agent_batches_given_up_total",
        _C,
        "batches",
        "Batches of samples and totals for the operator that a full buffer gave up, and messages that could "
        "not be written or had waited too long.",
    ),
    MetricDefinition(
        "plimsoll_agent_messages_refused_total",
        _C,
        "messages",
        "Messages for the operator that a full buffer did not take; changes of the roster are said again.",
    ),
    MetricDefinition(
        "plimsoll_agent_messages_too_large_total",
        _C,
        "messages",
        "Messages for the operator that were given up because they are larger than it takes (1 MiB), by "
        "kind; in plimsoll_agent_batches_given_up_total too.",
        ("kind",),
    ),
    MetricDefinition(
        "plimsoll_agent_containers_unnamed",
        _G,
        "containers",
        "Containers of which the operator is told nothing: a node's agent names 4,096 at most.",
    ),
    MetricDefinition(
        "plimsoll_agent_stream_failures_total",
        _C,
        "streams",
        "Streams to the operator that could not be opened or ended, by why (gRPC's word; `fault`: ours).",
        ("why",),
    ),
    MetricDefinition(
        "plimsoll_agent_leases_total",
        _C,
        "leases",
        "Burst leases: asked, granted, refused; away: wanted, and there was no operator to ask.",
        ("outcome",),
    ),
    MetricDefinition(
        "plimsoll_agent_lease_raises_total",
        _C,
        "raises",
        "Times that memory.max was seen raised within a minute after a lease was asked for.",
    ),
    MetricDefinition(
        "plimsoll_agent_lease_raise_seconds_total",
        _C,
        "seconds",
        "From the request to the kernel's file, of all of these together; looked at four times a second.",
    ),
    MetricDefinition(
        "plimsoll_agent_lease_raise_seconds", _G, "seconds", "The same of the last one; none yet: not there."
    ),
    MetricDefinition(
        "plimsoll_agent_models_total",
        _C,
        "models",
        "Models shared with the fleet: told, given, withdrawn, unreadable, refused (worse than what ships).",
        ("outcome",),
    ),
    MetricDefinition("plimsoll_agent_cpu_seconds_total", _C, "seconds", "The agent's own CPU time."),
    MetricDefinition(
        "plimsoll_agent_resident_bytes_max", _G, "bytes", "The agent's highest resident memory."
    ),
    *_OF_RECLAIM,
)
