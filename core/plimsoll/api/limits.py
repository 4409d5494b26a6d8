"""How limits are set, for a policy and for the containers it treats differently: the typed fields and
their CEL rules.

In: `spec.limits` and `spec.containers[]` of a policy. Out: frozen models. The rules hold within one
`limits` and between an override and its policy; `contradictions.py` says the same in Python.
"""

import re
from typing import Annotated

from pydantic import BeforeValidator, ConfigDict, Field

from plimsoll.api.effective import Basis, Controlled, Importance, Mode
from plimsoll.api.fields import Model, Quantity, UpperBound, rule, rules
from plimsoll.api.reclaim import ReclaimOverride

# No backslash: the same text stands in a CEL rule.
OBJECTIVE_PATTERN = (
    "^(balanced|slack:0?[.][0-9]{0,3}[1-9][0-9]{0,3}"
    "|oom:(0{0,3}[1-9][0-9]{0,3}([.][0-9]{1,3})?|0[.][0-9]{0,2}[1-9][0-9]{0,2}))$"
)
CONTAINER_PATTERN = r"^[a-z0-9*?]([a-z0-9*?-]*[a-z0-9*?])?$"
MAX_OVERRIDES = 32

OBJECTIVE_FORMS = "want balanced, slack:X with 0 < X < 1, or oom:X with X > 0"


def _checked_objective(text: object) -> object:
    """The text, refused with a sentence where the pattern would refuse it with itself."""
    if isinstance(text, str) and not re.search(OBJECTIVE_PATTERN, text):
        raise ValueError(f"objective {text!r}: {OBJECTIVE_FORMS}")
    return text


Objective = Annotated[
    str,
    Field(
        max_length=32,
        pattern=OBJECTIVE_PATTERN,
        json_schema_extra=rules(rule(f"self.matches('{OBJECTIVE_PATTERN}')", OBJECTIVE_FORMS)),
    ),
    BeforeValidator(_checked_objective),
]
OomPrice = Annotated[float, Field(gt=0, le=1_000_000)]

_MIN_MAX = rule(
    "!has(self.min) || !has(self.max) || !isQuantity(self.min) || !isQuantity(self.max)"
    " || !quantity(self.min).isGreaterThan(quantity(self.max))",
    "limits.min must not be above limits.max",
    ".min",
)
_ONE_PRICE = rule(
    "!has(self.objective) || !has(self.oomPrice)",
    "set limits.objective or limits.oomPrice, not both",
    ".objective",
)


class Buffer(Model):
    """Bounds on what is added above the forecast, as fractions of its 95 % quantile."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            rule(
                "!has(self.min) || !has(self.max) || self.min <= self.max",  # {} is checked unfilled
                "limits.buffer.min must not be above limits.buffer.max",
                ".min",
            )
        )
    )

    min_fraction: Annotated[float, Field(ge=0, le=10)] | None = None
    """Least buffer: 0.1 sets no limit below 1.1 times the forecast's 95 % quantile, however right past
    forecasts were and whatever the price says. Absent: no such bound."""
    max_fraction: Annotated[float, Field(ge=0, le=10)] | None = None
    """Most buffer: 1 sets no limit above twice the forecast's 95 % quantile, however wrong past forecasts
    were. Present use and OOM kills still raise above it. Absent: no such bound."""


class Limits(Model):
    """How limits and requests are set."""

    model_config = ConfigDict(json_schema_extra=rules(_MIN_MAX, _ONE_PRICE))

    objective: Objective | None = None
    """The operating point: slack:0.25 (fewest OOM kills at a quarter of the limit unused), oom:70 (least
    slack at 70 OOM kills per 1000 container-days) or balanced. Not together with oomPrice."""
    oom_price: OomPrice | None = None
    """What one OOM kill costs, in container-days of a limit that stands wholly unused. Without this and
    without an objective, `importance` sets the price."""
    basis: Basis = Basis.USAGE
    """Which memory the limit is made for: all that the container uses, or what it needs to stay below
    reclaim.maxPressure."""
    controlled: Controlled = Controlled.REQUESTS_AND_LIMITS
    """Which of the two values are written. A container of a Guaranteed pod always keeps request = limit."""
    buffer: Buffer = Buffer()
    """Bounds on the buffer that is calibrated on the forecast's own past errors."""
    min_bytes: Quantity | None = None
    """No limit is set below this."""
    max_bytes: UpperBound | None = None
    """No limit is set above this, not even after an OOM kill. At least 16Mi."""


class LimitsOverride(Model):
    """What `limits` says for the containers of this override; what is left out is taken from the policy."""

    model_config = ConfigDict(json_schema_extra=rules(_MIN_MAX, _ONE_PRICE))

    objective: Objective | None = None
    """As limits.objective; replaces the policy's price too."""
    oom_price: OomPrice | None = None
    """As limits.oomPrice; replaces the policy's objective too."""
    basis: Basis | None = None
    """As limits.basis."""
    controlled: Controlled | None = None
    """As limits.controlled."""
    buffer: Buffer | None = None
    """As limits.buffer; replaces it whole."""
    min_bytes: Quantity | None = None
    """As limits.min."""
    max_bytes: UpperBound | None = None
    """As limits.max."""


class ContainerOverride(Model):
    """What is different for containers whose name matches: app containers, sidecars and native sidecars
    alike.
    """

    name: Annotated[str, Field(min_length=1, max_length=63, pattern=CONTAINER_PATTERN)]
    """Container name; * stands for any text and ? for one character. An exact name wins over a pattern,
    and of two patterns the one with more letters of its own. Ordinary init containers are never touched."""
    mode: Mode | None = None
    """As spec.mode."""
    importance: Importance | None = None
    """As spec.importance; replaces the policy's objective or price, unless limits here names one."""
    limits: LimitsOverride | None = None
    """As spec.limits, for what differs."""
    reclaim: ReclaimOverride | None = None
    """As spec.reclaim, for what differs."""


def _override_against(bound: str, other: str) -> str:
    """CEL: no override without its own `other` has a `bound` on the wrong side of the policy's `other`."""
    compare = "isGreaterThan" if bound == "min" else "isLessThan"
    inner = (
        f"!has(c.limits) || !has(c.limits.{bound}) || has(c.limits.{other}) || !isQuantity(c.limits.{bound})"
        f" || !quantity(c.limits.{bound}).{compare}(quantity(self.limits.{other}))"
    )
    return (
        f"!has(self.limits.{other}) || !isQuantity(self.limits.{other}) || !has(self.containers)"
        f" || self.containers.all(c, {inner})"
    )


OVERRIDE_RULES = (
    rule(
        _override_against("min", "max"),
        "containers[].limits.min must not be above spec.limits.max",
        ".containers",
    ),
    rule(
        _override_against("max", "min"),
        "containers[].limits.max must not be below spec.limits.min",
        ".containers",
    ),
)
