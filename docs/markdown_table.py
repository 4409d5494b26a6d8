"""Tables and figures as pages have them.

In: cells, numbers. Out: Markdown.
"""

from collections.abc import Iterable, Sequence


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table; bars within cells are escaped."""
    lines = [head, ["---"] * len(head), *rows]
    return "".join("| " + " | ".join(cell.replace("|", r"\|") for cell in line) + " |\n" for line in lines)


def figure(value: float) -> str:
    """Four figures that matter, without an exponent."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def in_draws(share: float | None) -> str:
    """In how many of the bootstrap's draws there is a figure; "" where in all of them, or not told.

    Never "100 %", which would be all.
    """
    return "" if share is None or share >= 1 else f"in {min(100 * share, 99.9):.3g} % of the draws"
