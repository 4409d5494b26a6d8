"""The tables of `benchmark.md`: docs/results/forecast.json and ablation.json in, Markdown out.

The page is typed, what stands between two marks on it is not:

    <!-- table NAME -->
    <!-- end of table -->
"""

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from ablation_tables import ablation
from benchmark_parts import (
    NOT_YET,
    SUBJECT,
    Document,
    alone,
    called,
    own,
    percent,
    ranged,
    rows_of,
    shown,
    table_head,
    table_line,
    theirs,
    unasked,
    with_interval,
)
from losing_tables import losing, no_better, surely_behind
from promise_tables import by_band, by_class, by_price
from weights_told import weights_told

MARKED = re.compile(r"(<!-- table ([a-z]+) -->\n).*?(<!-- end of table -->)", re.DOTALL)
ABLATION = "ablation"
PROMISED = (("`slack:0.268`", "slack_268"), ("`oom:76`", "oom_76"))


def with_tables(page: str, document: Document | None, parts: Document | None = None) -> str:
    """The page with the tables and plots of these results between its marks; `parts` are the ablation's."""
    return MARKED.sub(lambda marks: f"{marks[1]}{_made(marks[2], document, parts)}{marks[3]}", page)


def _made(name: str, document: Document | None, parts: Document | None) -> str:
    if name == ABLATION:
        return NOT_YET.format(ABLATION) if parts is None else "".join(ablation(parts))
    if document is None:
        return NOT_YET.format("forecast")
    if name == "ran":
        return _ran(document)
    if name in PLOTS:
        return f"![{PLOTS[name]}](results/forecast-{name}.svg)\n"
    return "".join(TABLES[name](document))


def _ran(document: Document) -> str:
    machine = document["machine"]
    return (
        f"Commit `{document['commit']}`, seed {document['seed']}, {document['seconds']:.0f} s on "
        f"{machine['cores']} cores, {machine['memory_gib']} GiB, kernel {machine['kernel']}. "
        f"{document.get('age', '').strip()}\n\n{weights_told(document['weights'])}\n"
    )


# -- tables -------------------------------------------------------------------------------------------------


AIMS = (
    # What is aimed at, the row that says where it stands, the aim, and the moonshot.
    ("OOM/1000 cd at slack .268", "forecast.core.oom_at_slack_268", 25.0, 17.0),
    ("slack at 76 OOM/1000 cd", "forecast.core.slack_at_oom_76", 0.195, 0.175),
    ("limit changes per container-day, unasked", "forecast.core.changes_per_container_day", 2.5, 1.5),
    ("OOM/1000 cd of growing series, unasked", "forecast.class.growth.oom", 25.0, 10.0),
)
READ_OFF = (
    "What is said at a given slack or at given kills is read off each curve of the judged half itself: the "
    "setting is chosen on what is judged, for everybody alike, and nobody could have named it beforehand. "
    "What came where a point was asked for by name stands apart. So these are figures of several settings: "
    "no single one has all of them.\n"
)
GUARDED = ("vpa-guarded", "vpa-climb")  # VPA with a part of our guard, and with the whole of it
BETTER_ON_NONE = "neither fewer kills nor less slack than"
CLASS_PEERS = ("vpa", "vpa-guarded", "vpa-climb", "krr")
NEAR = (0.95, 1.05)  # within 5 % of what was asked for


def _aims(document: Document) -> Iterator[str]:
    """What is aimed at, where it stands, and whether that is a miss."""
    rows = rows_of(document)
    yield from table_head(("figure", "aim", "moonshot", "have", "series", ""))
    for title, name, aim, moonshot in AIMS:
        row = rows[name]
        verdict = _verdict(row, lambda value, most=aim: value <= most)
        yield table_line(title, f"≤ {shown(aim)}", f"≤ {shown(moonshot)}", own(row), str(row["n"]), verdict)
    for asked, name in PROMISED:
        row = rows[f"forecast.core.promised.{name}.realised_over_asked"]
        verdict = _verdict(row, lambda value: NEAR[0] <= value <= NEAR[1])
        within = f"{NEAR[0]:g} to {NEAR[1]:g}"
        yield table_line(f"realised / asked for, {asked}", within, "", own(row), str(row["n"]), verdict)
    for rival in ("vpa", *GUARDED):
        axes = BETTER_ON_NONE if rival in GUARDED else "more kills and more slack than"
        found, everything = no_better(rows, rival, strictly=rival not in GUARDED)
        verdict = "**missed**" if found else "met"
        title = f"classes and sources with {axes} `{rival}`"
        yield table_line(title, "none", "", ", ".join(found) or "none", f"{everything} looked at", verdict)
    yield f"\n{READ_OFF}"


def _verdict(row: Mapping[str, Any], is_met: Callable[[float], bool]) -> str:
    """Met surely only where the whole interval is; one group of siblings has none, and is sure of nothing."""
    if row["value"] is None:
        return "not measured"
    bounds = [row[name] for name in ("low", "high") if row[name] is not None]
    sure = row.get("groups") != 1 and all(map(is_met, bounds))
    return ("met" if sure else "met, not surely") if is_met(row["value"]) else "**missed**"


def _core(document: Document) -> Iterator[str]:
    """Everybody as they are unasked, with intervals."""
    yield from table_head(("recommender", "OOM/1000 cd", "slack", "changes/cd"))
    for point in unasked(document, "all"):
        figures = (with_interval(point[name]) for name in ("oom", "slack", "changes_per_container_day"))
        yield table_line(called(point["recommender"]), *figures)


def _points(document: Document) -> Iterator[str]:
    """Everybody at the same slack, and at the same OOMs."""
    rows = rows_of(document)
    oom, slack = rows["forecast.core.oom_at_slack_268"], rows["forecast.core.slack_at_oom_76"]
    yield from table_head(("recommender", "OOM/1000 cd at slack .268", "slack at 76 OOM/1000 cd"))
    yield table_line(called(SUBJECT), own(oom), own(slack))
    for who in dict.fromkeys([*oom["against"], *slack["against"]]):
        yield table_line(called(who), theirs(oom, who), theirs(slack, who))


def _class_points(document: Document) -> Iterator[str]:
    """The same by class, where there are enough groups for a curve to be read off."""
    rows = rows_of(document)
    end = ".oom_at_slack_268"
    stems = [name.removesuffix(end) for name in rows if re.fullmatch(rf"forecast\.class\.\w+{end}", name)]
    if not stems:
        yield "Not in these results: run `make bench-forecast` and `make docs-results`.\n"
        return
    people = [who for who in CLASS_PEERS if who in rows[f"{stems[0]}{end}"]["against"]]
    for title, end in (
        ("OOM/1000 cd at slack .268", ".oom_at_slack_268"),
        ("slack at 76 OOM/1000 cd", ".slack_at_oom_76"),
    ):
        yield f"{title}:\n\n"
        yield from table_head(("class", "series", "groups", called(SUBJECT), *map(called, people)))
        for stem in stems:
            row = rows[f"{stem}{end}"]
            cells = (theirs(row, who) for who in people)
            kind, count = stem.rpartition(".")[2], str(row.get("groups", ""))
            yield table_line(kind, str(row["n"]), count, own(row), *cells)
        yield "\n"


def _differences(document: Document) -> Iterator[str]:
    """Plimsoll minus a rival, on the same draws."""
    yield from table_head(("figure", "Plimsoll minus `vpa`", "minus `vpa-guarded`", "minus `vpa-climb`"))
    rows = rows_of(document)
    for name, row in rows.items():
        if name.endswith(".minus_vpa"):
            others = (rows[each] for each in (f"{name}_guarded", f"{name}_climb") if each in rows)
            spread = (with_interval((each["value"], each["low"], each["high"])) for each in (row, *others))
            yield table_line(f"`{name.removesuffix('.minus_vpa')}` ({row['unit']})", *spread)


def _promised(document: Document) -> Iterator[str]:
    """What was asked for, and what came."""
    head = ("asked for", "OOM/1000 cd", "slack", "changes/cd", "realised / asked")
    yield from table_head((*head, "draws within 5 %", "with a price fitted to these series"))
    rows = rows_of(document)
    for asked, name in PROMISED:
        figures = ("oom", "slack", "changes_per_container_day", "realised_over_asked")
        found = (rows[f"forecast.core.promised.{name}.{figure}"] for figure in figures)
        within = f"forecast.core.promised.{name}.share_of_draws_within_5_percent"
        shares = (rows.get(each, {}).get("value") for each in (within, f"{within}.at_a_fitted_price"))
        spreads = (with_interval((row["value"], row["low"], row["high"])) for row in found)
        yield table_line(asked, *spreads, *map(percent, shares))


def _classes(document: Document) -> Iterator[str]:
    """OOM @ slack of everybody, class by class."""
    kinds = list(dict.fromkeys(point["class"] for point in document["frontier"]))
    kinds.remove("all")
    people = [point["recommender"] for point in unasked(document, "all")]
    yield "OOM/1000 cd @ slack, everybody as they are unasked.\n\n"
    yield from table_head(("class", "series", *map(called, people)))
    for kind in kinds:
        found = {point["recommender"]: point for point in unasked(document, kind)}
        n = found[SUBJECT]["n"]
        pairs = ((with_interval(found[who][name]) for name in ("oom", "slack")) for who in people)
        cells = (" @ ".join(pair) for pair in pairs)
        yield table_line(kind, f"{n}{alone(found[SUBJECT])}", *cells)


def _sources(document: Document) -> Iterator[str]:
    """The same, source by source; what is not a container apart."""
    rows = rows_of(document)
    prefixes = [
        name.removesuffix(".oom")
        for name in rows
        if re.fullmatch(r"forecast\.(source\.\w+|bitbrains|hosts)\.oom", name)
    ]
    people = list(rows[f"{prefixes[0]}.oom"]["against"])
    yield from table_head(("source", "series", called(SUBJECT), *map(called, people)))
    for prefix in prefixes:
        oom, slack = rows[f"{prefix}.oom"], rows[f"{prefix}.slack"]
        cells = [f"{ranged(oom)} @ {ranged(slack)}"]
        cells += [f"{theirs(oom, who)} @ {theirs(slack, who)}" for who in people]
        name = prefix.removeprefix("forecast.").removeprefix("source.")
        yield table_line(name, f"{oom['n']}{alone(oom)}", *cells)


def _cold(document: Document) -> Iterator[str]:
    """The first 24 hours."""
    rows = rows_of(document)
    found = [rows[f"forecast.cold.{name}_first_24h"] for name in ("oom", "slack", "changes")]
    yield from table_head(("recommender", "OOM/1000 cd", "slack", "changes/cd"))
    yield table_line(called(SUBJECT), *map(own, found))
    for who in found[0]["against"]:
        yield table_line(called(who), *(theirs(row, who) for row in found))


def _speed(document: Document) -> Iterator[str]:
    """How fast a replay is, in both ways to count."""
    rows = rows_of(document)
    days, times = (
        rows[f"forecast.replay.{name}"]["value"] for name in ("series_days_per_second", "times_real_time")
    )
    series = rows["forecast.core.oom"]["n"]
    yield (
        f"One core replays {days:,.0f} series-days a second: {times:,.0f} times real time, all series' time "
        f"added up. By the clock, a fleet of as many containers as are judged here ({series}) that lived "
        f"side by side would pass {times / series:,.0f} times as fast as it lived.\n"
    )


TABLES: dict[str, Callable[[Document], Iterator[str]]] = {
    "aims": _aims,
    "core": _core,
    "points": _points,
    "classpoints": _class_points,
    "differences": _differences,
    "promised": _promised,
    "classrows": _classes,
    "sources": _sources,
    "cold": _cold,
    "calibrationrows": by_class,
    "calibrationprices": by_price,
    "calibrationbands": by_band,
    "losing": losing,
    "behind": surely_behind,
    "speed": _speed,
}
PLOTS = {
    "frontier": "OOM kills against slack of every recommender",
    "classes": "OOM kills against slack by class of series",
    "calibration": "Promised against realised chance of an OOM kill",
}
