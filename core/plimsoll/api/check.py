"""Policy documents -> findings that name the field: what the API server would refuse, and what it cannot
see.

In: dicts as read from YAML, before any cluster has seen them. Out: findings, worst first by document.
Beyond the API server's own checks: unknown fields with the name that was meant, time zones nobody knows,
forecast models that do not exist, and policies that could speak for the same pods.
"""

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from enum import StrEnum
from functools import cache
from typing import Any

from pydantic import ValidationError

from plimsoll.api.conditions import (
    ANYTHING,
    Reach,
    holidays_sentence,
    horizon_sentence,
    model_sentence,
    needed_sentence,
    unreached,
)
from plimsoll.api.contradictions import contradictions
from plimsoll.api.crd import schema
from plimsoll.api.duration import DURATION_PATTERN
from plimsoll.api.engines import inactive_engines
from plimsoll.api.fields import QUANTITY_PATTERN, VALIDATIONS, Model
from plimsoll.api.metadata import metadata_findings
from plimsoll.api.overlap import overlaps
from plimsoll.api.policy import (
    ClusterMemoryPolicySpec,
    MemoryPolicySpec,
    NodePlacement,
    PolicySpec,
    Relief,
)
from plimsoll.api.precedence import field_path, plain
from plimsoll.api.reclaim import Reclaim, ReclaimMode
from plimsoll.api.v1alpha1 import API_VERSION, GROUP, ClusterMemoryPolicy, MemoryPolicy

Path = tuple[str | int, ...]

_KINDS: dict[str, type[Model]] = {"MemoryPolicy": MemoryPolicy, "ClusterMemoryPolicy": ClusterMemoryPolicy}
_SPECS: dict[str, type[PolicySpec]] = {
    "MemoryPolicy": MemoryPolicySpec,
    "ClusterMemoryPolicy": ClusterMemoryPolicySpec,
}
_PYTHON_TYPES: dict[str, tuple[type, ...]] = {
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "array": (list,),
    "object": (dict,),
}


class Severity(StrEnum):
    """`error`: refused, or without effect. `note`: accepted, and worth knowing."""

    ERROR = "error"
    NOTE = "note"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing about one document; `document` counts from 0 in the order given."""

    document: int
    path: str
    message: str
    severity: Severity = Severity.ERROR


def check(
    documents: Sequence[object], models: Collection[str] = (), reach: Reach = ANYTHING
) -> list[Finding]:
    """All findings; `models` are the forecast models that exist (none given: any name passes), `reach` the
    bounds within which prices of objectives are known (none given: any passes)."""
    found: list[Finding] = []
    specs: list[tuple[int, str, str, PolicySpec]] = []
    for index, body in enumerate(documents):
        spec, findings = check_one(index, body, models, reach)
        found += findings
        if spec is not None and isinstance(body, Mapping):
            specs.append((index, _metadata(body, "namespace"), _metadata(body, "name"), spec))
    found += [Finding(index, path, message) for index, path, message in overlaps(specs)]
    return sorted(found, key=lambda each: each.document)


def check_one(
    index: int, body: object, models: Collection[str] = (), reach: Reach = ANYTHING
) -> tuple[PolicySpec | None, list[Finding]]:
    """The spec of one document, where it can be read, and what is wrong with it."""
    if not isinstance(body, Mapping):
        return None, [Finding(index, "", "not a policy: the document is not a mapping")]
    if (finding := _head(index, body)) is not None:
        return None, [finding]
    shape = list(_shape_findings(body))
    by_path = {path: Finding(index, path, message) for path, message, certain in shape if certain}
    spec, refused = _read(body)
    for path, message in refused + [(path, message) for path, message, certain in shape if not certain]:
        by_path.setdefault(path, Finding(index, path, message))
    if spec is not None:
        for each in contradictions(spec):
            by_path.setdefault(each.path, Finding(index, each.path, each.message))
        by_path |= {each.path: each for each in _remarks(index, spec, models, reach)}
    return spec, list(by_path.values())


def _metadata(body: Mapping[str, Any], key: str) -> str:
    metadata = body.get("metadata")
    return str(metadata.get(key) or "") if isinstance(metadata, Mapping) else ""


def _head(index: int, body: Mapping[str, Any]) -> Finding | None:
    """Why a document is not ours to check, or None."""
    version, kind = body.get("apiVersion"), body.get("kind")
    if not isinstance(kind, str) or not kind:
        return Finding(index, "kind", f"is {kind!r}; want one of {', '.join(_KINDS)}")
    if version == API_VERSION and kind in _KINDS:
        return None
    if kind in _KINDS or not version:
        return Finding(index, "apiVersion", f"is {version!r}; want {API_VERSION}")
    if str(version).startswith(f"{GROUP}/"):
        return Finding(index, "kind", f"is {kind!r}; only {' and '.join(_KINDS)} are checked")
    return Finding(index, "kind", f"{version} {kind} is not a policy and was not checked", Severity.NOTE)


def _spec(body: Mapping[str, Any]) -> object:
    """What stands there as the spec; the API server drops nulls."""
    spec = body.get("spec")
    return {} if spec is None else spec


def _read(body: Mapping[str, Any]) -> tuple[PolicySpec | None, list[tuple[str, str]]]:
    """The typed spec and what was refused; the spec is read without the refused fields, to see what else
    is wrong."""
    model, raw = _SPECS[body["kind"]], _spec(body)
    try:
        return model.model_validate(raw), []
    except ValidationError as error:
        wrong = error.errors(include_url=False, include_context=False)
    refused = [(field_path(("spec", *each["loc"])), plain(each["msg"])) for each in wrong]
    try:
        return model.model_validate(_without(raw, [each["loc"] for each in wrong])), refused
    except ValidationError:
        return None, refused


def _without(value: object, paths: Sequence[Path]) -> object:
    """A copy without the fields at these paths; a list keeps its length, so that later indices still hold."""
    inner: dict[str | int, list[Path]] = {}
    for path in filter(None, paths):
        inner.setdefault(path[0], []).append(path[1:])
    if isinstance(value, Mapping):
        kept = {key: each for key, each in value.items() if () not in inner.get(key, ())}
        return {key: _without(each, inner[key]) if key in inner else each for key, each in kept.items()}
    if isinstance(value, list):
        return [_without(each, inner[index]) if index in inner else each for index, each in enumerate(value)]
    return value


def _remarks(index: int, spec: PolicySpec, models: Collection[str], reach: Reach) -> Iterator[Finding]:
    yield from _limits_remarks(index, spec, reach)
    if text := model_sentence(spec, models):
        yield Finding(index, "spec.forecast.model", text)
    if text := horizon_sentence(spec):
        text = f"{text} (condition HorizonNotSupported)"
        yield Finding(index, "spec.forecast.horizon", text, Severity.NOTE)
    if text := holidays_sentence(spec):
        yield Finding(index, "spec.forecast.holidays", f"{text} (condition HolidaysIgnored)", Severity.NOTE)
    if spec.placement.node is not NodePlacement.OFF and not spec.mode.admits:
        text = f"places nothing in mode {spec.mode}: new pods are changed from mode Initial on"
        yield Finding(index, "spec.placement.node", text, Severity.NOTE)
    if spec.placement.relief is Relief.EVICT and not (
        spec.mode.recreates and spec.placement.node is not NodePlacement.OFF
    ):
        text = "evicts nothing: that takes mode InPlaceOrRecreate and placement.node Prefer or Require"
        yield Finding(index, "spec.placement.relief", text, Severity.NOTE)
    for path, reclaim in _reclaims(spec):
        if reclaim.huge_pages and reclaim.mode is not ReclaimMode.PREDICTIVE:
            text = f"gathers nothing in mode {reclaim.mode}: only Predictive knows memory by address"
            yield Finding(index, f"{path}.hugePages", text, Severity.NOTE)
    for engine in inactive_engines(spec):
        text = "asks for what is not built yet (condition NotYetActive)"
        yield Finding(index, f"spec.{engine}", text, Severity.NOTE)


def _limits_remarks(index: int, spec: PolicySpec, reach: Reach) -> Iterator[Finding]:
    for path, text in unreached(spec, reach):
        yield Finding(index, path, f"{text} (condition ObjectiveOutOfReach)", Severity.NOTE)
    if text := needed_sentence(spec):
        yield Finding(index, "spec.limits.basis", f"{text} (condition NeedNotTold)", Severity.NOTE)


def _reclaims(spec: PolicySpec) -> Iterator[tuple[str, Reclaim]]:
    """What holds of reclaim for the policy, and for each container of which it says something else."""
    yield "spec.reclaim", spec.reclaim
    for number, each in enumerate(spec.containers):
        if each.reclaim is not None and each.reclaim.huge_pages is not None:
            yield f"spec.containers[{number}].reclaim", spec.reclaim.with_override(each.reclaim)


@cache
def _schema_of(kind: str) -> dict[str, Any]:
    return schema(_KINDS[kind])


def _shape_findings(body: Mapping[str, Any]) -> Iterator[tuple[str, str, bool]]:
    whole = _schema_of(body["kind"])
    for name in body:
        if name not in whole["properties"]:
            yield str(name), _unknown(str(name), whole["properties"]), True
    for where, message in metadata_findings(body.get("metadata")):
        yield where, message, True
    for path, message, certain in _shape(("spec",), _spec(body), whole["properties"]["spec"]):
        yield field_path(path), message, certain


def _shape(path: Path, value: object, node: Mapping[str, Any]) -> Iterator[tuple[Path, str, bool]]:
    """Unknown fields, wrong types and refused texts of a value and all within it, by the schema of the CRD.

    The flag is False where a typed model may have the better sentence.
    """
    if value is None:
        return  # the API server drops nulls
    if not _has_type(value, node["type"]):
        yield path, _wrong_type(value, node), True
    elif isinstance(value, Mapping):
        yield from _shape_fields(path, value, node)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _shape((*path, index), item, node["items"])
    elif isinstance(value, str) and not re.search(node.get("pattern", ""), value):
        rules = node.get(VALIDATIONS, ())
        yield (
            path,
            f"{value!r}: {rules[-1]['message'] if rules else 'should match ' + node['pattern']}",
            False,
        )


def _shape_fields(
    path: Path, value: Mapping[str, Any], node: Mapping[str, Any]
) -> Iterator[tuple[Path, str, bool]]:
    known = node.get("properties")
    for name, inner in value.items():
        if known is None:
            yield from _shape((*path, name), inner, node.get("additionalProperties", {"type": "string"}))
        elif name in known:
            yield from _shape((*path, name), inner, known[name])
        else:
            yield (*path, name), _unknown(str(name), known), True


def _wrong_type(value: object, node: Mapping[str, Any]) -> str:
    if value is False and "Off" in node.get("enum", ()):
        return 'YAML reads a bare Off as false: write "Off" in quotes'
    quoted = ": write it in quotes" if node["type"] == "string" else ""
    if quoted and node.get("pattern") == QUANTITY_PATTERN:
        quoted = ": write it with a unit, for example 512Mi (a number in quotes means bytes)"
    if quoted and node.get("pattern") == DURATION_PATTERN:
        quoted = ": write it with a unit, for example 15m"
    return f"{value!r} must be of type {node['type']}{quoted}"


def _has_type(value: object, wanted: str) -> bool:
    if isinstance(value, bool) and wanted != "boolean":
        return False
    return isinstance(value, _PYTHON_TYPES[wanted])


def _unknown(name: str, known: Mapping[str, Any]) -> str:
    close = get_close_matches(name, known, n=1)
    hint = f"; did you mean {close[0]}?" if close else f"; there are {', '.join(known)}"
    return f"unknown field{hint}"
