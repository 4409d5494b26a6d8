"""What the person sees: a live table while the world plays, then the outcome table and notable events.

In: the world's frames and outcome. Out: rich renderables; without a terminal, plain lines.
"""

from collections.abc import Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from plimsoll.usage.sample import BIN_SECONDS
from plimsoll_cli.sandbox.scenario import START_BIN

JsonObject = dict[str, Any]
MIB = 2**20
_ARM_NAMES = {
    "plimsoll": "Plimsoll (the operator, live)",
    "static": "static limit (p99 of the warm-up x 1.2)",
    "vpa": "VPA's algorithm",
    "oracle": "oracle (knows the next hour)",
}
_KIND_STYLES = {"raise": "green", "lower": "cyan", "hold": "yellow", "keep": "dim"}
_MOST_OOMS_SHOWN = 15
_WIDE = 108  # columns of a terminal that has room for everything


def mib(value_bytes: float | None) -> str:
    """Bytes for a person."""
    if value_bytes is None:
        return "-"
    if value_bytes >= 10 * 1024 * MIB:
        return f"{value_bytes / (1024 * MIB):.1f} GiB"
    return f"{value_bytes / MIB:,.0f} MiB"


def clock_text(seconds: float) -> str:
    """The world's time for a person; day 1 is the first that counts."""
    minutes = int(seconds - START_BIN * BIN_SECONDS) // 60
    return f"day {minutes // 1440 + 1} {minutes // 60 % 24:02}:{minutes % 60:02}"


def live_view(frame: JsonObject, rows: int, width: int) -> RenderableType:
    """The live table of at most `rows` workloads, those with news first, and how the arms stand."""
    wide = width >= _WIDE
    table = Table(expand=False, pad_edge=False)
    table.add_column("workload", no_wrap=True)
    for name in ("usage", "limit", "asked for") if wide else ("usage", "limit"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("use of limit" if wide else "use", no_wrap=True)
    table.add_column("last decision", no_wrap=True)
    table.add_column("OOM", justify="right", no_wrap=True)
    table.add_column("VPA", justify="right", style="dim", no_wrap=True)
    shown = sorted(frame["rows"], key=lambda row: (-row["ooms"] - row["vpa_ooms"], row["workload"]))[:rows]
    for row in sorted(shown, key=lambda row: row["workload"]):
        table.add_row(*_live_row(row, wide=wide))
    return Group(Text(_headline(frame), style="bold"), table, _arms_line(frame["arms"]))


def _live_row(row: JsonObject, *, wide: bool) -> list[RenderableType]:
    usage, limit = row.get("usage"), row.get("limit")
    kind = row.get("kind", "")
    decision = Text(f"{kind} {row.get('reason', '')}".strip(), style=_KIND_STYLES.get(kind, ""))
    ooms = Text(str(row["ooms"]), style="bold red" if row["ooms"] else "dim")
    share = Text("-" if row["running"] else "ended", style="dim")
    if usage and limit:
        share = _bar(usage / limit, 8 if wide else 0)
    amounts = [mib(usage), mib(limit), mib(row.get("target"))][: 3 if wide else 2]
    return [
        _short(row["workload"], 30 if wide else 21),
        *amounts,
        share,
        decision,
        ooms,
        str(row["vpa_ooms"]),
    ]


def _short(name: str, width: int) -> str:
    """A long name by its beginning and its end, which tells siblings apart."""
    return name if len(name) <= width else f"{name[: width - 9]}…{name[-8:]}"


def _bar(share: float, width: int) -> Text:
    filled = min(width, round(share * width))
    style = "red" if share > 0.95 else "yellow" if share > 0.85 else "green"
    return Text("█" * filled + "░" * (width - filled) + f" {share:4.0%}", style=style)


def _headline(frame: JsonObject) -> str:
    hours = frame["bins"] / 12
    return (
        f"{clock_text(frame['now'])}: {hours:.1f} of {frame['of'] / 12:.0f} hours, {len(frame['rows'])} pods"
    )


def _arms_line(arms: Sequence[JsonObject]) -> Text:
    parts = [f"{arm['arm']}: {arm['ooms']} OOM kills at {arm['slack']:.1%} slack" for arm in arms]
    return Text(" · ".join(parts), style="bold")


def plain_line(frame: JsonObject) -> str:
    """One line instead of the live table."""
    arms = "; ".join(f"{arm['arm']} {arm['ooms']} OOM @ {arm['slack']:.3f}" for arm in frame["arms"])
    return f"{_headline(frame)}: {arms}"


def outcome_table(outcome: JsonObject) -> Table:
    """The arms side by side."""
    hours, seed = outcome["bins"] / 12, outcome["seed"]
    title = f"{len(outcome['series'])} recorded containers, {hours:.0f} hours, seed {seed}"
    caption = "cd: container-day; slack: (limit - use) / limit"
    table = Table(title=title, title_justify="left", caption=caption, caption_justify="left", pad_edge=False)
    table.add_column("who sets the limit", no_wrap=True)
    for name in ("OOM kills", "per 1000 cd", "slack", "changes per cd"):
        table.add_column(name, justify="right")
    for arm in outcome["arms"]:
        table.add_row(
            _ARM_NAMES.get(arm["arm"], arm["arm"]),
            str(arm["ooms"]),
            f"{arm['oom_per_1000cd']:.1f}",
            f"{arm['slack']:.1%}",
            f"{arm['changes_per_cd']:.2f}",
            style="bold" if arm["arm"] == "plimsoll" else "",
        )
    return table


def notable_events(outcome: JsonObject) -> list[str]:
    """OOM kills one by one, and the rest counted."""
    kills = [event for event in outcome["events"] if event["kind"] == "OOMKilled"]
    lines = [
        f"{clock_text(e['seconds'])}  OOM kill of {e['container']} at {mib(e['limit_bytes'])}, {e['message']}"
        for e in kills[:_MOST_OOMS_SHOWN]
    ]
    if len(kills) > _MOST_OOMS_SHOWN:
        lines.append(f"and {len(kills) - _MOST_OOMS_SHOWN} more OOM kills")
    counts, admission = outcome["event_counts"], outcome["admission"]
    lines.append(
        f"{len(outcome['resizes'])} resizes written, {counts['Resized']} done, "
        f"{counts['ResizeRefused']} refused below present usage, {counts['ResizeDeferred']} deferred, "
        f"{counts['ResizeInfeasible']} infeasible; "
        f"{admission['calls'] - admission['failures']} new pods went through admission"
    )
    return lines
