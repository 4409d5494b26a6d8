"""Pods and the objects that own them, as records.

In: raw pods, ReplicaSets, Jobs. Out: records. A quantity that cannot be read is None, so that a guard
holds.
"""

import sys
from collections.abc import Iterable, Mapping
from dataclasses import replace

from plimsoll.guard.state import ResizeStatus
from plimsoll_operator.parse.needs import HOSTNAME, DoubtError, Needs, Requirement, needs_of
from plimsoll_operator.parse.scalars import (
    SHARED_LIMIT,
    Raw,
    cpu_request_millis,
    listed,
    part,
    quantity,
    seconds,
    shared,
    version,
    whole,
)
from plimsoll_operator.place.gate import gate_of
from plimsoll_operator.records import (
    ContainerRecord,
    ContainerSpec,
    Labels,
    OomRecord,
    OwnerRecord,
    OwnerRef,
    PlacedRecord,
    PodRecord,
    ResizeRecord,
)

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
PLACEMENT_ANNOTATION = "plimsoll.dev/placement"
REVISION_LABEL = "controller-revision-hash"  # of StatefulSets and DaemonSets; a ReplicaSet is one revision
MIRROR_ANNOTATION = "kubernetes.io/config.mirror"
DEFAULT_GRACE = 30  # seconds (corev1.DefaultTerminationGracePeriodSeconds)
RESIZE_PENDING, RESIZE_IN_PROGRESS = "PodResizePending", "PodResizeInProgress"

_shared_specs: dict[ContainerSpec, ContainerSpec] = {}
_shared_labels: dict[Labels, Labels] = {}
_shared_owners: dict[OwnerRef, OwnerRef] = {}
_needs: dict[tuple[str, str], Needs | None] = {}  # by owner and revision: its pods are made from one template


def controller(meta: Raw) -> OwnerRef | None:
    """The owner that controls an object, if any."""
    for owner in meta.get("ownerReferences") or ():
        if isinstance(owner, Mapping) and owner.get("controller"):
            return owner_ref(owner)
    return None


def owner_ref(owner: Raw) -> OwnerRef:
    """One reference, shared by all who make the same."""
    names = (sys.intern(str(owner.get(key, ""))) for key in ("apiVersion", "kind", "name", "uid"))
    found: OwnerRef = shared(_shared_owners, OwnerRef(*names))
    return found


def labels(meta: Raw) -> Labels:
    """Labels without those that only name the single pod, sorted."""
    kept = sorted(
        (sys.intern(str(key)), sys.intern(str(value)))
        for key, value in (meta.get("labels") or {}).items()
        if key not in OWN_LABELS
    )
    found: Labels = shared(_shared_labels, tuple(kept))
    return found


def pod(raw: Raw) -> PodRecord:
    """A pod's record."""
    meta, spec, status = part(raw, "metadata"), part(raw, "spec"), part(raw, "status")
    containers = tuple(_containers(spec, status))
    owner = controller(meta)
    return PodRecord(
        namespace=sys.intern(str(meta.get("namespace", ""))),
        name=str(meta.get("name", "")),
        uid=str(meta.get("uid", "")),
        resource_version=version(meta),
        kube_node=sys.intern(str(spec.get("nodeName") or "")),
        phase=sys.intern(str(status.get("phase", ""))),
        qos=sys.intern(str(status.get("qosClass", ""))),
        owner=owner,
        labels=labels(meta),
        terminating=meta.get("deletionTimestamp") is not None,
        mirror=MIRROR_ANNOTATION in (meta.get("annotations") or {}),
        ready=_condition(status, "Ready").get("status") == "True",
        containers=containers,
        resize=_resize(status),
        requested_bytes=sum(each.spec.request_bytes or 0 for each in containers),
        requested_cpu_millis=sum(cpu_request_millis(each) for each in listed(spec, "containers")),
        placed=_placed(meta),
        needs=_successors_needs(raw, meta, owner),
        gate=gate_of(raw),
        grace_seconds=_grace(spec),
        created_seconds=seconds(meta.get("creationTimestamp")),
    )


def _grace(spec: Raw) -> int:
    """What is not said is what the API server fills in."""
    grace = spec.get("terminationGracePeriodSeconds")
    return grace if isinstance(grace, int) and not isinstance(grace, bool) and grace >= 0 else DEFAULT_GRACE


def _placed(meta: Raw) -> PlacedRecord | None:
    """What `place.affinity` wrote: `<kube node>: <a sentence> (<decision>)`."""
    text = (meta.get("annotations") or {}).get(PLACEMENT_ANNOTATION)
    if not isinstance(text, str):
        return None
    kube_node, _, said = text.partition(": ")
    decision = said.rpartition(" (")[2].rstrip(")")
    return PlacedRecord(sys.intern(kube_node), decision, seconds(meta.get("creationTimestamp")))


def _successors_needs(raw: Raw, meta: Raw, owner: OwnerRef | None) -> Needs | None:
    """What the owner's next pod will need of a kube node; None where nobody makes one, or in doubt."""
    if owner is None:
        return None
    key = (owner.uid, str(part(meta, "labels").get(REVISION_LABEL, "")))
    if key not in _needs:
        if len(_needs) > SHARED_LIMIT:
            _needs.clear()
        _needs[key] = _template_needs(raw, meta)
    return _needs[key]


def _template_needs(raw: Raw, meta: Raw) -> Needs | None:
    if gate_of(raw) is not None:  # ours goes before the pod does
        raw = {**raw, "spec": {**part(raw, "spec"), "schedulingGates": ()}}
    try:
        found = needs_of(raw, {})
    except DoubtError:
        return None
    if PLACEMENT_ANNOTATION not in part(meta, "annotations") or found.terms is None:
        return found
    # What we excluded was this pod's: its successor is placed anew.
    terms = tuple(tuple(line for line in term if not _is_ours(line)) for term in found.terms)
    return replace(found, terms=None if () in terms else terms)


def _is_ours(line: Requirement) -> bool:
    return line.key == HOSTNAME and line.operator == "NotIn"


def container_spec(raw: Raw, *, init: bool) -> ContainerSpec:
    """One container of a pod spec (also of a pod that does not exist yet)."""
    resources = part(raw, "resources")
    limits, requests = part(resources, "limits"), part(resources, "requests")
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
        image=sys.intern(str(raw.get("image") or "")),
    )
    found: ContainerSpec = shared(_shared_specs, spec)
    return found


def specs(spec: Raw) -> tuple[ContainerSpec, ...]:
    """The containers of a pod spec whose memory can be set: regular ones and native sidecars."""
    found = [container_spec(each, init=False) for each in listed(spec, "containers")]
    found += [container_spec(each, init=True) for each in listed(spec, "initContainers")]
    return tuple(each for each in found if each.resizable)


def owned(raw: Raw) -> OwnerRecord | None:
    """A ReplicaSet or Job and its owner; None for an old revision, of which a Deployment keeps ten."""
    meta, replicas = part(raw, "metadata"), part(raw, "spec").get("replicas")
    if replicas == 0 and not part(raw, "status").get("replicas"):
        return None
    return OwnerRecord(
        sys.intern(str(raw.get("kind", ""))),
        sys.intern(str(meta.get("namespace", ""))),
        str(meta.get("name", "")),
        controller(meta),
    )


def _containers(spec: Raw, status: Raw) -> Iterable[ContainerRecord]:
    for key, statuses, init in (
        ("containers", "containerStatuses", False),
        ("initContainers", "initContainerStatuses", True),
    ):
        by_name = {str(each.get("name")): each for each in listed(status, statuses)}
        for raw in listed(spec, key):
            shared = container_spec(raw, init=init)
            if shared.resizable:
                yield _container(shared, by_name.get(shared.name, {}))


def _container(spec: ContainerSpec, status: Raw) -> ContainerRecord:
    resources = part(status, "resources")
    running = part(part(status, "state"), "running")
    return ContainerRecord(
        spec=spec,
        reported="resources" in status,
        actual_limit_bytes=quantity(part(resources, "limits").get("memory")),
        actual_request_bytes=quantity(part(resources, "requests").get("memory")),
        running=bool(running),
        restarts=whole(status.get("restartCount")),
        started_seconds=seconds(running.get("startedAt")),
        oom=_oom(status),
        container_id=str(status.get("containerID") or "").rpartition("/")[2],
    )


def _oom(status: Raw) -> OomRecord | None:
    restarts = whole(status.get("restartCount"))
    for key, kill in (("state", restarts + 1), ("lastState", restarts)):
        ended = part(part(status, key), "terminated")
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
    return next((each for each in listed(status, "conditions") if each.get("type") == kind), {})
