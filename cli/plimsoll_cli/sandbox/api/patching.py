"""The four ways a client may change an object: merge patch, JSON patch, strategic merge, server-side apply.

In: an object and a patch of the given media type. Out: a new object; the old one is never altered.
Strategic merge knows lists that are maps by a key (containers by name, conditions by type, ...), as listed
in kubernetes/api's `patchMergeKey` tags; every other list is replaced. Apply is a strategic merge without
field ownership: what a manager leaves out stays.
"""

import copy
import json
from collections.abc import Mapping, Sequence
from typing import Any

import jsonpatch
import jsonpointer
import yaml

from .errors import ApiError, bad_request

Json = Any  # one JSON value of any shape
JsonObject = dict[str, Any]

MERGE = "application/merge-patch+json"
JSON = "application/json-patch+json"
STRATEGIC = "application/strategic-merge-patch+json"
APPLY = "application/apply-patch+yaml"

# List field -> the key that names its elements (kubernetes/api, `patchMergeKey`).
MERGE_KEYS: Mapping[str, tuple[str, ...]] = {
    "containers": ("name",),
    "initContainers": ("name",),
    "ephemeralContainers": ("name",),
    "containerStatuses": ("name",),
    "initContainerStatuses": ("name",),
    "env": ("name",),
    "volumes": ("name",),
    "volumeMounts": ("mountPath",),
    "ports": ("containerPort", "port"),
    "conditions": ("type",),
    "ownerReferences": ("uid",),
    "resizePolicy": ("resourceName",),
    "imagePullSecrets": ("name",),
    "hostAliases": ("ip",),
    "topologySpreadConstraints": ("topologyKey",),
    "webhooks": ("name",),
    "schedulingGates": ("name",),
}
# Lists of plain values that strategic merge unites (`patchStrategy: merge` without a key).
_UNITED = frozenset({"finalizers"})
# Lists of per-container entries in our own resources would be replaced: structural schemas say atomic.


def merge_patch(target: Json, patch: Json) -> Json:
    """RFC 7386."""
    if not isinstance(patch, dict):
        return copy.deepcopy(patch)
    result = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = merge_patch(result.get(key), value)
    return result


def json_patch(target: JsonObject, operations: Sequence[JsonObject]) -> JsonObject:
    """RFC 6902; a failed `test` or a missing path is a 422, as in kube-apiserver."""
    try:
        patched: JsonObject = jsonpatch.JsonPatch(list(operations)).apply(target)
    except jsonpatch.InvalidJsonPatch as error:
        raise bad_request(f"error decoding patch: {error}") from error
    except (jsonpatch.JsonPatchException, jsonpointer.JsonPointerException) as error:
        raise ApiError(
            422, "Invalid", f"the server rejected our request due to an error in our request: {error}"
        ) from error
    return patched


def strategic_merge(target: Json, patch: Json) -> Json:
    """Kubernetes' strategic merge patch, with its `$patch`, `$retainKeys` and `$deleteFromPrimitiveList`."""
    if not isinstance(patch, dict):
        return copy.deepcopy(patch)
    if patch.get("$patch") == "replace":
        return {key: copy.deepcopy(value) for key, value in patch.items() if key != "$patch"}
    result = dict(target) if isinstance(target, dict) else {}
    if (retained := patch.get("$retainKeys")) is not None:
        result = {key: value for key, value in result.items() if key in retained}
    for key, value in patch.items():
        _merge_key(result, key, value)
    return result


def _merge_key(result: JsonObject, key: str, value: Json) -> None:
    if key.startswith("$deleteFromPrimitiveList/"):
        field = key.partition("/")[2]
        result[field] = [item for item in result.get(field) or () if item not in value]
    elif key.startswith("$"):
        return
    elif value is None:
        result.pop(key, None)
    elif isinstance(value, list):
        result[key] = _merge_list(key, result.get(key) or [], value)
    else:
        result[key] = strategic_merge(result.get(key), value)


def _merge_list(field: str, target: list[Any], patch: list[Any]) -> list[Any]:
    if field in _UNITED:
        return target + [item for item in patch if item not in target]
    name = _list_key(field, patch)
    if name is None or {"$patch": "replace"} in patch:
        return [copy.deepcopy(item) for item in patch if item != {"$patch": "replace"}]
    result = list(target)
    for item in patch:
        position = next((i for i, have in enumerate(result) if have.get(name) == item.get(name)), None)
        if item.get("$patch") == "delete":
            if position is not None:
                del result[position]
        elif position is None:
            result.append(strategic_merge({}, item))
        else:
            result[position] = strategic_merge(result[position], item)
    return result


def _list_key(field: str, patch: list[Any]) -> str | None:
    for key in MERGE_KEYS.get(field, ()):
        if all(isinstance(item, dict) and (key in item or "$patch" in item) for item in patch):
            return key
    return None


def decode(media_type: str, body: bytes) -> Json:
    """The patch document of a request; only apply may be YAML."""
    try:
        return yaml.safe_load(body) if media_type == APPLY else json.loads(body)
    except (yaml.YAMLError, ValueError) as error:
        raise bad_request(f"error decoding patch of type {media_type}: {error}") from error


def apply_patch(media_type: str, target: JsonObject, patch: Json) -> JsonObject:
    """`target` changed by `patch`, which came with `media_type`."""
    if media_type == JSON:
        if not isinstance(patch, list):
            raise bad_request("a JSON patch must be a list of operations")
        return json_patch(target, patch)
    if not isinstance(patch, dict):
        raise bad_request("a patch must be an object")
    if media_type == MERGE:
        merged: JsonObject = merge_patch(target, patch)
    elif media_type in (STRATEGIC, APPLY):
        merged = strategic_merge(target, patch)
    else:
        raise ApiError(
            415, "UnsupportedMediaType", f"the body of the request was in an unknown format: {media_type}"
        )
    return merged
