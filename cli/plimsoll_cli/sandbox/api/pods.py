"""What kube-apiserver enforces about pods: QoS class, what an update may touch, what a resize may touch.

In: the stored pod and the pod a client wants. Out: the pod to store, or a refusal (422) that names the
field. Source: validation.ValidatePodResize and ValidatePodUpdate of Kubernetes 1.37, and ../shared facts
seen on it.
"""

import math
import re
from collections.abc import Iterator
from typing import Any

from plimsoll.api.quantity import parse_quantity

from .errors import ApiError, invalid

Json = Any  # one JSON value of any shape
JsonObject = dict[str, Any]
_RESIZABLE = ("cpu", "memory")
_PLAIN = re.compile(r"[0-9]*\.[0-9]+")  # "0.25" cores: a whole number of them is parse_quantity's


def all_containers(spec: JsonObject) -> Iterator[JsonObject]:
    """Init containers, then containers."""
    yield from spec.get("initContainers") or ()
    yield from spec.get("containers") or ()


def qos_class(spec: JsonObject) -> str:
    """Guaranteed, Burstable or BestEffort, by cpu and memory of all containers."""
    resources = [container.get("resources") or {} for container in all_containers(spec)]
    amounts = [(r.get("requests") or {}, r.get("limits") or {}) for r in resources]
    if not any(side.get(name) for pair in amounts for side in pair for name in _RESIZABLE):
        return "BestEffort"
    for requests, limits in amounts:
        for name in _RESIZABLE:
            if name not in limits or not _equal(requests.get(name, limits[name]), limits[name]):
                return "Burstable"
    return "Guaranteed"


def _equal(left: str, right: str) -> bool:
    return left == right or _milli(left) == _milli(right)


def _milli(quantity: str) -> int:
    text = str(quantity)
    if text.endswith("m"):
        return parse_quantity(text[:-1])
    return math.ceil(float(text) * 1000) if _PLAIN.fullmatch(text) else parse_quantity(text) * 1000


def default_pod(pod: JsonObject) -> None:
    """Fill in what the API server fills in at creation; requests default to limits."""
    spec = pod.setdefault("spec", {})
    for container in all_containers(spec):
        resources = container.setdefault("resources", {})
        for name, amount in (resources.get("limits") or {}).items():
            resources.setdefault("requests", {}).setdefault(name, amount)
        container.setdefault(
            "resizePolicy", [{"resourceName": name, "restartPolicy": "NotRequired"} for name in _RESIZABLE]
        )
    spec.setdefault("restartPolicy", "Always")
    spec.setdefault("terminationGracePeriodSeconds", 30)
    pod["status"] = {"phase": "Pending", "qosClass": qos_class(spec)}
    for container in all_containers(spec):
        check_resources(pod["metadata"]["name"], container)


def check_resources(pod_name: str, container: JsonObject) -> None:
    """Refuse a request above its limit and an amount that is no quantity."""
    resources = container.get("resources") or {}
    limits, requests = resources.get("limits") or {}, resources.get("requests") or {}
    for name in _RESIZABLE:
        for side, amounts in (("limits", limits), ("requests", requests)):
            _check_amount(pod_name, container["name"], f"{side}.{name}", amounts.get(name))
        if name in limits and name in requests and _milli(requests[name]) > _milli(limits[name]):
            field = f"spec.containers[{container['name']}].resources.requests"
            why = f"{field}: Invalid value: {requests[name]!r}: must be less than or equal to {name} limit"
            raise invalid("Pod", pod_name, f"{why} of {limits[name]}")


def _check_amount(pod_name: str, container: str, field: str, amount: Json) -> None:
    if amount is None:
        return
    if str(amount).startswith("-"):
        where = f"spec.containers[{container}].resources.{field}"
        raise invalid(
            "Pod", pod_name, f"{where}: Invalid value: {amount!r}: must be greater than or equal to 0"
        )
    try:
        _milli(str(amount))
    except ValueError as error:
        raise ApiError(400, "BadRequest", f"{field} of container {container}: {error}") from error


def check_update(old: JsonObject, new: JsonObject) -> None:
    """Refuse a plain update that changes resources: that is the resize subresource's."""
    before = {c["name"]: c.get("resources") or {} for c in all_containers(old["spec"])}
    after = {c["name"]: c.get("resources") or {} for c in all_containers(new["spec"])}
    if before != after:
        name = old["metadata"]["name"]
        raise invalid(
            "Pod", name, "spec: Forbidden: pod updates may not change fields other than image, tolerations"
        )
    gates = {each["name"] for each in old["spec"].get("schedulingGates") or ()}
    for each in new["spec"].get("schedulingGates") or ():
        if each["name"] not in gates:
            why = f"only deletion is allowed, but found new scheduling gate '{each['name']}'"
            raise invalid("Pod", old["metadata"]["name"], f"spec.schedulingGates: Forbidden: {why}")


def resized(old: JsonObject, asked: JsonObject) -> JsonObject:
    """The stored pod with the resources that `asked` wants; nothing else of `asked` is taken."""
    name = old["metadata"]["name"]
    if old["status"].get("phase") == "Running" and not _reports_resources(old):
        where = old["spec"].get("nodeName", "")
        raise invalid(
            "Pod", name, f"spec: Forbidden: Pod running on node {where!r} without support for resize"
        )
    wanted = {c["name"]: c for c in all_containers(asked.get("spec") or {})}
    known = {c["name"] for c in all_containers(old["spec"])}
    if set(wanted) != known:
        raise invalid("Pod", name, "spec.containers: Forbidden: pod resize may not add or remove containers")
    new: JsonObject = {**old, "spec": {**old["spec"]}}
    for field in ("initContainers", "containers"):
        if field in old["spec"]:
            new["spec"][field] = [_resized_container(name, c, wanted[c["name"]]) for c in old["spec"][field]]
    if qos_class(new["spec"]) != qos_class(old["spec"]):
        raise invalid("Pod", name, "spec: Forbidden: Pod QOS Class may not change as a result of resizing")
    return new


def _resized_container(pod_name: str, old: JsonObject, asked: JsonObject) -> JsonObject:
    new = {**old, "resources": asked.get("resources") or {}}
    if "resizePolicy" in asked:
        new["resizePolicy"] = asked["resizePolicy"]
    for side in ("requests", "limits"):
        had, has = (old.get("resources") or {}).get(side) or {}, new["resources"].get(side) or {}
        for name in _RESIZABLE:
            if name in had and name not in has:
                raise invalid("Pod", pod_name, f"spec: Forbidden: resource {side} cannot be removed")
    check_resources(pod_name, new)
    return new


def _reports_resources(pod: JsonObject) -> bool:
    statuses = pod["status"].get("containerStatuses") or ()
    return bool(statuses) and all(status.get("resources") is not None for status in statuses)
