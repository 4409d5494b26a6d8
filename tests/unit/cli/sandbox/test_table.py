"""What a person sees, from frames and outcomes as the world sends them."""

import pytest
from rich.console import Console

from plimsoll_cli.sandbox import table
from plimsoll_cli.sandbox.scenario import START_BIN

ARMS = [
    {"arm": name, "ooms": 2, "slack": 0.25, "oom_per_1000cd": 10.0, "changes_per_cd": 1.5}
    for name in ("plimsoll", "static", "vpa", "oracle")
]
ROW = {
    "workload": "nezha-recommendationservice-6cfdd55578-gfj6q-1",
    "usage": 90.0 * 2**20,
    "limit": 100 * 2**20,
    "target": 120 * 2**20,
    "kind": "raise",
    "reason": "Climb",
    "ooms": 3,
    "vpa_ooms": 4,
    "running": True,
}
FRAME = {"bins": 36, "of": 288, "now": START_BIN * 300 + 3 * 3600, "rows": [ROW], "arms": ARMS, "events": []}


def shown(renderable, width: int) -> str:
    console = Console(width=width)
    with console.capture() as captured:
        console.print(renderable)
    return captured.get()


@pytest.mark.parametrize("width", [80, 118])
def test_the_live_table_fits_the_terminal_and_shows_the_kills(width):
    lines = shown(table.live_view(FRAME, 10, width), width).splitlines()
    (row,) = (line for line in lines if "nezha" in line)
    assert "…" in row
    assert row.rstrip("│ ").endswith("4")
    assert "90%" in row
    assert "day 1 03:00" in lines[0]


def test_a_workload_whose_trace_is_over_says_so():
    ended = {"workload": "w", "ooms": 0, "vpa_ooms": 0, "running": False}
    assert "ended" in shown(table.live_view({**FRAME, "rows": [ended]}, 10, 118), 118)


def test_those_with_kills_are_shown_first():
    calm = [{**ROW, "workload": f"calm-{n}", "ooms": 0, "vpa_ooms": 0} for n in range(9)]
    text = shown(table.live_view({**FRAME, "rows": [*calm, ROW]}, 3, 118), 118)
    assert "nezha" in text
    assert text.count("calm") == 2


def test_the_outcome_has_a_line_for_each_arm_and_the_events_are_counted():
    kill = {"kind": "OOMKilled", "seconds": START_BIN * 300 + 150.0, "container": "w", "limit_bytes": 2**20}
    counts = {"Resized": 5, "ResizeRefused": 1, "ResizeDeferred": 0, "ResizeInfeasible": 0}
    outcome = {
        "series": [ROW],
        "bins": 288,
        "seed": 7,
        "arms": ARMS,
        "events": [{**kill, "message": "back-off 10s"}] * 20,
        "event_counts": counts,
        "resizes": [None] * 6,
        "admission": {"calls": 3, "failures": 1},
    }
    text = shown(table.outcome_table(outcome), 118)
    assert [arm for arm in ("Plimsoll", "static", "VPA", "oracle") if arm in text] == [
        "Plimsoll", "static", "VPA", "oracle",
    ]  # fmt: skip
    *kills, more, counted = table.notable_events(outcome)
    assert (len(kills), kills[0]) == (15, "day 1 00:02  OOM kill of w at 1 MiB, back-off 10s")
    assert more == "and 5 more OOM kills"
    assert "6 resizes written, 5 done, 1 refused" in counted
    assert "2 new pods" in counted
