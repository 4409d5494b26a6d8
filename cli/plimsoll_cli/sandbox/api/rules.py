"""What a write does to an object besides what the client asked: defaults, generations, separate status.

In: the old and the asked object, and which subresource was written. Out: the object to store, or a refusal.
"""

import re
import uuid
from datetime import UTC, datetime
from random import Random
from typing import Any

from . import pods
from .errors import bad_request, conflict, invalid
from .resources import ResourceType

JsonObject = dict[str, Any]
_NAME_ALPHABET = "bcdfghjklmnpqrstvwxz2456789"
# A prefix of a name: as a name, but that it may end with dashes.
_PREFIX = re.compile(r"[a-z0-9]([-a-z0-9.]*[-a-z0-9])?")
# Kept by the server, whatever a client sends.
_SERVER_METADATA = ("uid", "creationTimestamp", "generation", "deletionTimestamp", "name", "namespace")


def timestamp(seconds: float) -> str:
    """Unix seconds as Kubernetes writes times: UTC, whole seconds."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def new_object(
    kind: ResourceType, namespace: str | None, obj: JsonObject, now: float, rng: Random
) -> JsonObject:
    """A client's object as it will be stored: named, stamped, without the status it may not set."""
    if not isinstance(obj.get("metadata"), dict):
        raise bad_request("the object provided has no metadata")
    obj = {"apiVersion": kind.api_version, "kind": kind.kind, **obj}
    if obj["kind"] != kind.kind or obj["apiVersion"] != kind.api_version:
        raise bad_request(f"{obj['apiVersion']} {obj['kind']} does not match the expected {kind.kind}")
    metadata = obj["metadata"] = {**obj["metadata"]}
    _name(kind, metadata, rng)
    if kind.namespaced:
        if namespace and metadata.setdefault("namespace", namespace) != namespace:
            raise bad_request(
                "the namespace of the provided object does not match the namespace sent on the request"
            )
        metadata.setdefault("namespace", "default")
    metadata["uid"] = str(uuid.UUID(int=rng.getrandbits(128), version=4))
    metadata["creationTimestamp"] = timestamp(now)
    metadata["generation"] = 1
    metadata.pop("deletionTimestamp", None)
    metadata.pop("resourceVersion", None)
    if kind.has_status and kind.id != ("", "nodes"):  # a kubelet registers its kube node with a status
        obj.pop("status", None)
    if kind.id == ("", "namespaces"):
        metadata["labels"] = {
            **(metadata.get("labels") or {}),
            "kubernetes.io/metadata.name": metadata["name"],
        }
        obj["status"] = {"phase": "Active"}
        metadata["labels"] = {
            **(metadata.get("labels") or {}),
            "kubernetes.io/metadata.name": metadata["name"],
        }
    return obj


def _name(kind: ResourceType, metadata: JsonObject, rng: Random) -> None:
    if not metadata.get("name"):
        if not metadata.get("generateName"):
            raise invalid(kind.kind, "", "metadata.name: Required value: name or generateName is required")
        if not _PREFIX.fullmatch(metadata["generateName"]):
            why = f'metadata.generateName: Invalid value: "{metadata["generateName"]}": not a DNS name'
            raise invalid(kind.kind, "", why)
        metadata["name"] = metadata["generateName"] + "".join(rng.choices(_NAME_ALPHABET, k=5))


def check_version(kind: ResourceType, old: JsonObject, asked: JsonObject, *, required: bool) -> None:
    """409 where the client names another resourceVersion than the stored one."""
    name = old["metadata"]["name"]
    version = (asked.get("metadata") or {}).get("resourceVersion")
    if version in (None, ""):
        if required:
            raise invalid(
                kind.kind, name, "metadata.resourceVersion: Invalid value: 0: must be specified for an update"
            )
    elif version != old["metadata"]["resourceVersion"]:
        raise conflict(kind.plural, name)


def names_another(old: JsonObject, asked: JsonObject) -> bool:
    """Whether the client means an object of that name that is not this one: it names another uid."""
    uid: str = old["metadata"]["uid"]
    return bool((asked.get("metadata") or {}).get("uid", uid) != uid)


def updated(kind: ResourceType, subresource: str, old: JsonObject, asked: JsonObject) -> JsonObject:
    """The object to store after a write of `asked` to `subresource` ("" for the object itself)."""
    if subresource == "status":
        new = {**old, "status": asked.get("status") or {}}
        new["metadata"] = _status_metadata(kind, old["metadata"], asked.get("metadata") or {})
        return new
    if subresource == "resize":
        new = pods.resized(old, asked)
    else:
        new = {**asked, "apiVersion": old["apiVersion"], "kind": old["kind"]}
        new["metadata"] = {**(asked.get("metadata") or {})}
        if kind.has_status:
            new.pop("status", None)
            if "status" in old:
                new["status"] = old["status"]
        if kind.id == ("", "pods"):
            pods.check_update(old, new)
    new["metadata"] = _kept_metadata(old["metadata"], new["metadata"])
    if new.get("spec") != old.get("spec"):
        new["metadata"]["generation"] = old["metadata"].get("generation", 1) + 1
    return new


def _kept_metadata(old: JsonObject, new: JsonObject) -> JsonObject:
    kept = {name: old[name] for name in _SERVER_METADATA if name in old}
    return {**{key: value for key, value in new.items() if key not in _SERVER_METADATA}, **kept}


def _status_metadata(kind: ResourceType, old: JsonObject, asked: JsonObject) -> JsonObject:
    """A status write leaves a custom resource's metadata alone; elsewhere it may change labels."""
    if kind.custom:
        return old
    return {**old, **{key: asked[key] for key in ("labels", "annotations") if key in asked}}


def unchanged(old: JsonObject, new: JsonObject) -> bool:
    """Whether a write changed nothing: then no version is spent and no event sent."""
    same: bool = _without_version(old) == _without_version(new)
    return same


def _without_version(obj: JsonObject) -> JsonObject:
    metadata = {key: value for key, value in obj["metadata"].items() if key != "resourceVersion"}
    return {**obj, "metadata": metadata}
