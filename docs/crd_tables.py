"""The page of kinds and fields.

In: the typed models. Out: Markdown of `crds.md`.
"""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from markdown_table import table

from plimsoll.api.crd import crd
from plimsoll.api.fields import VALIDATIONS
from plimsoll.api.v1alpha1 import API_VERSION, KINDS, Kind


def crds_page() -> str:
    """All four kinds, field by field."""
    seen: dict[str, Mapping[str, Any]] = {}
    head = (
        f"# Kinds and fields\n\nAll kinds are of `{API_VERSION}`; the YAML ships in the operator's package.\n"
    )
    return "\n".join([head, *(_kind_section(kind, seen) for kind in KINDS)])


def _kind_section(kind: Kind, seen: dict[str, Mapping[str, Any]]) -> str:
    made = crd(kind)
    whole = made["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    scope = "one namespace" if kind.namespaced else "the whole cluster"
    columns = ", ".join(column.name for column in kind.columns)
    names = f"Short name `{kind.short_name}`, plural `{kind.plural}`; lives in {scope}."
    lines = [
        f"## {kind.name}\n",
        f"{whole['description']}\n",
        f"{names} `kubectl get {kind.short_name}` shows {columns}.\n",
        *(_part_section(kind, part, whole["properties"][part], seen) for part in ("spec", "status")),
    ]
    return "\n".join(lines)


def _part_section(kind: Kind, part: str, node: Mapping[str, Any], seen: dict[str, Mapping[str, Any]]) -> str:
    """Fields of spec or status; those that are word for word a former kind's are only named."""
    fresh, same = {}, []
    for name, inner in node.get("properties", {}).items():
        known = seen.setdefault(f"{part}.{name}", inner)
        if known is inner or known != inner:
            fresh[name] = inner
        else:
            same.append(f"`{part}.{name}`")
    lines = [f"### {kind.name} {part}\n"]
    if same:
        lines.append(f"As in {KINDS[0].name}: {', '.join(same)}.\n")
    if fresh:
        lines.append(table(("field", "type", "default", "meaning"), _rows(part, {"properties": fresh})))
    if not node.get("properties"):
        lines.append(node["description"] + "\n")
    refusals = list(dict.fromkeys(_refusals(part, {**node, "properties": fresh})))
    if refusals and part == "spec":  # people write no status
        lines.append("Refused by the API server, with these words:\n")
        lines.append(table(("field", "sentence"), refusals))
    return "\n".join(lines)


def _rows(path: str, node: Mapping[str, Any]) -> Iterator[tuple[str, str, str, str]]:
    required = node.get("required", ())
    for name, inner in node.get("properties", {}).items():
        here = f"{path}.{name}"
        default = inner.get("default")
        shown = f"`{json.dumps(default)}`" if default not in (None, {}) else ""
        meaning = inner.get("description", "") + (" **Required.**" if name in required else "")
        yield f"`{here}`", _type(inner), shown, meaning
        yield from _rows(here, inner)
        if "items" in inner:
            yield from _rows(f"{here}[]", inner["items"])


def _type(node: Mapping[str, Any]) -> str:
    if "enum" in node:
        return " ".join(f"`{value}`" for value in node["enum"])
    if node["type"] == "array":
        return f"list of {_type(node['items'])}"
    if "minimum" in node and "maximum" in node:
        least = "(" if node.get("exclusiveMinimum") else "["
        return f"{node['type']} {least}{node['minimum']:.10g}, {node['maximum']:.10g}]"
    return str(node["type"])


def _refusals(path: str, node: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for each in node.get(VALIDATIONS, ()):
        yield f"`{path}{each.get('fieldPath', '')}`", each["message"]
    for name, inner in node.get("properties", {}).items():
        yield from _refusals(f"{path}.{name}", inner)
    if "items" in node:
        yield from _refusals(f"{path}[]", node["items"])
