"""What surrounds pods: namespaces, LimitRanges, ResourceQuotas, HorizontalPodAutoscalers, kube nodes.

In: raw objects. Out: records with the memory part of each, None where there is none.
"""

import sys

from plimsoll.guard.state import MemoryRange
from plimsoll_operator.parse.pods import labels
from plimsoll_operator.parse.scalars import Raw, cpu_millis, listed, part, quantity, seconds, shared
from plimsoll_operator.records import (
    HpaRecord,
    KubeNodeRecord,
    LimitRangeRecord,
    NamespaceRecord,
    NodeMemoryRecord,
    QuotaRecord,
)

NODE_CLASS_LABEL = "plimsoll.dev/node-class"
INSTANCE_TYPE_LABEL = "node.kubernetes.io/instance-type"

Taints = tuple[tuple[str, str, str], ...]
_shared_taints: dict[Taints, Taints] = {}


def namespace(raw: Raw) -> NamespaceRecord:
    """A namespace and its labels."""
    meta = part(raw, "metadata")
    return NamespaceRecord(str(meta.get("name", "")), labels(meta))


def limit_range(raw: Raw) -> LimitRangeRecord | None:
    """The memory items of a LimitRange, None where it has none."""
    meta = part(raw, "metadata")
    name = str(meta.get("name", ""))
    found = [_range(name, item) for item in listed(part(raw, "spec"), "limits")]
    ranges = tuple(each for each in found if each is not None)
    return LimitRangeRecord(str(meta.get("namespace", "")), ranges) if ranges else None


def quota(raw: Raw) -> QuotaRecord | None:
    """The memory part of a ResourceQuota, None where it has none. Scopes are ignored: rather too strict."""
    meta, status = part(raw, "metadata"), part(raw, "status")
    hard, used = part(part(raw, "spec"), "hard"), part(status, "used")
    requests_key = "requests.memory" if "requests.memory" in hard else "memory"
    limits, requests = quantity(hard.get("limits.memory")), quantity(hard.get(requests_key))
    if limits is None and requests is None:
        return None
    return QuotaRecord(
        str(meta.get("namespace", "")),
        str(meta.get("name", "")),
        limits,
        # Not yet counted: everything counts as used, so that nothing is raised on a guess.
        _used(used.get("limits.memory"), limits),
        requests,
        _used(used.get(requests_key), requests),
    )


def hpa(raw: Raw) -> HpaRecord | None:
    """An HPA, None unless it scales on memory."""
    meta, spec = part(raw, "metadata"), part(raw, "spec")
    if not any(_on_memory(metric) for metric in listed(spec, "metrics")):
        return None
    target = part(spec, "scaleTargetRef")
    return HpaRecord(
        str(meta.get("namespace", "")),
        str(meta.get("name", "")),
        str(target.get("kind", "")),
        str(target.get("name", "")),
    )


def kube_node(raw: Raw) -> KubeNodeRecord:
    """A kube node: what it can give, whether it swaps, which class it belongs to, who may go there."""
    meta, status, spec = part(raw, "metadata"), part(raw, "status"), part(raw, "spec")
    allocatable = part(status, "allocatable")
    named = part(meta, "labels")
    swap = part(part(status, "nodeInfo"), "swap").get("capacity")
    return KubeNodeRecord(
        str(meta.get("name", "")),
        quantity(allocatable.get("memory")),
        swap if isinstance(swap, int) else 0,
        sys.intern(str(named.get(NODE_CLASS_LABEL) or named.get(INSTANCE_TYPE_LABEL) or "")),
        quantity(part(status, "capacity").get("memory")),
        cpu_millis(allocatable.get("cpu")),
        quantity(allocatable.get("pods")),
        labels(meta),
        _taints(spec),
        spec.get("unschedulable") is True,
    )


def node_memory(raw: Raw) -> NodeMemoryRecord:
    """What an agent wrote of its kube node, and when an operator did of its peak."""
    status = part(raw, "status")
    name = str(part(raw, "metadata").get("name", ""))
    usage, updated = quantity(status.get("usage")), seconds(status.get("updatedTime"))
    return NodeMemoryRecord(name, usage, updated, seconds(part(status, "peak").get("updatedTime")))


def _taints(spec: Raw) -> Taints:
    names = ("key", "value", "effect")
    found = [[sys.intern(str(each.get(name) or "")) for name in names] for each in listed(spec, "taints")]
    taints: Taints = shared(_shared_taints, tuple((key, value, effect) for key, value, effect in found))
    return taints


def _range(name: str, item: Raw) -> MemoryRange | None:
    scope = str(item.get("type", ""))
    low, high = (quantity(part(item, key).get("memory")) for key in ("min", "max"))
    ratio = part(item, "maxLimitRequestRatio").get("memory")
    if scope not in ("Container", "Pod") or (low is None and high is None and ratio is None):
        return None
    return MemoryRange(name, scope, low, high, _ratio(ratio))


def _ratio(value: object) -> float | None:
    try:
        return float(str(value)) if value is not None else None
    except ValueError:
        return None


def _used(value: object, hard: int | None) -> int:
    known = quantity(value)
    return known if known is not None else hard or 0


def _on_memory(metric: Raw) -> bool:
    return any(part(metric, key).get("name") == "memory" for key in ("resource", "containerResource"))
