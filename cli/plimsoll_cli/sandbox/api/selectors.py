"""Label and field selectors, parsed once per request and asked per object.

In: the query's selector texts, an object's labels and a few of its fields. Out: whether it is selected.
Only the fields kube-apiserver offers for the resources used here are known; another is refused, as there.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any

from .errors import bad_request

Labels = Mapping[str, str]
_SET = re.compile(r"^\s*(?P<key>[^\s!=,()]+)\s+(?P<op>in|notin)\s+\((?P<values>[^)]*)\)\s*$")
_EQUALITY = re.compile(r"^\s*(?P<key>[^\s!=,()]+)\s*(?P<op>==|=|!=)\s*(?P<value>[^\s,()]*)\s*$")
_EXISTS = re.compile(r"^\s*(?P<negate>!?)\s*(?P<key>[^\s!=,()]+)\s*$")
_COMMA_OUTSIDE_PARENTHESES = re.compile(r",(?![^()]*\))")

# What a field selector may ask for, by dotted path; every other path is a 400.
FIELDS = (
    "metadata.name",
    "metadata.namespace",
    "spec.nodeName",
    "status.phase",
    "involvedObject.kind",
    "involvedObject.name",
    "involvedObject.uid",
    "reason",
    "type",
)


def _requirement(text: str) -> Callable[[Labels], bool]:
    if match := _SET.match(text):
        key, values = match["key"], {value.strip() for value in match["values"].split(",")}
        if match["op"] == "in":
            return lambda labels: labels.get(key) in values
        return lambda labels: labels.get(key) not in values
    if match := _EQUALITY.match(text):
        key, value = match["key"], match["value"]
        if match["op"] == "!=":
            return lambda labels: labels.get(key) != value
        return lambda labels: labels.get(key) == value
    if match := _EXISTS.match(text):
        key, wanted = match["key"], not match["negate"]
        return lambda labels: (key in labels) is wanted
    raise bad_request(f"unable to parse requirement: {text!r}")


def label_selector(text: str | None) -> Callable[[Labels], bool] | None:
    """The test of a `labelSelector`, or None where everything is selected."""
    if not text:
        return None
    tests = [_requirement(part) for part in _COMMA_OUTSIDE_PARENTHESES.split(text)]
    return lambda labels: all(test(labels) for test in tests)


def field_selector(text: str | None) -> Callable[[Labels], bool] | None:
    """The test of a `fieldSelector` over the values `selectable_fields` gives, or None for everything."""
    if not text:
        return None
    tests = []
    for part in text.split(","):
        match = _EQUALITY.match(part)
        if match is None or match["key"] not in FIELDS:
            raise bad_request(f"field label not supported: {part}")
        tests.append(_requirement(part))
    return lambda fields: all(test(fields) for test in tests)


def selectable_fields(obj: Mapping[str, Any]) -> dict[str, str]:
    """The values of `FIELDS` in one object; absent ones are empty, as kube-apiserver sees them."""
    found: dict[str, str] = {}
    for path in FIELDS:
        value: Any = obj
        for step in path.split("."):
            value = value.get(step) if isinstance(value, Mapping) else None
        found[path] = str(value) if isinstance(value, str | int) else ""
    return found


def matches_selector(selector: Mapping[str, Any] | None, labels: Labels) -> bool:
    """Whether a `metav1.LabelSelector` object selects `labels`; an absent one selects nothing."""
    if selector is None:
        return False
    if any(labels.get(key) != value for key, value in (selector.get("matchLabels") or {}).items()):
        return False
    return all(_expression(expression, labels) for expression in selector.get("matchExpressions") or ())


def _expression(expression: Mapping[str, Any], labels: Labels) -> bool:
    key, values = expression["key"], expression.get("values") or ()
    match expression["operator"]:
        case "In":
            return labels.get(key) in values
        case "NotIn":
            return labels.get(key) not in values
        case "Exists":
            return key in labels
        case "DoesNotExist":
            return key not in labels
        case operator:
            raise bad_request(f"{operator!r} is not a valid label selector operator")
