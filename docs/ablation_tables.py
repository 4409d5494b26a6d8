"""The table of `benchmark.md` that says what each part earns: docs/results/ablation.json in, Markdown out."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

Rows = Mapping[str, Mapping[str, Any]]
AT_SLACK, AT_OOM = "oom_at_slack_268", "slack_at_oom_76"
CHANGES = "changes_per_container_day_at_slack_268"
MINUS = ".minus_whole"
WHOLE = "whole"
PER_1000 = "OOM/1000 cd"
SURELY = "what the whole surely has"


def ablation(document: Mapping[str, Any]) -> Iterator[str]:
    """Every part taken away: kills and slack at the two operating points, and against the whole."""
    rows: Rows = {row["name"]: row for row in document["rows"]}
    ran = f"Commit `{document['commit']}`, seed {document['seed']}, {document['seconds']:.0f} s."
    yield f"{ran}{document.get('age', '')}\n\n"
    yield from _points(rows)
    yield from _promises(rows)
    yield from _first_day(rows)


def _points(rows: Rows) -> Iterator[str]:
    yield _line(
        "without, or instead",
        f"{PER_1000} at slack .268",
        "minus the whole's",
        "slack at 76 OOM/1000 cd",
        "minus the whole's",
        "changes/cd at slack .268",
        "minus the whole's",
        SURELY,
    )
    yield _line(*["---"] * 8)
    points = {AT_SLACK: "kills", AT_OOM: "slack", CHANGES: "changes"}
    for slug in _slugs(rows, f".{AT_SLACK}"):
        stem = f"ablation.{slug}"
        names = [f"{name}{end}" for name in points for end in ("", MINUS)]
        surely = _surely(rows, slug, {f"{stem}.{name}{MINUS}": said for name, said in points.items()})
        yield _line(_said(slug), *(_spread(rows.get(f"{stem}.{name}")) for name in names), surely)


def _promises(rows: Rows) -> Iterator[str]:
    """At the price that ships: how often promises were broken, which is what the buffer is for."""
    slugs = _slugs(rows, ".calibration.realised_over_promised")
    if not slugs:
        return
    kinds = [
        name.split(".")[3]
        for name in rows
        if name.startswith(f"ablation.{WHOLE}.calibration.") and name.count(".") == 4
    ]
    yield "\nAt the price that ships, kills and slack, and realised over promised chances of a kill:\n\n"
    yield _line("without, or instead", PER_1000, "slack", "all", *kinds)
    yield _line(*["---"] * (4 + len(kinds)))
    for slug in slugs:
        stem = f"ablation.{slug}"
        names = ["shipped.oom", "shipped.slack", "calibration.realised_over_promised"]
        names += [f"calibration.{kind}.realised_over_promised" for kind in kinds]
        yield _line(_said(slug), *(_spread(rows.get(f"{stem}.{name}")) for name in names))


def _first_day(rows: Rows) -> Iterator[str]:
    """Containers that have relatives, on their first day."""
    stem = "ablation.first_day"
    if f"{stem}.{WHOLE}.oom" not in rows:
        return
    figures = ("oom", "slack", "changes_per_container_day")
    yield "\nThe first day of containers that have relatives:\n\n"
    heads = [head for title in (PER_1000, "slack", "changes/cd") for head in (title, "minus the whole's")]
    yield _line("without, or instead", *heads, SURELY)
    yield _line(*["---"] * 8)
    for slug in (WHOLE, "no_relatives"):
        names = [f"{figure}{end}" for figure in figures for end in ("", MINUS)]
        told = zip(figures, ("kills", "slack", "changes"), strict=True)
        surely = _surely(rows, slug, {f"{stem}.{slug}.{figure}{MINUS}": said for figure, said in told})
        yield _line(_said(slug), *(_spread(rows.get(f"{stem}.{slug}.{name}")) for name in names), surely)


def _surely(rows: Rows, slug: str, named: Mapping[str, str]) -> str:
    """Of which figures (`named` by their rows) the whole has surely fewer, or more, than a variant."""
    if slug == WHOLE:
        return "-"
    said = []
    for name, what in named.items():
        row = rows.get(name) or {}
        low, high = row.get("low"), row.get("high")
        if low is None or high is None:
            continue
        less = "less" if what == "slack" else "fewer"
        if low > 0 or high < 0:
            said.append(f"{less if low > 0 else 'more'} {what}")
    return ", ".join(said) or "nothing"


def _slugs(rows: Rows, end: str) -> list[str]:
    """Variants that have a row of this name."""
    found = (name for name in rows if name.endswith(end))
    return [
        name.removeprefix("ablation.").removesuffix(end)
        for name in found
        if name.count(".") == 1 + end.count(".")
    ]


def _said(slug: str) -> str:
    return "**nothing: the whole**" if slug == WHOLE else slug.replace("_", " ").removeprefix("no ")


def _line(*cells: str) -> str:
    return "| " + " | ".join(cells) + " |\n"


def _spread(row: Mapping[str, Any] | None) -> str:
    if row is None or row["value"] is None:
        return "-"
    bounds: Sequence[float | None] = (row.get("low"), row.get("high"))
    inside = "" if None in bounds else f" [{bounds[0]:.3g}, {bounds[1]:.3g}]"
    return f"{row['value']:.3g}{inside}"
