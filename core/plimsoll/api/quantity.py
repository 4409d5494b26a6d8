"""Kubernetes memory quantities: text to whole bytes and back.

In: what a pod spec or a policy says ("1Gi", "512M", "1e9", "128974848000m", 1048576). Out: an int in bytes,
fractions rounded up as Kubernetes' own `Quantity.Value()` does. `format_quantity` writes the shortest exact
text, so that `parse_quantity(format_quantity(n)) == n` for every n. Method:
k8s.io/apimachinery/pkg/api/resource.
"""

import re
from decimal import ROUND_CEILING, Decimal

MAX_QUANTITY_BYTES = 2**63 - 1  # int64, as in the API server; more than this is a typing error, not a machine

_BINARY = {"Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40, "Pi": 2**50, "Ei": 2**60}
_DECIMAL_EXPONENT = {"n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
_SHAPE = re.compile(
    r"(?P<sign>[+-]?)(?P<number>[0-9]+(?:\.[0-9]*)?|\.[0-9]+)"
    r"(?P<suffix>[KMGTPE]i|[numkMGTPE]|[eE][+-]?[0-9]{1,3})?",
)


class QuantityError(ValueError):
    """Text that is not a memory quantity, or one that cannot be a number of bytes."""


def parse_quantity(text: str | int) -> int:
    """Whole bytes of a quantity, rounded up; raises `QuantityError` for nonsense, negatives and more than
    int64.
    """
    match = _SHAPE.fullmatch(str(text)) if not isinstance(text, bool) else None
    if match is None:
        raise QuantityError(
            f"{text!r} is not a memory quantity; write for example 512Mi, 2Gi or a number of bytes"
        )
    value = Decimal(match["number"]) * _factor(match["suffix"] or "")
    if match["sign"] == "-" and value:
        raise QuantityError(f"{text!r} is negative; a memory quantity cannot be")
    if value > MAX_QUANTITY_BYTES:
        raise QuantityError(f"{text!r} is more than Kubernetes can hold (2^63 - 1 bytes)")
    return int(value.to_integral_value(rounding=ROUND_CEILING))


def format_quantity(value_bytes: int) -> str:
    """The exact text with the largest binary suffix that divides the value: 1073741824 -> "1Gi", 1000 ->
    "1000".
    """
    if not 0 <= value_bytes <= MAX_QUANTITY_BYTES:
        raise QuantityError(f"{value_bytes} bytes cannot be a memory quantity")
    for suffix, factor in reversed(_BINARY.items()):
        if value_bytes and value_bytes % factor == 0:
            return f"{value_bytes // factor}{suffix}"
    return str(value_bytes)


def _factor(suffix: str) -> Decimal:
    if suffix in _BINARY:
        return Decimal(_BINARY[suffix])
    if suffix in _DECIMAL_EXPONENT:
        return Decimal(10) ** _DECIMAL_EXPONENT[suffix]
    return Decimal(10) ** int(suffix[1:])
