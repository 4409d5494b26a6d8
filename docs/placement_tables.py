"""The tables of `placement.md`: docs/results/placement.json and placement_scheduler.json in, Markdown out.

They stand between marks, as those of `benchmark.md`.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from benchmark_tables import MARKED

NOT_YET = "Not measured yet: run `make bench-placement` and `make docs-results`.\n"
NOT_RUN = "not measured"
Document = Mapping[str, Any]


@dataclass(frozen=True)
class Aim:
    """A figure that was asked for."""

    title: str
    row: str
    bound: float
    at_most: bool
    unit: str = " %"
    most: str = ""  # the row of what could be had at all, whoever places

    def verdict(self, row: Document) -> str:
        """Met where the whole interval is; open where the figure alone is."""
        if row["value"] is None:
            return NOT_RUN
        if not self._holds(row["value"]):
            return "**missed**"
        ends = [each for each in (row.get("low"), row.get("high")) if each is not None]
        return "met" if all(map(self._holds, ends)) else "open: not all of the interval"

    @property
    def asked(self) -> str:
        """The bound in words."""
        return f"{'≤' if self.at_most else '≥'} {_number(self.bound)}{self.unit}"

    def _holds(self, value: float) -> bool:
        return value <= self.bound if self.at_most else value >= self.bound


AIMS = (
    Aim(
        "nodes fewer than by VPA's requests",
        "placement.nodes_saved_percent",
        15.0,
        at_most=False,
        most="placement.nodes_savable_percent",
    ),
    Aim(
        "nodes fewer than by our requests",
        "placement.nodes_saved_over_requests_percent",
        8.0,
        at_most=False,
        most="placement.nodes_savable_over_requests_percent",
    ),
    Aim(
        "shortages at equal packing, of those by requests (model of the scheduler)",
        "placement.shortages_ratio",
        1 / 3,
        at_most=True,
        unit="",
    ),
    Aim("the same with kube-scheduler itself", "scheduler.shortages_ratio", 1 / 3, at_most=True, unit=""),
    Aim("gap to the exact optimum, all pods at once", "placement.gap_to_optimum_percent", 3.0, at_most=True),
    Aim(
        "the same, one pod after the other as at admission",
        "placement.gap_to_optimum_one_by_one_percent",
        3.0,
        at_most=True,
    ),
    Aim(
        "the same rule, in the best of many orders",
        "placement.gap_to_optimum_best_order_percent",
        3.0,
        at_most=True,
    ),
    Aim("the choice among 5,000 nodes, p99", "placement.decide_p99_ms", 5.0, at_most=True, unit=" ms"),
    Aim("such choices one after the other", "placement.pods_per_second", 1000.0, at_most=False, unit="/s"),
    Aim(
        "nodes more where all forecasts are wrong", "placement.wrong_forecast_loss_percent", 2.0, at_most=True
    ),
    Aim("accessed pages that are local (VM)", "placement.numa.local_share_percent", 90.0, at_most=False),
    Aim("of all-local's gain (model)", "placement.numa.model.gain_of_all_local_percent", 80.0, at_most=False),
)
MOVES = {
    "requests": "the scheduler alone",
    "relief": "`relief: Evict`",
    "gates": "gates",
    "require": "`Require`",
    "all": "all three",
    "wrong": "relief and gates, all forecasts wrong",
    "wrong_unguarded": "the same, followed all the same",
    "clock": "room for who comes by the clock",
    "clock_and_relief": "that and relief",
}
MOVED = (
    ("bins in which nodes were short", "short_bins_ratio"),
    ("evictions in 1,000 pod-days", "evictions_per_1000_pod_days"),
    ("of them in vain, %", "evictions_in_vain_percent"),
)
FATES = (
    ("nodes fewer than by VPA's requests, %", "nodes_saved_percent"),
    ("nodes fewer than by our requests, %", "nodes_saved_over_requests_percent"),
    ("shortages at equal packing, of those by requests", "shortages_ratio"),
    ("placements without an opinion, %", "no_opinion_percent"),
)


RECORDED_WAYS = {
    "requests": "the scheduler alone",
    "prefer": "`Prefer` alone",
    "relief": "with `relief: Evict`",
    "gates": "with gates",
    "wrong": "with relief and gates, all forecasts wrong",
}
RECORDED = (
    ("bins in which nodes were short", "short_bins"),
    ("of the scheduler's", "short_bins_ratio"),
    ("draws in which it was worse", "draws_worse"),
    ("evictions", "evictions"),
    ("pods held", "held"),
)


def with_placement_tables(
    page: str, document: Document | None, scheduler: Document | None, recorded: Document | None = None
) -> str:
    """The page with the tables of these results between its marks."""

    def made(name: str) -> str:
        return _made(name, recorded if name == "recorded" else document, scheduler)

    return MARKED.sub(lambda marks: f"{marks[1]}{made(marks[2])}{marks[3]}", page)


def _made(name: str, document: Document | None, scheduler: Document | None) -> str:
    return NOT_YET if document is None else "".join(TABLES[name](document, scheduler))


def _aims(document: Document, scheduler: Document | None) -> Iterator[str]:
    """What was asked for, what was measured, and whether that is enough."""
    rows = _rows(document) | _of_scheduler(scheduler)
    yield _line("figure", "aim", "measured", "", "commit")
    yield _line(*["---"] * 5)
    for aim in AIMS:
        row = rows.get(aim.row)
        if row is None:
            yield _line(aim.title, aim.asked, "", NOT_RUN, "")
            continue
        verdict = aim.verdict(row)
        if (most := rows.get(aim.most)) is not None:
            verdict += f"; no placing saves more than {_spread(most)}"
        yield _line(aim.title, aim.asked, _spread(row), verdict, f"`{row['commit']}`")


def _fates(document: Document, _: Document | None) -> Iterator[str]:
    """Whole jobs on the same days, pods counted either way."""
    rows = _rows(document)
    yield _line("whole jobs, the same days", "each pod by its own past", "by its workload's row")
    yield _line(*["---"] * 3)
    for title, name in FATES:
        arms = (rows.get(f"placement.fates.{arm}.{name}") for arm in ("plimsoll", "rows_by_workload"))
        yield _line(title, *(NOT_RUN if row is None else _spread(row) for row in arms))


def _moves(document: Document, _: Document | None) -> Iterator[str]:
    """What each way of moving pods did."""
    rows = _rows(document)
    yield _line("way", *(title for title, _ in MOVED))
    yield _line(*["---"] * (len(MOVED) + 1))
    for way, title in MOVES.items():
        found = (rows.get(f"placement.moves.{way}.{name}") for _, name in MOVED)
        yield _line(title, *(NOT_RUN if row is None else _spread(row) for row in found))


def _recorded(document: Document, _: Document | None) -> Iterator[str]:
    """What ways do on recorded series, over all draws and fillings."""
    rows = _rows(document)
    yield _line("way", *(title for title, _ in RECORDED))
    yield _line(*["---"] * (len(RECORDED) + 1))
    for way, title in RECORDED_WAYS.items():
        found = (rows.get(f"placement.recorded.{way}.{name}") for _, name in RECORDED)
        yield _line(title, *("" if row is None else _spread(row) for row in found))


def _of_scheduler(document: Document | None) -> dict[str, Document]:
    """Short bins with placement over those without, both of kube-scheduler."""
    if document is None:
        return {}
    rows = _rows(document)
    placed, alone = (
        rows.get(f"placement.scheduler.{arm}.short_node_bins") for arm in ("plimsoll", "requests")
    )
    if placed is None or alone is None or not alone["value"]:
        return {}
    value = placed["value"] / alone["value"]
    return {
        "scheduler.shortages_ratio": {"value": value, "low": None, "high": None, "commit": document["commit"]}
    }


def _rows(document: Document) -> dict[str, Document]:
    return {
        row["name"]: {**row, "commit": row.get("commit") or document["commit"]} for row in document["rows"]
    }


def _spread(row: Document) -> str:
    if row["value"] is None:
        return ""
    value = _number(row["value"])
    return value if row["low"] is None else f"{value} [{_number(row['low'])}, {_number(row['high'])}]"


def _number(value: float) -> str:
    return f"{value:,.3g}" if abs(value) < 1000 else f"{value:,.0f}"


def _line(*cells: str) -> str:
    return f"| {' | '.join(cells)} |\n"


TABLES = {"aims": _aims, "fates": _fates, "moves": _moves, "recorded": _recorded}
