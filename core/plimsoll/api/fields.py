"""The field types all kinds share: text in the cluster, plain numbers with a unit in their name in Python.

In: JSON as the API server holds it (`cooldown: 10m`, `min: 256Mi`, `time: 2026-11-21T10:00:00Z`). Out:
`cooldown_seconds: int`, `min_bytes: int`, `time_seconds: float`, and back. One rule makes the names: a
Python name loses its unit and turns to camelCase, because in the API the unit lives in the value. CEL rules
are written beside the fields they check.
"""

import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    WithJsonSchema,
)
from pydantic.alias_generators import to_camel

from plimsoll.api.duration import (
    DURATION_PATTERN,
    UNIT_SECONDS,
    DurationError,
    format_duration,
    parse_duration,
)
from plimsoll.api.effective import LEAST_LIMIT_BYTES
from plimsoll.api.quantity import QuantityError, format_quantity, parse_quantity
from plimsoll.api.window import WINDOW_EXAMPLE, WINDOW_PATTERN, parse_window

VALIDATIONS = "x-kubernetes-validations"
QUANTITY_PATTERN = r"^([0-9]+(\.[0-9]*)?|\.[0-9]+)([KMGTPE]i|[kMGTPE]|[eE][0-9]{1,2})?$"

_UNITS = ("_seconds", "_bytes", "_fraction", "_percent")


def rule(expression: str, message: str, field: str = "") -> dict[str, str]:
    """One CEL validation; `field` (a path below the object, `.min`) is what the refusal points at."""
    return {"rule": expression, "message": message, "reason": "FieldValueInvalid"} | (
        {"fieldPath": field} if field else {}
    )


def rules(*each: dict[str, str]) -> dict[str, Any]:
    """`json_schema_extra` for a model that is checked by CEL rules."""
    return {VALIDATIONS: list(each)}


def api_name(python_name: str) -> str:
    """`min_change_fraction` -> `minChange`: the unit is in the value there."""
    for unit in _UNITS:
        python_name = python_name.removesuffix(unit)
    return to_camel(python_name)


class Model(BaseModel):
    """Frozen, camelCase outside; fields a newer version of the CRD may bring are ignored, not refused."""

    model_config = ConfigDict(
        frozen=True,
        extra="ignore",
        alias_generator=api_name,
        validate_by_name=True,
        validate_by_alias=True,
        use_attribute_docstrings=True,
    )

    def to_api(self) -> dict[str, Any]:
        """The JSON object the API server takes; what is unset is left out."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)


def seconds_in_cel(path: str = "self") -> str:
    """A CEL expression for the seconds of a duration that matches the pattern."""
    number = f"int({path}.substring(0, size({path}) - 1))"
    larger = {unit: factor for unit, factor in UNIT_SECONDS.items() if factor > 1}
    units = "".join(f"{path}.endsWith('{unit}') ? {factor} : " for unit, factor in larger.items())
    return f"{number} * ({units}1)"


def duration_schema(least: str, most: str) -> dict[str, Any]:
    """Schema of a duration between two others, refused with a sentence outside them."""
    low, high = parse_duration(least), parse_duration(most)
    shape, seconds = f"self.matches('{DURATION_PATTERN}')", seconds_in_cel()
    return {
        "type": "string",
        "maxLength": 9,
        "pattern": DURATION_PATTERN,
        VALIDATIONS: [
            rule(shape, "write a whole number and one of s, m, h, d, w, for example 15m or 14d"),
            rule(
                f"!{shape} || ({seconds} >= {low} && {seconds} <= {high})",
                f"must lie between {least} and {most}",
            ),
        ],
    }


def between(least: str, most: str) -> Callable[[int], int]:
    """The same bounds for Python's side: a check of whole seconds, inclusive."""
    low, high = parse_duration(least), parse_duration(most)

    def check(seconds: int) -> int:
        if not low <= seconds <= high:
            raise DurationError(f"{format_duration(seconds)} must lie between {least} and {most}")
        return seconds

    return check


def _rfc3339(seconds: float) -> str:
    return datetime.fromtimestamp(int(seconds), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _unix(value: float | str | datetime) -> float:
    if isinstance(value, str):
        value = datetime.fromisoformat(value)
    return value.timestamp() if isinstance(value, datetime) else float(value)


def _checked_window(text: str) -> str:
    return parse_window(text).text


_quantity_shape = f"self.matches('{QUANTITY_PATTERN.replace(chr(92), chr(92) * 2)}')"
_NO_QUANTITY = "not a memory quantity: write for example 512Mi, 2Gi or a number of bytes in quotes"


def _quantity_schema(*more: dict[str, str]) -> dict[str, Any]:
    """Schema of a memory quantity; `more` rules hold besides. The shape's rule is last: `check` quotes it."""
    return {
        "type": "string",
        "minLength": 1,
        "maxLength": 24,
        "pattern": QUANTITY_PATTERN,
        VALIDATIONS: [
            *more,
            rule("!self.startsWith('-')", "a memory quantity cannot be negative"),
            rule(
                f"self.startsWith('-') || {_quantity_shape}",
                _NO_QUANTITY,
            ),
        ],
    }


def _upper_bound(text: str | int) -> int:
    value_bytes = parse_quantity(text)
    if value_bytes >= LEAST_LIMIT_BYTES:
        return value_bytes
    if not re.search(QUANTITY_PATTERN, str(text)):  # 512m: a thousandth, half a byte
        raise QuantityError(f"{text!r}: {_NO_QUANTITY}")
    raise QuantityError(f"{format_quantity(value_bytes)} {_AT_LEAST}")


_LEAST = format_quantity(LEAST_LIMIT_BYTES)
_AT_LEAST = f"must be at least {_LEAST}; a number without a unit means bytes: write for example 512Mi"
_is_enough = f"!isQuantity(self) || !quantity(self).isLessThan(quantity('{_LEAST}'))"

Quantity = Annotated[
    int,
    BeforeValidator(parse_quantity),
    PlainSerializer(format_quantity, return_type=str),
    WithJsonSchema(_quantity_schema()),
]

UpperBound = Annotated[  # of limits: one below the least limit would have every container killed as it starts
    int,
    BeforeValidator(_upper_bound),
    PlainSerializer(format_quantity, return_type=str),
    WithJsonSchema(_quantity_schema(rule(f"self.startsWith('-') || {_is_enough}", _AT_LEAST))),
]

Duration = Annotated[  # as the operator writes it into a status
    int,
    BeforeValidator(parse_duration),
    PlainSerializer(format_duration, return_type=str),
    WithJsonSchema({"type": "string", "maxLength": 9, "pattern": DURATION_PATTERN}),
]

_WRITTEN = PlainSerializer(format_duration, return_type=str)

Cooldown = Annotated[
    int,
    BeforeValidator(parse_duration),
    AfterValidator(between("0s", "7d")),
    _WRITTEN,
    WithJsonSchema(duration_schema("0s", "7d")),
]
Horizon = Annotated[
    int,
    BeforeValidator(parse_duration),
    AfterValidator(between("5m", "7d")),
    _WRITTEN,
    WithJsonSchema(duration_schema("5m", "7d")),
]
Lookback = Annotated[
    int,
    BeforeValidator(parse_duration),
    AfterValidator(between("1h", "28d")),
    _WRITTEN,
    WithJsonSchema(duration_schema("1h", "28d")),
]

UpdateWindow = Annotated[
    str,
    BeforeValidator(_checked_window),
    WithJsonSchema(
        {
            "type": "string",
            "maxLength": 256,  # no `pattern` besides the rule: nobody can read it in a refusal
            VALIDATIONS: [
                rule(
                    f"self.matches('{WINDOW_PATTERN}')",
                    f"not an update window: write days, hours and a time zone, for example {WINDOW_EXAMPLE}",
                ),
            ],
        },
    ),
]

Time = Annotated[
    float,
    BeforeValidator(_unix),
    PlainSerializer(_rfc3339, return_type=str),
    WithJsonSchema({"type": "string", "format": "date-time", "maxLength": 40}),
]

# What a text may at most hold. Every length is bounded: the API server refuses CEL rules it cannot cost.
Name = Annotated[str, Field(min_length=1, max_length=253)]
Sentence = Annotated[str, Field(max_length=1024)]
Word = Annotated[str, Field(max_length=64)]


class Condition(Model):
    """One condition, as in every Kubernetes status."""

    type: Annotated[str, Field(min_length=1, max_length=64)]
    """What the condition is about."""
    status: Annotated[str, Field(json_schema_extra={"enum": ["True", "False", "Unknown"]})]
    """True, False or Unknown."""
    reason: Annotated[str, Field(max_length=64)] = ""
    """One word a machine can count."""
    message: Sentence = ""
    """A sentence for people."""
    last_transition_time_seconds: Time | None = None
    """When the status last changed."""
    observed_generation: int | None = None
    """Generation of the spec that the condition speaks of."""


def map_list(key: str, most: int) -> Any:  # noqa: ANN401 - pydantic's Field is untyped
    """A list whose items are told apart by one field, so that two writers can each own an item."""
    schema: dict[str, Any] = {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": [key]}
    return Field(default=(), max_length=most, json_schema_extra=schema)
