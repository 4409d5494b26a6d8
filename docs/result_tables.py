"""The page of results, and the README's table of the demo.

In: docs/results/*.json. Out: Markdown of `results.md`, and the README with its table.
"""

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from markdown_table import figure, in_draws, table

RESULTS_INTRO = """# Results

Every figure here was written by a benchmark (`make bench`) into a JSON file that is committed beside this
page (`docs/results/`), and taken over by `make docs-results`; none is typed. A range in brackets is the 95 %
interval. Peers were measured in the same run as Plimsoll. Each file of results names the files that were
measured; where one of them is another now, the results are marked as **older than what they measure**, and
`make results-stale` names what has changed.

## Rules of the replay

A recorded series is replayed in bins of five minutes, each the maximum of its samples. A limit may depend on
earlier bins of its own series only; it is decided once an hour and may be raised in between. A bin whose
usage is above the limit is an OOM kill: the limit must then rise to at least 1.2 times, and by 100 MiB, until
the end of the hour, and fall below that within a day only with a reason. Scored are OOM kills in 1000
container-days; slack, the mean of (limit - usage) / limit over bins that fit; and changes of more than 1 % a
container-day. Series with a median below 16 MiB are left out. The setting is fixed beforehand and never
fitted to the series that are replayed.
"""


def read_results(directory: Path) -> dict[str, dict[str, Any]]:
    """Name of each benchmark -> what it wrote."""
    return {path.stem: json.loads(path.read_text("utf-8")) for path in sorted(directory.glob("*.json"))}


def results_page(results: Mapping[str, Mapping[str, Any]]) -> str:
    """One table a benchmark; peers are columns."""
    parts = [RESULTS_INTRO]
    parts += [_results_section(name, document) for name, document in results.items()]
    if not results:
        parts.append("No benchmark has been taken over yet.\n")
    return "\n".join(parts)


def _results_section(name: str, document: Mapping[str, Any]) -> str:
    machine, rows = document["machine"], document["rows"]
    peers = list(dict.fromkeys(peer for row in rows for peer in row.get("against") or {}))
    dirty = " and changes that are in no commit" if document["commit"].endswith("+") else ""
    ran = (
        f"Commit `{document['commit']}`{dirty}, seed {document['seed']}, {document['seconds']:.0f} s on "
        f"{machine['cores']} cores, "
        f"{machine['memory_gib']} GiB, kernel {machine['kernel']}.{document.get('age', '')}\n"
    )
    head = ("figure", "unit", "Plimsoll", *peers, "n")
    body = table(head, (_result_row(row, peers) for row in rows))
    commands = dict.fromkeys(row["command"] for row in rows if row.get("command"))
    how = "".join(f"    {command}\n" for command in commands)
    return f"## {name}\n\n{ran}\n{body}" + (f"\nMeasured by:\n\n{how}" if how else "")


def _result_row(row: Mapping[str, Any], peers: Sequence[str]) -> tuple[str, ...]:
    against = row.get("against") or {}
    value = figure(row["value"]) if row["value"] is not None else f"not measured: {row.get('why', '')}"
    if row.get("low") is not None and row.get("high") is not None:
        value += f" [{figure(row['low'])}, {figure(row['high'])}]"
    if row.get("commit"):
        value += f" (at `{row['commit']}`{row.get('age', '')})"
    value += _how_sure(row)
    spreads = row.get("spreads") or {}
    each = (_spread(against.get(peer), spreads.get(peer, (None, None, None))) for peer in peers)
    return (f"`{row['name']}`", row["unit"], value, *each, str(row.get("n", "")))


def _spread(value: float | None, bounds: Sequence[float | None]) -> str:
    low, high, share = bounds
    inside = "" if low is None or high is None else f" [{figure(low)}, {figure(high)}]"
    return "" if value is None else f"{figure(value)}{inside}{_in_draws(share)}"


def _in_draws(share: float | None) -> str:
    return f" ({words})" if (words := in_draws(share)) else ""


def _how_sure(row: Mapping[str, Any]) -> str:
    """What is to be known of a figure besides its interval."""
    alone = "1 group of siblings: no interval" if row.get("groups") == 1 else ""
    words = "; ".join(filter(None, [alone, row.get("note") or ""]))
    return _in_draws(row.get("finite_draws")) + (f" ({words})" if words else "")


OUTCOME = re.compile(r"(<!-- outcome: made by docs/generate.py -->\n).*?(<!-- end of outcome -->)", re.DOTALL)
ARMS = {
    "static": "static limit (1.2 times the p99 of the warm-up)",
    "vpa": "VPA's algorithm",
    "plimsoll": "**Plimsoll**",
}
OUTCOME_HEAD = (
    "who sets the limit",
    "OOM kills",
    "per 1000 container-days",
    "slack",
    "changes per container-day",
)


def with_outcome(readme: str, demo: Mapping[str, Any] | None) -> str:
    """The README with the demo's measured table between its two marks; as it was where none is on record.

    Where the code that plays has changed since (`demo["age"]`), the table says so.
    """
    if demo is None:
        return readme
    figures = {row["name"]: {"plimsoll": row["value"], **row["against"]} for row in demo["rows"]}
    made = table(OUTCOME_HEAD, (_outcome_row(arm, name, figures) for arm, name in ARMS.items()))
    age = f"\nCommit `{demo['commit']}`.{demo['age']}\n" if demo.get("age") else ""
    return OUTCOME.sub(lambda marks: f"{marks[1]}{made}{age}{marks[2]}", readme)


def _outcome_row(arm: str, name: str, figures: Mapping[str, Mapping[str, float]]) -> tuple[str, ...]:
    kills, rate, slack, changes = (figures[f"demo.{key}"][arm] for key in ("ooms", "oom", "slack", "changes"))
    return name, f"{kills:.0f}", f"{rate:.0f}", f"{slack:.3f}", f"{changes:.1f}"
