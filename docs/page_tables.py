"""The tables of `pages.md`: docs/results/pages.json in, Markdown out, between marks as `benchmark.md`
has.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from benchmark_tables import MARKED

NOT_YET = "Not measured yet: run `make bench-pages` and `make docs-results`.\n"
NAMES = {
    "plimsoll": "**Plimsoll**",
    "plimsoll-int8": "Plimsoll, predicting from int8 tables",
    "gam": "the predictor alone, without guard",
    "lru": "LRU",
    "clock": "CLOCK",
    "s3fifo": "S3-FIFO",
    "arc": "ARC",
    "lirs": "LIRS",
    "library-in-hindsight": "best of 15 library policies, chosen case by case in hindsight",
    "belady": "Belady",
}
Document = Mapping[str, Any]


def with_page_tables(page: str, document: Document | None) -> str:
    """The page with the tables of these results between its marks."""
    return MARKED.sub(lambda marks: f"{marks[1]}{_made(marks[2], document)}{marks[3]}", page)


def _made(name: str, document: Document | None) -> str:
    return NOT_YET if document is None else "".join(TABLES[name](document))


def _ran(document: Document) -> Iterator[str]:
    machine = document["machine"]
    traces = list(dict.fromkeys(case["trace"] for case in document["replacement"]["cases"]))
    yield (
        f"Commit `{document['commit']}`, seed {document['seed']}, {document['seconds']:.0f} s on "
        f"{machine['cores']} cores, {machine['memory_gib']} GiB; traces: {', '.join(traces)}."
        f"{document.get('age', '')}\n"
    )


def _policies(document: Document) -> Iterator[str]:
    """The contract's figures for everybody, and the gap closed by size of memory."""
    found = document["replacement"]["policies"]
    sizes = [name for name in found[0] if name.startswith("gap_at_")]
    heads = [f"at {float(name.removeprefix('gap_at_')):.0%}" for name in sizes]
    yield from _table(("policy", "gap closed, %", *heads, "misses / LRU, geomean", "worst"))
    for row in found:
        gaps = (_figure(row[name], 1) for name in ("mean_gap_percent", *sizes))
        ratios = (_figure(row[name], 3) for name in ("geomean_misses_over_lru", "worst_misses_over_lru"))
        yield _line(NAMES[row["policy"]], *gaps, *ratios)


def _cases(document: Document) -> Iterator[str]:
    """Trace by trace: misses over LRU's, and whom the guard followed."""
    heads = ("trace", "memory", "LRU misses", "Belady / LRU", "Plimsoll / LRU", "changes", "followed most")
    yield from _table(heads)
    for case in document["replacement"]["cases"]:
        misses = case["misses"]
        followed = sorted(case["followed"].items(), key=lambda each: -each[1])[:3]
        yield _line(
            case["trace"],
            f"{case['fraction']:.0%}",
            f"{misses['lru']:,}",
            *(f"{misses[policy] / misses['lru']:.3f}" for policy in ("belady", "plimsoll")),
            str(case["changes"]),
            ", ".join(f"{name} {share:.0%}" for name, share in followed if share >= 0.01),
        )


def _learning(document: Document) -> Iterator[str]:
    """Mean squared error by tenth of the trace."""
    found = document["replacement"]["learning"]
    yield from _table(("tenth of the trace", *(str(tenth) for tenth in range(1, 11))))
    yield _line("predictor", *(_figure(value, 2) for value in found["loss"]))
    yield _line("table of ages alone", *(_figure(value, 2) for value in found["age_loss"]))


def _rows(document: Document) -> Iterator[str]:
    """Every row of the results."""
    yield from _table(("figure", "value", "95 %", "unit", "n", "peers in the same run"))
    for row in document["rows"]:
        spread = "" if row["low"] is None else f"{_figure(row['low'], 3)} to {_figure(row['high'], 3)}"
        against = ", ".join(f"{peer} {_figure(value, 3)}" for peer, value in row["against"].items())
        why = f" ({row['why']})" if row.get("why") else ""
        yield _line(
            f"`{row['name']}`", _figure(row["value"], 3), spread, row["unit"], str(row["n"]), against + why
        )


TABLES: dict[str, Callable[[Document], Iterator[str]]] = {
    "ran": _ran,
    "policies": _policies,
    "cases": _cases,
    "learning": _learning,
    "rows": _rows,
}


def _figure(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:,.{digits}f}"


def _table(heads: Sequence[str]) -> Iterator[str]:
    yield _line(*heads)
    yield _line(*("---" for _ in heads))


def _line(*cells: str) -> str:
    return f"| {' | '.join(cells)} |\n"
