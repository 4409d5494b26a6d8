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

from plimsoll.api.contradictions import contradictions
from plimsoll.api.crd import schema
from plimsoll.api.engines import inactive_engines
from plimsoll.api.fields import VALIDATIONS, Model
from plimsoll.api.overlap import overlaps
from plimsoll.api.policy import ClusterMemoryPolicySpec, MemoryPolicySpec, PolicySpec
from plimsoll.api.precedence import field_path
from plimsoll.api.v1alpha1 import API_VERSION, ClusterMemoryPolicy, MemoryPolicy

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


def check(documents: Sequence[object], models: Collection[str] = ()) -> list[Finding]:
    """All findings; `models` are the forecast models that exist (none given: any name passes)."""
    found: list[Finding] = []
    specs: list[tuple[int, str, str, PolicySpec]] = []
    for index, body in enumerate(documents):
        spec, findings = check_one(index, body, models)
        found += findings
        if spec is not None and isinstance(body, Mapping):
            namespace, name = (
                str((body.get("metadata") or {}).get(key, "")) for key in ("namespace", "name")
            )
            specs.append((index, namespace, name, spec))
    found += [Finding(index, path, message) for index, path, message in overlaps(specs)]
    return sorted(found, key=lambda each: each.document)


def check_one(
    index: int, body: object, models: Collection[str] = ()
) -> tuple[PolicySpec | None, list[Finding]]:
    """The spec of one document, where it can be read, and what is wrong with it."""
    if not isinstance(body, Mapping):
        return None, [Finding(index, "", "not a policy: the document is not a mapping")]
    if body.get("apiVersion") != API_VERSION:
        return None, [Finding(index, "apiVersion", f"is {body.get('apiVersion')!r}; want {API_VERSION}")]
    if body.get("kind") not in _KINDS:
        return None, [Finding(index, "kind", f"is {body.get('kind')!r}; want {' or '.join(_KINDS)}")]
    by_path: dict[str, Finding] = {}
    spec = _read(body, body["kind"], by_path, index)
    for path, message in _shape_findings(body):
        by_path.setdefault(path, Finding(index, path, message))
    if spec is not None:
        for each in contradictions(spec):
            by_path.setdefault(each.path, Finding(index, each.path, each.message))
        by_path |= {each.path: each for each in _remarks(index, spec, models)}
    return spec, list(by_path.values())


def _read(body: Mapping[str, Any], kind: str, found: dict[str, Finding], index: int) -> PolicySpec | None:
    """The typed spec; what pydantic refuses goes to `found`."""
    try:
        return _SPECS[kind].model_validate(body.get("spec") or {})
    except ValidationError as error:
        for each in error.errors(include_url=False, include_context=False):
            path = field_path(("spec", *each["loc"]))
            found[path] = Finding(index, path, each["msg"].removeprefix("Value error, "))
        return None


def _remarks(index: int, spec: PolicySpec, models: Collection[str]) -> Iterator[Finding]:
    if models and spec.forecast.model not in models:
        text = f"no forecast model is called {spec.forecast.model!r}; there are {', '.join(models)}"
        yield Finding(index, "spec.forecast.model", text)
    for engine in inactive_engines(spec):
        text = "asks for what is not built yet (condition NotYetActive)"
        yield Finding(index, f"spec.{engine}", text, Severity.NOTE)


@cache
def _schema_of(kind: str) -> dict[str, Any]:
    return schema(_KINDS[kind])


def _shape_findings(body: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    whole = _schema_of(body["kind"])
    for name in body:
        if name not in whole["properties"]:
            yield str(name), _unknown(str(name), whole["properties"])
    if not (body.get("metadata") or {}).get("name"):
        yield "metadata.name", "is missing"
    for path, message in _shape(("spec",), body.get("spec") or {}, whole["properties"]["spec"]):
        yield field_path(path), message


def _shape(path: Path, value: object, node: Mapping[str, Any]) -> Iterator[tuple[Path, str]]:
    """Unknown fields, wrong types and refused texts of a value and all within it, by the schema of the
    CRD."""
    if value is None:
        return  # the API server drops nulls
    if not _has_type(value, node["type"]):
        quoted = ": write it in quotes" if node["type"] == "string" else ""
        yield path, f"{value!r} must be of type {node['type']}{quoted}"
    elif isinstance(value, Mapping):
        yield from _shape_fields(path, value, node)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _shape((*path, index), item, node["items"])
    elif isinstance(value, str) and not re.search(node.get("pattern", ""), value):
        rules = node.get(VALIDATIONS, ())
        yield path, f"{value!r}: {rules[-1]['message'] if rules else 'should match ' + node['pattern']}"


def _shape_fields(
    path: Path, value: Mapping[str, Any], node: Mapping[str, Any]
) -> Iterator[tuple[Path, str]]:
    known = node.get("properties")
    for name, inner in value.items():
        if known is None:
            yield from _shape((*path, name), inner, node.get("additionalProperties", {"type": "string"}))
        elif name in known:
            yield from _shape((*path, name), inner, known[name])
        else:
            yield (*path, name), _unknown(str(name), known)


def _has_type(value: object, wanted: str) -> bool:
    if isinstance(value, bool) and wanted != "boolean":
        return False
    return isinstance(value, _PYTHON_TYPES[wanted])


def _unknown(name: str, known: Mapping[str, Any]) -> str:
    close = get_close_matches(name, known, n=1)
    hint = f"; did you mean {close[0]}?" if close else f"; there are {', '.join(known)}"
    return f"unknown field{hint}"
