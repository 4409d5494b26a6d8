"""The CRDs, made from the typed models: what is not in a model is not in the API.

In: a `Kind` of `v1alpha1.KINDS`. Out: a CustomResourceDefinition as a dict: a structural OpenAPI v3 schema
with defaults, bounds, enums and CEL rules, printer columns, short names and the status subresource.
Pydantic's JSON schema is the raw material; what Kubernetes does not take is rewritten here ($ref, anyOf
with null, exclusive bounds, titles).
"""

from collections.abc import Iterator
from typing import Any

from plimsoll.api.fields import Model
from plimsoll.api.v1alpha1 import GROUP, KINDS, VERSION, Column, Kind

Schema = dict[str, Any]

_FIRST = ("type", "description", "default", "enum")  # the order in which a person reads a field
_DROPPED = {"title", "$defs", "default", "additionalProperties", "exclusiveMinimum", "exclusiveMaximum"}


def crds() -> Iterator[tuple[str, Schema]]:
    """Every CRD with the name of its file, `memorypolicies.yaml`."""
    for kind in KINDS:
        yield f"{kind.plural}.yaml", crd(kind)


def crd(kind: Kind) -> Schema:
    """The CustomResourceDefinition of one kind."""
    version = {
        "name": VERSION,
        "served": True,
        "storage": True,
        "subresources": {"status": {}},
        "additionalPrinterColumns": [_column(each) for each in kind.columns],
        "schema": {"openAPIV3Schema": schema(kind.model)},
    }
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": kind.crd_name, "labels": {"app.kubernetes.io/part-of": "plimsoll"}},
        "spec": {
            "group": GROUP,
            "scope": "Namespaced" if kind.namespaced else "Cluster",
            "names": {
                "kind": kind.name,
                "listKind": f"{kind.name}List",
                "plural": kind.plural,
                "singular": kind.name.lower(),
                "shortNames": [kind.short_name],
                "categories": ["plimsoll"],
            },
            "versions": [version],
        },
    }


def schema(model: type[Model]) -> Schema:
    """The structural schema of a whole kind: apiVersion, kind, metadata, spec and status."""
    raw = model.model_json_schema(
        by_alias=True, mode="serialization"
    )  # defaults as text, as the cluster has them
    whole = _structural(raw, raw.get("$defs", {}))
    spec, status = (whole["properties"][name] for name in ("spec", "status"))
    status.pop("default")  # a status appears when somebody writes one
    head: Schema = {
        "apiVersion": {"type": "string"},
        "kind": {"type": "string"},
        "metadata": {"type": "object"},
    }
    return whole | {"properties": head | {"spec": spec, "status": status}}


def _column(column: Column) -> Schema:
    priority = {"priority": column.priority} if column.priority else {}
    return {"name": column.name, "type": column.type, "jsonPath": column.path} | priority


def _structural(raw: Schema, definitions: dict[str, Schema]) -> Schema:
    """Pydantic's schema as Kubernetes takes it: references inlined, no null, bounds and defaults its way."""
    node = _inlined(raw, definitions)
    out = {key: value for key, value in node.items() if key not in _DROPPED}
    for bound, flag in (("minimum", "exclusiveMinimum"), ("maximum", "exclusiveMaximum")):
        if flag in node:
            out |= {bound: node[flag], flag: True}
    if "description" in node:
        out["description"] = " ".join(node["description"].split())
    if "properties" in node:
        out["properties"] = {k: _structural(v, definitions) for k, v in node["properties"].items()}
    for inner in ("items", "additionalProperties"):
        if isinstance(node.get(inner), dict):
            out[inner] = _structural(node[inner], definitions)
    out |= _default(node)
    return {key: out[key] for key in (*_FIRST, *out) if key in out}


def _inlined(raw: Schema, definitions: dict[str, Schema]) -> Schema:
    """One node with its reference and its `or null` resolved; what the field says wins over what the type
    says."""
    outer = {key: value for key, value in raw.items() if key not in {"anyOf", "$ref"}}
    inner: Schema = next((each for each in raw.get("anyOf", ()) if each.get("type") != "null"), {})
    if "$ref" in raw:
        inner = definitions[raw["$ref"].rsplit("/", 1)[1]]
    return _inlined(inner, definitions) | outer if inner else outer


def _default(node: Schema) -> Schema:
    """The default, where there is one to fill in; an object's is empty, since its fields have their own."""
    value = node.get("default")
    if value is None or value in ([], ""):
        return {}
    return {"default": {} if isinstance(value, dict) else value}
