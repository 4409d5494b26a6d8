"""Metrics of what operator and node agents say to each other: streams, shrinks, leases, shared models.

In: nothing. Out: `AGENTS`, definitions for `metrics.DEFINITIONS`.
"""

from plimsoll_operator.serve.definition import MetricDefinition, MetricKind

_C, _G = MetricKind.COUNTER, MetricKind.GAUGE

AGENTS: tuple[MetricDefinition, ...] = (
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
        "them could not be written (`unsaid`) or kept (`full`), or are larger than an agent takes "
        "(`too_large`); lease requests that came too fast; by why.",
        ("why",),
    ),
)
