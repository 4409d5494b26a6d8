"""Tables of `benchmark.md` that say where Plimsoll loses: docs/results/forecast.json in, Markdown out.

A class or source where another has as few kills and as little slack is lost; where one has fewer kills or
less slack, that is the price that was paid. Which is worth more the figures do not say, so both are told.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from benchmark_parts import Document, Rows, own, rows_of, table_head, table_line, theirs, with_interval

GROUP = re.compile(r"forecast\.((?:class|source)\.\w+|bitbrains|hosts)\.oom")
# Who knows what comes, and who is ourselves, are no rivals.
NO_RIVALS = ("oracle", "plimsoll-no-guard")
# What is paid is told against VPA alone and against VPA with our guard.
PAID_AGAINST = ("vpa", "vpa-climb")
LOST, MORE_KILLS, MORE_SLACK = "**better on neither**", "more kills", "more slack"


def groups_of(rows: Rows) -> list[str]:
    """Classes and sources, and what is no container, that were measured."""
    found = (match[1] for match in map(GROUP.fullmatch, rows) if match)
    return [name for name in found if rows[f"forecast.{name}.oom"]["value"] is not None]


def no_better(rows: Rows, rival: str, *, strictly: bool = False) -> tuple[list[str], int]:
    """Groups where a rival is as good or better on both axes, and how many groups there are.

    `strictly`: only where it is better on both.
    """
    groups = groups_of(rows)
    return [name for name in groups if _lost(rows, name, rival, strictly=strictly)], len(groups)


def losing(document: Document) -> Iterator[str]:
    """Groups that are lost to anybody, then those where one axis pays for the other."""
    rows = rows_of(document)
    found = [(name, who, kind) for name in groups_of(rows) for who, kind in _losses(rows, name)]
    order = (LOST, MORE_KILLS, MORE_SLACK)
    found.sort(key=lambda each: order.index(each[2]))
    figures = ("OOM/1000 cd: ours", "its", "slack: ours", "its")
    yield from table_head(("class or source", "series", "against", *figures, ""))
    for name, who, kind in found:
        oom, slack = (rows[f"forecast.{name}.{figure}"] for figure in ("oom", "slack"))
        cells = (own(oom), theirs(oom, who), own(slack), theirs(slack, who))
        yield table_line(name, str(oom["n"]), f"`{who}`", *cells, kind)


def surely_behind(document: Document) -> Iterator[str]:
    """Differences whose whole interval is on the wrong side, and classes that surely break promises."""
    rows = rows_of(document)
    yield from table_head(("figure", "against", "Plimsoll minus that"))
    for name, row in rows.items():
        stem, _, rival = name.partition(".minus_")
        if rival and row["low"] is not None and row["low"] > 0:
            spread = with_interval((row["value"], row["low"], row["high"]))
            yield table_line(f"`{stem}` ({row['unit']})", f"`{rival.replace('_', '-')}`", spread)
    for name, row in rows.items():
        if re.fullmatch(r"forecast\.calibration\..*realised_over_promised", name) and (row["low"] or 0) > 1:
            spread = with_interval((row["value"], row["low"], row["high"]))
            yield table_line(f"`{name}`", "what was promised", f"{spread} times")


def _losses(rows: Rows, name: str) -> Iterator[tuple[str, str]]:
    """Rivals of one group, and how it is lost or paid for."""
    for who in rows[f"forecast.{name}.oom"]["against"]:
        if who in NO_RIVALS or _pair(rows, name, who) is None:
            continue
        more_kills, more_slack = (_more(rows[f"forecast.{name}.{each}"], who) for each in ("oom", "slack"))
        if _lost(rows, name, who):
            yield who, LOST
        elif who in PAID_AGAINST and more_kills:
            yield who, MORE_KILLS
        elif who in PAID_AGAINST and more_slack:
            yield who, MORE_SLACK


def _lost(rows: Rows, name: str, rival: str, *, strictly: bool = False) -> bool:
    pair = _pair(rows, name, rival)
    if pair is None:
        return False
    return all(ours > its if strictly else ours >= its for ours, its in pair)


def _pair(rows: Rows, name: str, rival: str) -> list[tuple[float, float]] | None:
    """Ours and a rival's, of kills and of slack; None where either was not measured."""
    found = [rows[f"forecast.{name}.{figure}"] for figure in ("oom", "slack")]
    pairs = [(row["value"], row["against"].get(rival)) for row in found]
    return None if any(None in pair for pair in pairs) else pairs


def _more(row: Mapping[str, Any], rival: str) -> bool:
    return bool(row["value"] > row["against"][rival])
