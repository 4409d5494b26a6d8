"""`plimsoll plan` over recordings and a cluster: figures, the page, and everything that is refused."""

import csv
import io
import json
import re
from xml.etree import ElementTree as ET

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

GIB, MIB = 2**30, 2**20
BINS_PER_DAY = 288
START = 1_000_080_000  # a midnight


def write(path, usage, start=START):
    """A trace file of series, each with its own bins from `start` on."""
    columns = {"series_id": [], "timestamp": [], "memory_bytes": []}
    for name, bytes_ in usage.items():
        columns["series_id"] += [name] * len(bytes_)
        columns["timestamp"] += [start + 300 * bin_ for bin_ in range(len(bytes_))]
        columns["memory_bytes"] += bytes_.tolist()
    pq.write_table(pa.table(columns), path)
    return path


def swing(days, level, phase_hours=0.0, growth=0.0, seed=1):
    """Five-minute maxima in bytes: a level, half of it as a daily swing, growth a day, noise."""
    bin_ = np.arange(int(days * BINS_PER_DAY))
    daily = 1 + 0.5 * np.cos(2 * np.pi * (bin_ / BINS_PER_DAY - phase_hours / 24))
    noise = np.random.default_rng(seed).uniform(0.98, 1.02, len(bin_))
    return (level * daily * noise + growth * bin_ / BINS_PER_DAY) * GIB


@pytest.fixture(scope="module")
def traces(tmp_path_factory):
    """Ten days of eight pods: four peak at midnight, four at noon, one of them grows."""
    usage = {f"night-{each}": swing(9, 2.0, 0, seed=each) for each in range(4)}
    usage |= {f"noon-{each}": swing(9, 2.0, 12, seed=9 + each) for each in range(3)}
    usage["grows"] = swing(9, 2.0, 12, growth=0.2, seed=20)
    return write(tmp_path_factory.mktemp("traces") / "swings.parquet", usage)


@pytest.fixture(scope="module")
def short(tmp_path_factory):
    """A day of two pods."""
    usage = {"a": swing(1, 1.0), "b": swing(1, 1.0, 12)}
    return write(tmp_path_factory.mktemp("traces") / "short.parquet", usage)


# -- recordings --


def test_nodes_by_requests_and_by_forecast_with_chances(told, traces):
    made = told("plan", traces, "--node-memory", "16Gi", "--nodes", "4")
    by = {row["by"]: row for row in made["needed"]}
    assert list(by) == ["VPA's requests", "Plimsoll's requests", "forecast"]
    assert by["VPA's requests"]["nodes"] > by["forecast"]["nodes"]  # noon's pods lie in midnight's valleys
    assert 0 < by["forecast"]["worst_short_probability"] <= 0.02
    assert made["rehearsal"]["days"] == 5
    assert made["rehearsal"]["node_days"] >= 5
    assert made["given"]["nodes"] == 4
    assert made["given"]["any_short_probability"] >= made["given"]["worst_short_probability"] > 0
    assert made["oom_kills_per_1000_container_days"] > 0
    assert (made["pods"], made["oom_kills_of_containers"], made["node_bytes"]) == (8, 8, 16 * GIB)


def test_growth_needs_more_nodes_in_the_weeks_ahead(told, traces):
    made = told("plan", traces, "--node-memory", "16Gi", "--weeks", "6")
    assert [each["week"] for each in made["weeks"]] == [1, 2, 3, 4, 5, 6]
    assert made["weeks_why"] is None
    assert made["trend"]["slope_bytes"]["middle"] == pytest.approx(0.2 * GIB, rel=0.2)
    assert made["weeks"][-1]["nodes"] > made["needed"][-1]["nodes"]
    for each in made["weeks"]:
        assert each["nodes_low"] <= each["nodes"] <= each["nodes_high"]


def test_a_past_of_a_day_has_no_weeks_ahead_and_says_why(told, plimsoll, short):
    made = told("plan", short)
    assert made["weeks"] is None
    assert "known for 1 whole days, 7 are needed" in made["weeks_why"]
    assert "Weeks ahead: not known" in plimsoll("plan", short).stdout


def test_a_dear_kill_buys_fewer_of_them(told, traces):
    few, many = (
        told("plan", traces, "--node-memory", "16Gi", "--policy", policy)["oom_kills_per_1000_container_days"]
        for policy in ("oom:1", "slack:0.05")
    )
    assert few < many


def test_hours_of_the_day_coincide_though_recordings_end_at_different_times(told, tmp_path):
    """Both peak at midnight by their clocks; one recording ended at noon."""
    write(tmp_path / "a.parquet", {"a": swing(9, 2.0, seed=1)})
    write(tmp_path / "b.parquet", {"b": swing(8.5, 2.0, seed=2)}, start=START)
    hours = {row["hour"]: row["mean_bytes"] for row in told("plan", tmp_path)["hours"]}
    assert hours[0] > 1.5 * hours[12]
    assert sorted(hours) == list(range(24))


def test_rows_hold_the_same_figures(told, plimsoll, traces):
    arguments = ("plan", traces, "--node-memory", "16Gi", "--nodes", "5")
    made = told(*arguments)
    rows = list(csv.DictReader(io.StringIO(plimsoll(*arguments, "-o", "csv").stdout)))
    found = {(row["answer"], row["of"]): row for row in rows}
    assert int(found["nodes", "forecast"]["value"]) == made["needed"][-1]["nodes"]
    given = found["any_short", "forecast, 5 nodes"]["value"]
    assert float(given) == made["given"]["any_short_probability"]
    week = found["nodes_ahead", "week 4"]
    assert [float(week[name]) for name in ("low", "value", "high")] == [
        made["weeks"][3][name] for name in ("nodes_low", "nodes", "nodes_high")
    ]


def test_a_table_says_what_is_an_estimate(plimsoll, traces):
    result = plimsoll("plan", traces, "--node-memory", "16Gi", "--nodes", "5")
    assert result.exit_code == 0, result.stderr
    assert "Nodes of 16.0Gi that would do" in result.stdout
    for words in (
        "By forecast: an estimate",
        "Rehearsed: of plans by forecast for the last 5 days",
        "OOM kills: an estimate",
        "Weeks ahead: an estimate",
    ):
        assert words in result.stdout


def test_what_the_system_keeps_is_taken_off(told, traces):
    less = told("plan", traces, "--node-memory", "17Gi", "--system-reserved", "1Gi")
    assert less["needed"] == told("plan", traces, "--node-memory", "16Gi")["needed"]


# -- the page --


def test_the_page_stands_alone_with_both_charts(plimsoll, traces, tmp_path):
    out = tmp_path / "plan.html"
    result = plimsoll("plan", traces, "--node-memory", "16Gi", "--nodes", "5", "--html", out)
    assert result.exit_code == 0, result.stderr
    text = out.read_text()
    assert not re.search(r"<script|https?:|url\(|@import|src=|href=", text)
    assert "prefers-color-scheme:dark" in text
    charts = [ET.fromstring(each) for each in re.findall(r"<svg.*?</svg>", text, re.DOTALL)]
    assert [each.findtext("title") for each in charts] == [
        "Need against capacity by hour of the day",
        "Nodes needed in the weeks ahead",
    ]
    for chart in charts:
        lines = chart.findall("polyline")
        assert {"need", "capacity"} <= {each.get("class") for each in lines}
        points = [tuple(map(float, pair.split(","))) for each in lines for pair in each.get("points").split()]
        assert all(0 <= x <= 720 and 0 <= y <= 260 for x, y in points)
    assert "By forecast: an estimate" in text
    cells = re.findall(r"<td>(.*?)</td>", text)
    for words in ("VPA&#x27;s requests", "Plimsoll&#x27;s requests", "forecast", "16.0Gi"):
        assert words in cells or words in text.split("</h1>")[0]
    assert text.count("<table>") == 3


def test_a_page_without_weeks_says_why(plimsoll, short, tmp_path):
    assert plimsoll("plan", short, "--html", tmp_path / "plan.html").exit_code == 0
    text = (tmp_path / "plan.html").read_text()
    assert text.count("<svg") == 1
    assert "Not known: at least half" in text


# -- what is refused --


@pytest.mark.parametrize(
    ("arguments", "status", "sentence"),
    [
        (["--nodes", "0"], 2, "--nodes 0: at least one is needed"),
        (["--nodes", "1000000"], 2, "--nodes 1000000: at most 10000"),
        (["--node-memory", "8"], 2, "--node-memory 8: a number without a unit means bytes"),
        (["--bound", "0"], 2, "--bound 0: must lie above 0 and not above 0.5"),
        (["--bound", "0.7"], 2, "--bound 0.7: must lie above 0 and not above 0.5"),
        (["--bound", "nan"], 2, "--bound nan: must lie above 0 and not above 0.5"),
        (["--weeks", "0"], 2, "--weeks 0: must lie between 1 and 52"),
        (["--node-memory", "lots"], 2, "--node-memory: 'lots' is not a memory quantity"),
        (["--node-memory", "0"], 2, "--node-memory 0: a node must have some"),
        (["--system-reserved", "64Gi"], 2, "--system-reserved 64Gi: a node has but 64.0Gi"),
        (["--policy", "cheap"], 2, "--policy: "),
        (["--html", "no/where.html"], 2, "no/where.html: there is no directory no"),
        (["-n", "demo"], 2, "plan TRACES reads recordings: leave --namespace away"),
        (["none.parquet"], 2, "none.parquet: no such file or directory"),
        (["--node-memory", "1100Mi"], 1, "series a alone needs "),
    ],
)
def test_a_failure_is_one_sentence(plimsoll, short, arguments, status, sentence):
    result = plimsoll("plan", short, *arguments)
    assert (result.exit_code, result.stdout) == (status, "")
    assert result.stderr.startswith(f"Error: {sentence}")
    assert len(result.stderr.splitlines()) == 1


def test_an_unreadable_file_is_named(plimsoll, tmp_path):
    (tmp_path / "odd.parquet").write_text("no table")
    result = plimsoll("plan", tmp_path / "odd.parquet")
    assert result.exit_code == 2
    assert "odd.parquet: not a readable Parquet file" in result.stderr


def test_a_recording_without_series_is_told(plimsoll, tmp_path):
    table = {"series_id": pa.array([], pa.string()), "timestamp": pa.array([], pa.int64())}
    pq.write_table(pa.table(table | {"memory_bytes": pa.array([], pa.float64())}), tmp_path / "none.parquet")
    result = plimsoll("plan", tmp_path / "none.parquet")
    assert result.exit_code == 1
    assert "no series in " in result.stderr


@pytest.mark.parametrize("value", [float("nan"), 1e300])
def test_a_recording_in_which_nothing_was_seen_is_no_plan(plimsoll, tmp_path, value):
    usage = {"a": np.full(576, value), "b": np.full(576, value)}
    result = plimsoll("plan", write(tmp_path / "none.parquet", usage))
    assert (result.exit_code, result.stdout) == (1, "")
    last = result.stderr.splitlines()[-1]
    assert last == (
        "Error: nothing to plan: of 2 recorded series of 1 file, each as one pod at its last moment,"
        " none has a usable value in a whole hour, or a request"
    )


def test_an_input_is_never_overwritten(plimsoll, short):
    before = short.read_bytes()
    result = plimsoll("plan", short, "--html", short)
    assert result.exit_code == 2
    assert "is what is read" in result.stderr
    assert short.read_bytes() == before


def test_a_page_replaces_only_an_earlier_page(plimsoll, short, tmp_path):
    mine, page = tmp_path / "keep.txt", tmp_path / "plan.html"
    mine.write_text("my notes")
    result = plimsoll("plan", short, "--html", mine)
    assert (result.exit_code, f"{mine}: holds " in result.stderr) == (2, True)
    assert mine.read_text() == "my notes"
    for _ in range(2):
        assert plimsoll("plan", short, "--html", page).exit_code == 0


# -- a cluster --


def test_a_cluster_is_counted_pod_by_pod(told, world):
    pods = world.get("/api/v1/pods")
    made = told("plan", at=world)
    by = {row["by"]: row for row in made["needed"]}
    assert next(iter(by)) == "requests in force"
    # Two of web at 400 MiB, db, report, gadget and shop's web; log is a DaemonSet, alone requests nothing.
    assert by["requests in force"]["memory_bytes"] == (2 * 400 + 256 + 64 + 64 + 96) * MIB
    assert (made["pods"], made["node_bytes"], made["given"]["nodes"]) == (7, 16 * GIB, 2)
    assert 64 * MIB < made["every_node_bytes"] < 320 * MIB
    assert made["oom_kills_of_containers"] == 2
    assert world.get("/api/v1/pods") == pods


def test_what_is_not_known_of_a_cluster_is_said(told, world):
    notes = told("plan", at=world)["notes"]
    assert "4 containers with no history here: the request counts as the use." in notes
    assert "1 container with neither history nor request: nothing is counted." in notes
    assert any(each.startswith("Pods of DaemonSets take ") for each in notes)


def test_a_pod_that_fits_no_node_of_a_cluster_is_named(plimsoll, world):
    result = plimsoll("plan", "--node-memory", "400Mi", at=world)
    assert result.exit_code == 1
    assert re.search(r"Error: pod demo/\S+ alone needs ", result.stderr)


def test_kube_nodes_that_may_not_be_read_are_asked_for(plimsoll, told, own_world):
    own_world.forbid("nodes")
    result = plimsoll("plan", at=own_world)
    assert result.exit_code == 2
    assert "give --node-memory" in result.stderr
    assert told("plan", "--node-memory", "4Gi", at=own_world)["given"] is None


def test_without_plimsoll_requests_are_all_there_is(told, bare_world):
    made = told("plan", "-n", "shop", at=bare_world)
    assert [row["memory_bytes"] for row in made["needed"][:3]] == [96 * MIB] * 3
    assert made["oom_kills_per_1000_container_days"] is None


def test_neither_recordings_nor_a_cluster(plimsoll):
    result = plimsoll("plan")
    assert result.exit_code == 2
    assert "plimsoll plan TRACES" in result.stderr
    assert json.dumps(result.stdout) == '""'
