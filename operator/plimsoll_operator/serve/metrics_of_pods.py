"""Metrics of new pods and of where pods go: the webhook, placement, gates, relief.

In: nothing. Out: `NEW_PODS`, definitions for `metrics.DEFINITIONS`.
"""

from plimsoll_operator.serve.definition import MetricDefinition, MetricKind

_C, _G, _H = MetricKind.COUNTER, MetricKind.GAUGE, MetricKind.HISTOGRAM

NEW_PODS: tuple[MetricDefinition, ...] = (
    MetricDefinition(
        "plimsoll_webhook_requests_total",
        _C,
        "requests",
        "Admission reviews answered, by outcome (patched, unchanged, error, timeout).",
        ("outcome",),
    ),
    MetricDefinition(
        "plimsoll_webhook_due_pods_total",
        _C,
        "pods",
        "Pods under a policy that were created while this replica looked: a webhook is asked about each.",
    ),
    MetricDefinition(
        "plimsoll_webhook_certificate_end_timestamp_seconds",
        _G,
        "Unix seconds",
        "Time at which the webhook's certificate ends, or the first of its chain; 0 where there is none.",
    ),
    MetricDefinition("plimsoll_webhook_seconds", _H, "seconds", "Time to answer one admission review."),
    MetricDefinition(
        "plimsoll_placements_total",
        _C,
        "pods",
        "New pods whose policy asks for placement, by outcome: preferred, required, preferred-only (too many "
        "nodes to exclude), preferred-full (no node keeps the bound), held (until room is made), each with "
        "-unmeasured where no agent tells what nodes use, or why there was no opinion (untrusted, unknown, "
        "stale, nowhere, half-known, node-memory, no-usage, doubt-...).",
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
        "Kube nodes by whether there is an opinion of them (known, unknown), and those whose agent has "
        "not told lately what they use (untold; none where no agent ever has).",
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
