"""Amounts of memory as manifests say them; short enough for a table: `720Mi`, `1.3Gi`, rounded up."""

import math
import re

MIB, GIB = 2**20, 2**30
GIB_FROM = 10 * GIB  # below, whole MiB are still short
# How the operator writes amounts in its messages, of whatever version it is.
SPELT_OUT = re.compile(r"(?<=\d) ([KMGT]i)B\b")


def short(value_bytes: int | None) -> str:
    """Text of an amount; `unset` for None."""
    if value_bytes is None:
        return "unset"
    if value_bytes < GIB_FROM:
        return f"{math.ceil(value_bytes / MIB)}Mi"
    return f"{math.ceil(value_bytes * 10 / GIB) / 10:.1f}Gi"


def signed(change_bytes: int | None) -> str | None:
    """Text of a change with its sign; None where it is not known."""
    if change_bytes is None:
        return None
    return f"{'-' if change_bytes < 0 else '+'}{short(abs(change_bytes))}"


def quoted(text: str) -> str:
    """What the operator said, so that nobody has to compare `1.25 GiB` with `1280Mi`."""
    return SPELT_OUT.sub(r"\1", text)
