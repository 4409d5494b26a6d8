"""The tables of `benchmark.md`: docs/results/forecast.json and ablation.json in, Markdown out.

The page is typed, what stands between two marks on it is not:

    <!-- table NAME -->
    <!-- end of table -->
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from ablation_tables import ablation
from markdown_table import in_draws

MARKED = re.compile(r"(<!-- table ([a-z]+) -->\n).*?(<!-- end of table -->)", re.DOTALL)
NOT_YET = "Not measured yet: run `make bench-{}` and `make docs-results`.\n"
ABLATION = "ablation"
DEFAULT = "default"
SUBJECT = "plimsoll"
PROMISED = (("`slack:0.268`", "slack_268"), ("`oom:76`", "oom_76"))
Document = Mapping[str, Any]
Rows = Mapping[str, Mapping[str, Any]]


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
        f"{machine['cores']} cores, {machine['memory_gib']} GiB, kernel {machine['kernel']}; "
        f"Plimsoll's weights: {document['weights']}.{document.get('age', '')}\n"
    )


# -- tables -------------------------------------------------------------------------------------------------


AIMS = (
    # What is aimed at, the row that says where it stands, the aim, and the moonshot.
    ("OOM/1000 cd at slack .268", "forecast.core.oom_at_slack_268", 25.0, 17.0),
    ("slack at 76 OOM/1000 cd", "forecast.core.slack_at_oom_76", 0.195, 0.175),
    ("limit changes per container-day", "forecast.core.changes_per_container_day", 2.5, 1.5),
    ("OOM/1000 cd of growing series", "forecast.class.growth.oom", 25.0, 10.0),
)
READ_OFF = (
    "What is said at a given slack or at given kills is read off each curve of the judged half itself: the "
    "setting is chosen on what is judged, for everybody alike, and nobody could have named it beforehand. "
    "What came where a point was asked for by name stands apart.\n"
)
CLASS_PEERS = ("vpa", "vpa-guarded", "vpa-climb", "krr")
NEAR = (0.95, 1.05)  # within 5 % of what was asked for


def _aims(document: Document) -> Iterator[str]:
    """What is aimed at, where it stands, and whether that is a miss."""
    rows = _rows(document)
    yield from _table(("figure", "aim", "moonshot", "have", "series", ""))
    for title, name, aim, moonshot in AIMS:
        row = rows[name]
        verdict = _verdict(row, lambda value, most=aim: value <= most)
        yield _line(title, f"≤ {_figure(aim)}", f"≤ {_figure(moonshot)}", _own(row), str(row["n"]), verdict)
    for asked, name in PROMISED:
        row = rows[f"forecast.core.promised.{name}.realised_over_asked"]
        verdict = _verdict(row, lambda value: NEAR[0] <= value <= NEAR[1])
        within = f"{NEAR[0]:g} to {NEAR[1]:g}"
        yield _line(f"realised / asked for, {asked}", within, "", _own(row), str(row["n"]), verdict)
    worse, everything = _worse_on_both(rows)
    have = ", ".join(worse) or "none"
    verdict = "**missed**" if worse else "met"
    title = "classes and sources with more kills and more slack than `vpa`"
    yield _line(title, "none", "", have, f"{everything} looked at", verdict)
    yield f"\n{READ_OFF}"


def _verdict(row: Mapping[str, Any], is_met: Callable[[float], bool]) -> str:
    """Met surely only where the whole interval is; one group of siblings has none, and is sure of nothing."""
    if row["value"] is None:
        return "not measured"
    bounds = [row[name] for name in ("low", "high") if row[name] is not None]
    sure = row.get("groups") != 1 and all(map(is_met, bounds))
    return ("met" if sure else "met, not surely") if is_met(row["value"]) else "**missed**"


def _worse_on_both(rows: Rows) -> tuple[list[str], int]:
    """Names of the groups where we lose both ways, and how many groups there are."""
    group = re.compile(r"forecast\.((?:class|source)\.\w+|bitbrains|hosts)\.oom")
    found = [match[1] for match in map(group.fullmatch, rows) if match]
    measured = [name for name in found if rows[f"forecast.{name}.oom"]["value"] is not None]

    def is_worse(name: str, figure: str) -> bool:
        row = rows[f"forecast.{name}.{figure}"]
        rival = row["against"].get("vpa")
        return rival is not None and row["value"] > rival

    worse = [name for name in measured if is_worse(name, "oom") and is_worse(name, "slack")]
    return worse, len(measured)


def _core(document: Document) -> Iterator[str]:
    """Everybody as they are unasked, with intervals."""
    yield from _table(("recommender", "OOM/1000 cd", "slack", "changes/cd"))
    for point in _unasked(document, "all"):
        figures = (_spread(point[name]) for name in ("oom", "slack", "changes_per_container_day"))
        yield _line(_who(point["recommender"]), *figures)


def _points(document: Document) -> Iterator[str]:
    """Everybody at the same slack, and at the same OOMs."""
    rows = _rows(document)
    oom, slack = rows["forecast.core.oom_at_slack_268"], rows["forecast.core.slack_at_oom_76"]
    yield from _table(("recommender", "OOM/1000 cd at slack .268", "slack at 76 OOM/1000 cd"))
    yield _line(_who(SUBJECT), _own(oom), _own(slack))
    for who in dict.fromkeys([*oom["against"], *slack["against"]]):
        yield _line(_who(who), _theirs(oom, who), _theirs(slack, who))


def _class_points(document: Document) -> Iterator[str]:
    """The same by class, where there are enough groups for a curve to be read off."""
    rows = _rows(document)
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
        yield from _table(("class", "series", "groups", _who(SUBJECT), *map(_who, people)))
        for stem in stems:
            row = rows[f"{stem}{end}"]
            cells = (_theirs(row, who) for who in people)
            yield _line(stem.rpartition(".")[2], str(row["n"]), str(row.get("groups", "")), _own(row), *cells)
        yield "\n"


def _differences(document: Document) -> Iterator[str]:
    """Plimsoll minus a rival, on the same draws."""
    yield from _table(("figure", "Plimsoll minus `vpa`", "minus `vpa-guarded`", "minus `vpa-climb`"))
    rows = _rows(document)
    for name, row in rows.items():
        if name.endswith(".minus_vpa"):
            others = (rows[each] for each in (f"{name}_guarded", f"{name}_climb") if each in rows)
            spread = (_spread((each["value"], each["low"], each["high"])) for each in (row, *others))
            yield _line(f"`{name.removesuffix('.minus_vpa')}` ({row['unit']})", *spread)


def _promised(document: Document) -> Iterator[str]:
    """What was asked for, and what came."""
    head = ("asked for", "OOM/1000 cd", "slack", "changes/cd", "realised / asked")
    yield from _table((*head, "draws within 5 %", "with a price fitted to these series"))
    rows = _rows(document)
    for asked, name in PROMISED:
        figures = ("oom", "slack", "changes_per_container_day", "realised_over_asked")
        found = (rows[f"forecast.core.promised.{name}.{figure}"] for figure in figures)
        within = f"forecast.core.promised.{name}.share_of_draws_within_5_percent"
        shares = (rows.get(each, {}).get("value") for each in (within, f"{within}.at_a_fitted_price"))
        spreads = (_spread((row["value"], row["low"], row["high"])) for row in found)
        yield _line(asked, *spreads, *map(_percent, shares))


def _classes(document: Document) -> Iterator[str]:
    """OOM @ slack of everybody, class by class."""
    kinds = list(dict.fromkeys(point["class"] for point in document["frontier"]))
    kinds.remove("all")
    people = [point["recommender"] for point in _unasked(document, "all")]
    yield "OOM/1000 cd @ slack, everybody as they are unasked.\n\n"
    yield from _table(("class", "series", *map(_who, people)))
    for kind in kinds:
        found = {point["recommender"]: point for point in _unasked(document, kind)}
        n = found[SUBJECT]["n"]
        cells = (f"{_spread(found[who]['oom'])} @ {_spread(found[who]['slack'])}" for who in people)
        yield _line(kind, f"{n}{_alone(found[SUBJECT])}", *cells)


def _sources(document: Document) -> Iterator[str]:
    """The same, source by source; what is not a container apart."""
    rows = _rows(document)
    prefixes = [
        name.removesuffix(".oom")
        for name in rows
        if re.fullmatch(r"forecast\.(source\.\w+|bitbrains|hosts)\.oom", name)
    ]
    people = list(rows[f"{prefixes[0]}.oom"]["against"])
    yield from _table(("source", "series", _who(SUBJECT), *map(_who, people)))
    for prefix in prefixes:
        oom, slack = rows[f"{prefix}.oom"], rows[f"{prefix}.slack"]
        cells = [f"{_ranged(oom)} @ {_ranged(slack)}"]
        cells += [f"{_theirs(oom, who)} @ {_theirs(slack, who)}" for who in people]
        name = prefix.removeprefix("forecast.").removeprefix("source.")
        yield _line(name, f"{oom['n']}{_alone(oom)}", *cells)


def _cold(document: Document) -> Iterator[str]:
    """The first 24 hours."""
    rows = _rows(document)
    found = [rows[f"forecast.cold.{name}_first_24h"] for name in ("oom", "slack", "changes")]
    yield from _table(("recommender", "OOM/1000 cd", "slack", "changes/cd"))
    yield _line(_who(SUBJECT), *map(_own, found))
    for who in found[0]["against"]:
        yield _line(_who(who), *(_theirs(row, who) for row in found))


def _calibration(document: Document) -> Iterator[str]:
    """Promised and realised, class by class."""
    rows = _rows(document)
    start = "forecast.calibration"
    kinds = [name[len(start) + 1 : -len(".promised")] for name in rows if name.startswith(start)]
    kinds = [kind for kind in dict.fromkeys(kinds) if f"{start}.{kind}.promised" in rows]
    yield from _table(("class", "series", "promised", "realised", "realised / promised"))
    for kind, stem in [("all", start), *((kind, f"{start}.{kind}") for kind in kinds)]:
        each = [rows[f"{stem}.{name}"] for name in ("promised", "realised", "realised_over_promised")]
        promised = _percent(each[0]["value"])
        realised = _percent(each[1]["value"])
        if each[1]["low"] is not None:
            realised += f" [{_percent(each[1]['low'])}, {_percent(each[1]['high'])}]"
        yield _line(kind, f"{each[0]['n']}{_alone(each[0])}", promised, realised, _ranged(each[2]))


def _by_price(document: Document) -> Iterator[str]:
    """Hours with a kill that were promised and that came, price by price."""
    rows = _rows(document)
    end = ".realised_over_promised"
    stems = [name.removesuffix(end) for name in rows if name.startswith("forecast.promises.price_")]
    stems = [stem for stem in dict.fromkeys(stems) if f"{stem}{end}" in rows]
    if not stems:
        yield NOT_YET.format("forecast")
        return
    yield from _table(
        ("price of a kill, container-days", "promised hours", "realised", "realised / promised")
    )
    for stem in stems:
        each = [rows[f"{stem}.{name}"] for name in ("promised", "realised", "realised_over_promised")]
        price = stem.removeprefix("forecast.promises.price_").replace("_", ".")
        spreads = (_spread((row["value"], row["low"], row["high"])) for row in each[1:])
        yield _line(price, _figure(each[0]["value"]), *spreads)


def _speed(document: Document) -> Iterator[str]:
    """How fast a replay is."""
    rows = _rows(document)
    days, times = (
        rows[f"forecast.replay.{name}"]["value"] for name in ("series_days_per_second", "times_real_time")
    )
    yield f"One core replays {days:,.0f} series-days a second: {times:,.0f} times real time.\n"


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
    "calibrationrows": _calibration,
    "calibrationprices": _by_price,
    "speed": _speed,
}
PLOTS = {
    "frontier": "OOM kills against slack of every recommender",
    "classes": "OOM kills against slack by class of series",
    "calibration": "Promised against realised chance of an OOM kill",
}


# -- parts --------------------------------------------------------------------------------------------------


def _rows(document: Document) -> Rows:
    return {row["name"]: row for row in document["rows"]}


def _unasked(document: Document, kind: str) -> list[Mapping[str, Any]]:
    return [point for point in document["frontier"] if point["class"] == kind and point["setting"] == DEFAULT]


def _table(head: Sequence[str]) -> Iterator[str]:
    yield _line(*head)
    yield _line(*("---" for _ in head))


def _line(*cells: str) -> str:
    return "| " + " | ".join(cells) + " |\n"


def _who(recommender: str) -> str:
    return "**Plimsoll**" if recommender == SUBJECT else recommender


def _spread(found: Sequence[float | None]) -> str:
    value, low, high = found
    inside = "" if low is None or high is None else f" [{_figure(low)}, {_figure(high)}]"
    return f"{_figure(value)}{inside}"


def _ranged(row: Mapping[str, Any]) -> str:
    return _spread((row["value"], row["low"], row["high"]))


def _own(row: Mapping[str, Any]) -> str:
    """Plimsoll's figure with its interval, and what that interval is not from."""
    return f"{_ranged(row)}{_part(row.get('finite_draws'))}{_alone(row)}"


def _theirs(row: Mapping[str, Any], who: str) -> str:
    """A peer's figure, with its interval where the results have one."""
    value = row["against"].get(who)
    low, high, share = (row.get("spreads") or {}).get(who, (None, None, None))
    return "-" if value is None else f"{_spread((value, low, high))}{_part(share)}"


def _part(share: float | None) -> str:
    return f", {words}" if (words := in_draws(share)) else ""


def _alone(found: Mapping[str, Any]) -> str:
    """That there is no interval because siblings are all there is."""
    return " (1 group)" if found.get("groups") == 1 else ""


def _figure(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.2g} %"
