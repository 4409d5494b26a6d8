"""The smallest parts of what the API server sends: quantities, times, versions, nested dicts that may be
anything.

In: any JSON value. Out: a number, or None for "not known"; nothing here raises. What many objects have in
common is kept once (`shared`).
"""

import math
from collections.abc import Mapping
from datetime import datetime
from typing import Any, TypeVar

from plimsoll.api.quantity import QuantityError, parse_quantity

Raw = Mapping[str, Any]
Value = TypeVar("Value")

SHARED_LIMIT = 500_000  # entries; beyond it sharing starts afresh, so that it cannot leak


def shared(pool: dict[Value, Value], value: Value) -> Value:
    """The first of all equal values that were ever asked for."""
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


def cpu_millis(value: object) -> int | None:
    """Thousandths of a core of a CPU quantity, rounded up, or None where it is absent or nonsense."""
    if not isinstance(value, str | int) or isinstance(value, bool):
        return None
    text, factor = (str(value)[:-1], 1.0) if str(value).endswith("m") else (str(value), 1000.0)
    try:
        found = factor * float(text)
    except ValueError:
        return None
    return math.ceil(found) if math.isfinite(found) else None


def cpu_request_millis(container: Raw) -> int:
    """What the scheduler counts of CPU for one container of a pod spec; 0 where nothing is asked for."""
    resources = part(container, "resources")
    requests = part(resources, "requests")
    asked = requests.get("cpu") if "cpu" in requests else part(resources, "limits").get("cpu")
    return cpu_millis(asked) or 0


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


def part(raw: Raw, key: str) -> Raw:
    """A nested object; an empty one where there is none."""
    value = raw.get(key)
    return value if isinstance(value, Mapping) else {}


def listed(raw: Raw, key: str) -> list[Raw]:
    """The objects of a nested list; none where there is no list."""
    value = raw.get(key)
    return [each for each in value if isinstance(each, Mapping)] if isinstance(value, list | tuple) else []


def whole(value: object) -> int:
    """A whole number, 0 where it is none."""
    return value if isinstance(value, int) and not isinstance(value, bool) else 0
