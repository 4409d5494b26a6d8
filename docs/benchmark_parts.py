"""Parts of the tables of `benchmark.md`: rows of results in, cells and lines of Markdown out."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from markdown_table import in_draws

DEFAULT = "default"
SUBJECT = "plimsoll"
NOT_YET = "Not measured yet: run `make bench-{}` and `make docs-results`.\n"
Document = Mapping[str, Any]
Rows = Mapping[str, Mapping[str, Any]]


def rows_of(document: Document) -> Rows:
    """Rows by name."""
    return {row["name"]: row for row in document["rows"]}


def unasked(document: Document, kind: str) -> list[Mapping[str, Any]]:
    """Everybody on one class, as they are unasked."""
    return [point for point in document["frontier"] if point["class"] == kind and point["setting"] == DEFAULT]


def table_head(head: Sequence[str]) -> Iterator[str]:
    """Titles of columns, and the line below them."""
    yield table_line(*head)
    yield table_line(*("---" for _ in head))


def table_line(*cells: str) -> str:
    """One line of a table."""
    return "| " + " | ".join(cells) + " |\n"


def called(recommender: str) -> str:
    """A recommender as tables call it."""
    return "**Plimsoll**" if recommender == SUBJECT else recommender


def with_interval(found: Sequence[float | None]) -> str:
    """A value, its low and its high; no interval where there is none."""
    value, low, high = found
    inside = "" if low is None or high is None else f" [{shown(low)}, {shown(high)}]"
    return f"{shown(value)}{inside}"


def ranged(row: Mapping[str, Any]) -> str:
    """A row's value with its interval."""
    return with_interval((row["value"], row["low"], row["high"]))


def own(row: Mapping[str, Any]) -> str:
    """Plimsoll's figure with its interval, and what that interval is not from."""
    return f"{ranged(row)}{_part(row.get('finite_draws'))}{alone(row)}"


def theirs(row: Mapping[str, Any], who: str) -> str:
    """A peer's figure, with its interval where the results have one."""
    value = row["against"].get(who)
    low, high, share = (row.get("spreads") or {}).get(who, (None, None, None))
    return "-" if value is None else f"{with_interval((value, low, high))}{_part(share)}"


def _part(share: float | None) -> str:
    return f", {words}" if (words := in_draws(share)) else ""


def alone(found: Mapping[str, Any]) -> str:
    """That there is no interval because siblings are all there is."""
    return " (1 group)" if found.get("groups") == 1 else ""


def shown(value: float | None) -> str:
    """Three figures that matter; "-" for none."""
    if value is None:
        return "-"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def percent(value: float | None) -> str:
    """Two figures that matter, of a share."""
    return "-" if value is None else f"{100 * value:.2g} %"
