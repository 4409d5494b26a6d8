"""From what the API server sends to records. Nothing that a cluster may hold makes these functions raise.

In: raw dicts of pods, owners, namespaces, quotas, nodes, profiles. Out: records. A quantity that cannot be
read is None ("not known"), so that a guard holds; it never becomes a number.
"""

import sys
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from pydantic import ValidationError

from plimsoll.api.fields import Condition
from plimsoll.api.policy import PolicyStatus
from plimsoll.api.precedence import read_policy
from plimsoll.api.profile import RecommendationSummary
from plimsoll.api.quantity import QuantityError, parse_quantity
from plimsoll.guard.state import MemoryRange, ResizeStatus
from plimsoll_operator.records import (
    ContainerRecord,
    ContainerSpec,
    ControlRecord,
    HpaRecord,
    KubeNodeRecord,
    Labels,
    LimitRangeRecord,
    NamespaceRecord,
    OomRecord,
    OwnerRecord,
    OwnerRef,
    PodRecord,
    PolicyRecord,
    ProfileRecord,
    QuotaRecord,
    RememberedContainer,
    RememberedDecision,
    ResizeRecord,
)

Raw = Mapping[str, Any]

# Labels that differ from pod to pod of one workload: nobody selects a policy by them, and without them all
# replicas share one tuple of labels.
OWN_LABELS = frozenset(
    {
        "pod-template-hash",
        "controller-revision-hash",
        "pod-template-generation",
        "statefulset.kubernetes.io/pod-name",
        "apps.kubernetes.io/pod-index",
        "batch.kubernetes.io/job-completion-index",
        "batch.kubernetes.io/controller-uid",
        "controller-uid",
    }
)
MIRROR_ANNOTATION = "kubernetes.io/config.mirror"
NODE_CLASS_LABEL = "plimsoll.dev/node-class"
INSTANCE_TYPE_LABEL = "node.kubernetes.io/instance-type"
RESIZE_PENDING, RESIZE_IN_PROGRESS = "PodResizePending", "PodResizeInProgress"

_shared_specs: dict[ContainerSpec, ContainerSpec] = {}
_shared_labels: dict[Labels, Labels] = {}
_shared_owners: dict[OwnerRef, OwnerRef] = {}
SHARED_LIMIT = 500_000  # entries; beyond it sharing starts afresh, so that it cannot leak


def _shared(pool: dict[Any, Any], value: Any) -> Any:  # noqa: ANN401 -- any hashable, returned as it came
    if len(pool) > SHARED_LIMIT:
        pool.clear()
    return pool.setdefault(value, value)


def quantity(value: object) -> int | None:
    """Bytes of a quantity, or None where it is absent or nonsense."""
    if value is None or not isinstance(value, str | int):
        return None
    try:
        return parse_quantity(value)
    except QuantityError:
        return None


def seconds(value: object) -> float | None:
    """Unix seconds of an RFC 3339 time, or None."""
    if not isinstance(value, str):
        return None
    try:
        return datetime.fromisoformat(value).timestamp()
    except ValueError:
        return None


def version(meta: Raw) -> int:
    """The resourceVersion as a number (comparable since Kubernetes 1.35), 0 where it is none."""
    text = meta.get("resourceVersion")
    return int(text) if isinstance(text, str) and text.isdigit() else 0


def controller(meta: Raw) -> OwnerRef | None:
    """The owner that controls an object, if any."""
    for owner in meta.get("ownerReferences") or ():
        if isinstance(owner, Mapping) and owner.get("controller"):
            return owner_ref(owner)
    return None


def owner_ref(owner: Raw) -> OwnerRef:
    """One reference, shared by all who make the same."""
    names = (sys.intern(str(owner.get(key, ""))) for key in ("apiVersion", "kind", "name", "uid"))
    found: OwnerRef = _shared(_shared_owners, OwnerRef(*names))
    return found


def labels(meta: Raw) -> Labels:
    """Labels without those that only name the single pod, sorted."""
    kept = sorted(
        (sys.intern(str(key)), sys.intern(str(value)))
        for key, value in (meta.get("labels") or {}).items()
        if key not in OWN_LABELS
    )
    found: Labels = _shared(_shared_labels, tuple(kept))
    return found


def pod(raw: Raw) -> PodRecord:
    """A pod's record."""
    meta, spec, status = _part(raw, "metadata"), _part(raw, "spec"), _part(raw, "status")
    containers = tuple(_containers(spec, status))
    return PodRecord(
        namespace=sys.intern(str(meta.get("namespace", ""))),
        name=str(meta.get("name", "")),
        uid=str(meta.get("uid", "")),
        resource_version=version(meta),
        kube_node=sys.intern(str(spec.get("nodeName") or "")),
        phase=sys.intern(str(status.get("phase", ""))),
        qos=sys.intern(str(status.get("qosClass", ""))),
        owner=controller(meta),
        labels=labels(meta),
        terminating=meta.get("deletionTimestamp") is not None,
        mirror=MIRROR_ANNOTATION in (meta.get("annotations") or {}),
        ready=_condition(status, "Ready").get("status") == "True",
        containers=containers,
        resize=_resize(status),
        requested_bytes=sum(each.spec.request_bytes or 0 for each in containers),
    )


def container_spec(raw: Raw, *, init: bool) -> ContainerSpec:
    """One container of a pod spec (also of a pod that does not exist yet)."""
    resources = _part(raw, "resources")
    limits, requests = _part(resources, "limits"), _part(resources, "requests")
    policies = raw.get("resizePolicy") or ()
    sidecar = init and raw.get("restartPolicy") == "Always"
    limit = quantity(limits.get("memory"))
    request = quantity(requests.get("memory"))
    cpu = limits.get("cpu")
    spec = ContainerSpec(
        name=sys.intern(str(raw.get("name", ""))),
        limit_bytes=limit,
        request_bytes=limit if request is None and "memory" not in requests else request,
        restarts_on_resize=any(
            each.get("resourceName") == "memory" and each.get("restartPolicy") == "RestartContainer"
            for each in policies
            if isinstance(each, Mapping)
        ),
        resizable=not init or sidecar,
        cpu_guaranteed=cpu is not None and str(cpu) == str(requests.get("cpu", cpu)),
        sidecar=sidecar,
    )
    found: ContainerSpec = _shared(_shared_specs, spec)
    return found


def specs(spec: Raw) -> tuple[ContainerSpec, ...]:
    """The containers of a pod spec whose memory can be set: regular ones and native sidecars."""
    found = [container_spec(each, init=False) for each in _listed(spec, "containers")]
    found += [container_spec(each, init=True) for each in _listed(spec, "initContainers")]
    return tuple(each for each in found if each.resizable)


def owned(raw: Raw) -> OwnerRecord | None:
    """A ReplicaSet or Job and its owner; None for an old revision, of which a Deployment keeps ten."""
    meta, replicas = _part(raw, "metadata"), _part(raw, "spec").get("replicas")
    if replicas == 0 and not _part(raw, "status").get("replicas"):
        return None
    return OwnerRecord(
        sys.intern(str(raw.get("kind", ""))),
        sys.intern(str(meta.get("namespace", ""))),
        str(meta.get("name", "")),
        controller(meta),
    )


def namespace(raw: Raw) -> NamespaceRecord:
    """A namespace and its labels."""
    meta = _part(raw, "metadata")
    return NamespaceRecord(str(meta.get("name", "")), labels(meta))


def limit_range(raw: Raw) -> LimitRangeRecord | None:
    """The memory items of a LimitRange, None where it has none."""
    meta = _part(raw, "metadata")
    name = str(meta.get("name", ""))
    found = [
        _range(name, item) for item in _part(raw, "spec").get("limits") or () if isinstance(item, Mapping)
    ]
    ranges = tuple(each for each in found if each is not None)
    return LimitRangeRecord(str(meta.get("namespace", "")), ranges) if ranges else None


def quota(raw: Raw) -> QuotaRecord | None:
    """The memory part of a ResourceQuota, None where it has none. Scopes are ignored: rather too strict."""
    meta, status = _part(raw, "metadata"), _part(raw, "status")
    hard = _part(raw, "spec").get("hard") or {}
    used = status.get("used") or {}
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
    meta, spec = _part(raw, "metadata"), _part(raw, "spec")
    if not any(_on_memory(metric) for metric in spec.get("metrics") or () if isinstance(metric, Mapping)):
        return None
    target = _part(spec, "scaleTargetRef")
    return HpaRecord(
        str(meta.get("namespace", "")),
        str(meta.get("name", "")),
        str(target.get("kind", "")),
        str(target.get("name", "")),
    )


def kube_node(raw: Raw) -> KubeNodeRecord:
    """A kube node: what it can give, whether it swaps, and which class of nodes it belongs to."""
    meta, status = _part(raw, "metadata"), _part(raw, "status")
    named = meta.get("labels") or {}
    swap = _part(_part(status, "nodeInfo"), "swap").get("capacity")
    return KubeNodeRecord(
        str(meta.get("name", "")),
        quantity(_part(status, "allocatable").get("memory")),
        swap if isinstance(swap, int) else 0,
        sys.intern(str(named.get(NODE_CLASS_LABEL) or named.get(INSTANCE_TYPE_LABEL) or "")),
    )


def policy(raw: Raw) -> PolicyRecord | None:
    """A policy and its status, None where it speaks for nothing."""
    effective = read_policy(raw)
    if effective is None:
        return None
    try:
        status = PolicyStatus.model_validate(raw.get("status") or {})
    except ValidationError:
        status = PolicyStatus()  # rewritten whole
    return PolicyRecord(effective, str(_part(raw, "metadata").get("uid", "")), status)


def profile(raw: Raw) -> ProfileRecord:
    """A profile without its checkpoints."""
    meta, spec, status = _part(raw, "metadata"), _part(raw, "spec"), _part(raw, "status")
    target = _part(spec, "targetRef")
    return ProfileRecord(
        namespace=str(meta.get("namespace", "")),
        name=str(meta.get("name", "")),
        uid=str(meta.get("uid", "")),
        resource_version=version(meta),
        kind=sys.intern(str(target.get("kind", ""))),
        target=str(target.get("name", "")),
        node_class=str(spec.get("nodeClass") or ""),
        restore=spec.get("restore") is True,
        updated_seconds=seconds(status.get("updatedTime")),
        containers=tuple(_remembered(each) for each in _listed(status, "containers")),
        conditions=_conditions(status),
    )


def checkpoints(raw: Raw) -> dict[str, str]:
    """The base64 checkpoints of a profile by container."""
    each = _listed(_part(raw, "status"), "containers")
    return {
        str(one.get("name", "")): one["checkpoint"] for one in each if isinstance(one.get("checkpoint"), str)
    }


def control(raw: Raw) -> ControlRecord:
    """The control ConfigMap; anything but a plain `true` runs on."""
    return ControlRecord(str((raw.get("data") or {}).get("paused", "")).strip().lower() == "true")


def _part(raw: Raw, key: str) -> Raw:
    value = raw.get(key)
    return value if isinstance(value, Mapping) else {}


def _listed(raw: Raw, key: str) -> list[Raw]:
    value = raw.get(key)
    return [each for each in value if isinstance(each, Mapping)] if isinstance(value, list | tuple) else []


def _containers(spec: Raw, status: Raw) -> Iterable[ContainerRecord]:
    for key, statuses, init in (
        ("containers", "containerStatuses", False),
        ("initContainers", "initContainerStatuses", True),
    ):
        by_name = {str(each.get("name")): each for each in _listed(status, statuses)}
        for raw in _listed(spec, key):
            shared = container_spec(raw, init=init)
            if shared.resizable:
                yield _container(shared, by_name.get(shared.name, {}))


def _container(spec: ContainerSpec, status: Raw) -> ContainerRecord:
    resources = _part(status, "resources")
    running = _part(_part(status, "state"), "running")
    return ContainerRecord(
        spec=spec,
        reported="resources" in status,
        actual_limit_bytes=quantity(_part(resources, "limits").get("memory")),
        actual_request_bytes=quantity(_part(resources, "requests").get("memory")),
        running=bool(running),
        restarts=_whole(status.get("restartCount")),
        started_seconds=seconds(running.get("startedAt")),
        oom=_oom(status),
    )


def _oom(status: Raw) -> OomRecord | None:
    restarts = _whole(status.get("restartCount"))
    for key, kill in (("state", restarts + 1), ("lastState", restarts)):
        ended = _part(_part(status, key), "terminated")
        at_seconds = seconds(ended.get("finishedAt"))
        if ended.get("reason") == "OOMKilled" and at_seconds is not None:
            # The kill that led to restart n is the same whether the restart has happened yet or not.
            return OomRecord(str(ended.get("containerID") or ""), kill, at_seconds)
    return None


def _resize(status: Raw) -> ResizeRecord | None:
    pending, progress = _condition(status, RESIZE_PENDING), _condition(status, RESIZE_IN_PROGRESS)
    if pending.get("status") == "True":
        infeasible = pending.get("reason") == "Infeasible"
        return _resize_record(pending, ResizeStatus.INFEASIBLE if infeasible else ResizeStatus.DEFERRED)
    if progress.get("status") == "True":
        refused = progress.get("reason") == "Error"
        return _resize_record(progress, ResizeStatus.ERROR if refused else ResizeStatus.IN_PROGRESS)
    return None


def _resize_record(condition: Raw, status: ResizeStatus) -> ResizeRecord:
    return ResizeRecord(
        status, str(condition.get("message") or ""), seconds(condition.get("lastTransitionTime"))
    )


def _condition(status: Raw, kind: str) -> Raw:
    return next((each for each in _listed(status, "conditions") if each.get("type") == kind), {})


def _range(name: str, item: Raw) -> MemoryRange | None:
    scope = str(item.get("type", ""))
    low, high = (quantity(_part(item, key).get("memory")) for key in ("min", "max"))
    ratio = _part(item, "maxLimitRequestRatio").get("memory")
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
    return any(_part(metric, key).get("name") == "memory" for key in ("resource", "containerResource"))


def _whole(value: object) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) else 0


def _remembered(raw: Raw) -> RememberedContainer:
    decision, oom, original = _part(raw, "lastDecision"), _part(raw, "oom"), raw.get("originalResources")
    kept = None
    if isinstance(original, Mapping):
        kept = (quantity(original.get("limit")), quantity(original.get("request")))
    return RememberedContainer(
        name=sys.intern(str(raw.get("name", ""))),
        original=kept,
        decision=_decision(decision) if decision else None,
        oom_count=_whole(oom.get("count")),
        oom_seconds=seconds(oom.get("lastTime")),
        oom_limit_bytes=quantity(oom.get("limit")),
        oom_floor_bytes=quantity(oom.get("floor")),
        recommended=_recommended(_part(raw, "recommendation")),
    )


def _decision(raw: Raw) -> RememberedDecision:
    return RememberedDecision(
        kind=sys.intern(str(raw.get("kind", ""))),
        reason=sys.intern(str(raw.get("reason", ""))),
        message=str(raw.get("message", "")),
        at_seconds=seconds(raw.get("time")),
        from_bytes=quantity(raw.get("from")),
        to_bytes=quantity(raw.get("to")),
    )


def _conditions(status: Raw) -> tuple[Condition, ...]:
    try:
        return tuple(Condition.model_validate(each) for each in _listed(status, "conditions"))
    except ValidationError:
        return ()


def _recommended(raw: Raw) -> RecommendationSummary | None:
    try:
        return RecommendationSummary.model_validate(raw) if raw else None
    except ValidationError:
        return None
