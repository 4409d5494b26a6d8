"""`plimsoll replay limits` and `score limits`, end to end on small files;
and an outside scorer that agrees.
"""

import json
import subprocess
import sys

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from builders.outside_scorer import score_files
from builders.series import mixed_batch
from plimsoll_cli.main import app
from plimsoll_cli.traces.sample import sample_directory

runner = CliRunner()


@pytest.fixture(scope="module")
def traces(tmp_path_factory):
    """Six synthetic series as a trace file."""
    path = tmp_path_factory.mktemp("traces") / "synthetic.parquet"
    batch = mixed_batch()
    row, k = np.nonzero(np.isfinite(batch.usage_bytes))
    table = {
        "series_id": [batch.series_ids[i] for i in row],
        "timestamp": 1_000_000_200 + 300 * k + 7,
        "memory_bytes": batch.usage_bytes[row, k],
    }
    pq.write_table(pa.table(table), path)
    return path


def replay(*arguments):
    result = runner.invoke(app, ["replay", *map(str, arguments)])
    assert result.exit_code == 0, result.output
    return result.stdout


def rows_of(*arguments):
    return json.loads(replay(*arguments, "-o", "json"))


def test_one_row_a_class_and_one_for_all(traces):
    rows = rows_of("limits", traces, "--recommender", "vpa", "--recommender", "krr", "--warmup", "3h")
    assert {row["recommender"] for row in rows} == {"vpa", "krr"}
    total = next(row for row in rows if row["recommender"] == "krr" and row["class"] == "all")
    parts = [row for row in rows if row["recommender"] == "krr" and row["class"] != "all"]
    assert total["series"] == sum(row["series"] for row in parts) == 6
    assert total["ooms"] == sum(row["ooms"] for row in parts)


def test_emits_the_contracts_columns_and_every_bin_once(traces, tmp_path):
    out = tmp_path / "out.parquet"
    replay("limits", traces, "--recommender", "static", "--warmup", "3h", "--emit", out)
    table = pq.read_table(out)
    assert table.schema.names == ["series_id", "bin", "limit_bytes", "reason"]
    assert [str(kind) for kind in table.schema.types] == ["string", "int32", "double", "string"]
    keys = list(zip(table["series_id"].to_pylist(), table["bin"].to_pylist(), strict=True))
    assert len(set(keys)) == len(keys)
    assert min(k for _, k in keys) == 36
    assert {reason for reason in table["reason"].to_pylist() if reason is not None} == {
        "a static limit is never changed"
    }


@pytest.mark.parametrize("name", ["plimsoll", "vpa-guarded"])
def test_processes_change_nothing_bit_for_bit(traces, tmp_path, name):
    for jobs in (1, 2):
        arguments = ("--recommender", name, "--warmup", "3h", "--jobs", jobs)
        replay("limits", traces, *arguments, "--emit", tmp_path / f"{jobs}.parquet")
    assert (tmp_path / "1.parquet").read_bytes() == (tmp_path / "2.parquet").read_bytes()


def test_dask_changes_nothing_bit_for_bit(traces, tmp_path, monkeypatch):
    monkeypatch.delenv("DASK_SCHEDULER_ADDRESS", raising=False)
    arguments = ("--recommender", "plimsoll", "--warmup", "3h", "--emit")
    replay("limits", traces, *arguments, tmp_path / "here.parquet")
    replay("limits", traces, "--engine", "dask", "--jobs", 2, *arguments, tmp_path / "dask.parquet")
    assert (tmp_path / "here.parquet").read_bytes() == (tmp_path / "dask.parquet").read_bytes()


def test_what_was_emitted_scores_as_it_did_in_the_replay(traces, tmp_path):
    out = tmp_path / "out.parquet"
    there = rows_of("limits", traces, "--recommender", "krr", "--warmup", "3h", "--emit", out)
    back = rows_of("score", "limits", out, "--traces", traces, "--warmup", "3h")
    assert [{**row, "recommender": ""} for row in there] == [{**row, "recommender": ""} for row in back]


def test_an_unlawful_file_is_scored_told_and_status_1(traces, tmp_path):
    out = tmp_path / "out.parquet"
    replay("limits", traces, "--recommender", "krr", "--warmup", "3h", "--emit", out)
    pq.write_table(pq.read_table(out).slice(1), out)
    arguments = ["replay", "score", "limits", out, "--traces", traces, "--warmup", "3h"]
    result = runner.invoke(app, [str(argument) for argument in arguments])
    assert result.exit_code == 1
    assert "series flat, bin 36: not exactly one limit" in result.stderr
    assert "Error: 1 violations of the replay contract" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--warmup", "1d12"], "--warmup '1d12': want a duration such as 24h or 5m"),
        (["--guard-every", "7m"], "--guard-every '7m': must be a multiple of 5m"),
        (["--decide-every", "0h"], "--decide-every '0h': must be a multiple of 5m"),
        (["--recommender", "goldilocks"], "unknown recommender 'goldilocks'"),
        (["--recommender", "vpa", "--objective", "slack:0.2"], "'vpa' has no operating point"),
        (["--objective", "cheap"], "objective 'cheap'"),
        (["--recommender", "vpa", "--recommender", "krr", "--emit", "x.parquet"], "name just one"),
    ],
)
def test_wrong_options_are_told_in_one_sentence(traces, arguments, message):
    result = runner.invoke(app, ["replay", "limits", str(traces), *arguments])
    assert result.exit_code == 2
    assert message in result.stderr
    assert "Traceback" not in result.output


@pytest.mark.parametrize(("asked", "noted"), [("slack:0.05", "slack:0.182 stands for it"), ("slack:0.2", "")])
def test_an_operating_point_that_no_price_is_known_for_is_noted(traces, asked, noted):
    result = runner.invoke(app, ["replay", "limits", str(traces), "--objective", asked])
    assert result.exit_code == 0, result.output
    assert noted in result.stderr
    assert ("out of reach" in result.stderr) is bool(noted)


def test_limits_of_series_that_were_not_given_are_refused(traces, tmp_path):
    out = tmp_path / "out.parquet"
    replay("limits", traces, "--recommender", "krr", "--warmup", "3h", "--emit", out)
    other = sample_directory() / "nezha_pod.parquet"
    result = runner.invoke(app, ["replay", "score", "limits", str(out), "--traces", str(other)])
    assert result.exit_code == 1
    assert "series 'flat' is in no trace given (6 such series)" in result.stderr


@pytest.mark.parametrize("name", ["plimsoll", "vpa", "static"])
@pytest.mark.parametrize(("file", "warmup"), [("nezha_pod", "3h"), ("google2011_job", "24h")])
def test_an_outside_scorer_agrees(name, file, warmup, tmp_path):
    trace, out = sample_directory() / f"{file}.parquet", tmp_path / "out.parquet"
    rows = rows_of("limits", trace, "--recommender", name, "--warmup", warmup, "--emit", out)
    ours = next(row for row in rows if row["class"] == "all")
    outside = score_files(trace, out, warmup_bins=36 if warmup == "3h" else 288)
    assert outside.violations == []
    assert (ours["series"], ours["ooms"]) == (outside.series, outside.ooms)
    assert ours["container_days"] == pytest.approx(outside.container_days, rel=1e-12)
    assert ours["slack"] == pytest.approx(outside.slack, rel=1e-12)
    assert ours["changes_per_cd"] == pytest.approx(outside.changes_per_cd, rel=1e-12)


def refused(status, *arguments):
    result = runner.invoke(app, ["replay", "limits", *map(str, arguments)])
    assert (result.exit_code, result.stdout) == (status, "")
    return result.stderr


def test_limits_never_take_the_place_of_a_recording(traces, tmp_path):
    own, other, pages = tmp_path / "own.parquet", tmp_path / "other.parquet", tmp_path / "k.pgt"
    own.write_bytes(traces.read_bytes())
    other.write_bytes(traces.read_bytes())
    pages.write_bytes(b"PGT1 and so on")
    for path, why in ((own, "is what is read"), (other, "a recording"), (pages, "a page trace")):
        before = path.read_bytes()
        assert f"{path}: " in (said := refused(2, own, "--recommender", "static", "--emit", path))
        assert why in said
        assert path.read_bytes() == before


def test_limits_replace_only_earlier_limits_or_an_empty_file(traces, tmp_path):
    out, mine = tmp_path / "out.parquet", tmp_path / "keep.csv"
    out.write_bytes(b"")
    arguments = ("--recommender", "static", "--warmup", "3h", "--emit")
    for _ in range(2):
        replay("limits", traces, *arguments, out)
    for content in (b"a,b\n1,2\n", out.read_bytes()[:-100]):
        mine.write_bytes(content)
        assert f"{mine}: holds " in refused(2, traces, *arguments, mine)
        assert mine.read_bytes() == content


def test_limits_that_do_not_fit_on_the_disk_leave_those_before(traces, tmp_path):
    out = tmp_path / "out.parquet"
    replay("limits", traces, "--recommender", "static", "--warmup", "3h", "--emit", out)
    before = out.read_bytes()
    words = ["plimsoll", "replay", "limits", str(traces), "--recommender", "krr", "--warmup", "3h"]
    words += ["--emit", str(out)]
    code = "import resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000));"
    code += f"sys.argv = {words!r}; from plimsoll_cli.main import main; main()"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (said.returncode, f"{out}: cannot be written: File too large" in said.stderr) == (2, True)
    assert out.read_bytes() == before


def usage_file(path, seconds, values):
    table = {
        "series_id": pa.array(["a"] * len(values), pa.string()),
        "timestamp": np.array(seconds, np.int64),
    }
    pq.write_table(pa.table({**table, "memory_bytes": np.array(values, np.float64)}), path)
    return path


HOUR = [300 * k for k in range(12)]


@pytest.mark.parametrize(
    ("seconds", "values", "why"),
    [
        ([], [], "no series in these traces has a value"),
        (HOUR, [np.nan] * 12, "no series in these traces has a value"),
        (HOUR, [-1.0] * 12, "no series in these traces has a value"),
        ([0] * 12, [1e9] * 12, "is longer than --warmup 24h"),
        (HOUR, [1e9] * 12, "the longest has values for 1 h"),
        (
            HOUR,
            [204_800.0] * 12,
            "no series uses 16Mi at its median, and what uses less is idle; the largest uses 204800",
        ),
    ],
)
def test_what_cannot_be_scored_says_why(tmp_path, seconds, values, why):
    assert why in refused(1, usage_file(tmp_path / "t.parquet", seconds, values), "--recommender", "static")


def test_limits_of_what_nobody_scores_are_no_score(tmp_path):
    """In KiB: the limits are lawful, and every series counts as idle."""
    path, out = (
        usage_file(tmp_path / "kib.parquet", [300 * k for k in range(96)], [204_800.0] * 96),
        tmp_path / "o",
    )
    runner.invoke(
        app, ["replay", "limits", str(path), "--recommender", "static", "--warmup", "3h", "--emit", str(out)]
    )
    words = ["replay", "score", "limits", str(out), "--traces", str(path), "--warmup", "3h"]
    result = runner.invoke(app, words)
    assert (result.exit_code, result.stdout) == (1, "")
    assert "nothing to score: no series uses 16Mi" in result.stderr


def test_files_that_are_not_there_or_named_twice_are_told(traces, tmp_path):
    away = tmp_path / "nope.parquet"
    result = runner.invoke(app, ["replay", "score", "limits", str(away), "--traces", str(traces)])
    assert (result.exit_code, result.stderr) == (2, f"Error: {away}: no such file or directory\n")
    result = runner.invoke(app, ["recommend", "--traces", str(traces), "--traces", str(traces)])
    assert (result.exit_code, result.stderr) == (2, f"Error: {traces}: is named twice\n")


def test_nothing_is_recommended_for_no_series(tmp_path):
    path = usage_file(tmp_path / "t.parquet", [], [])
    result = runner.invoke(app, ["recommend", "--traces", str(path)])
    assert (result.exit_code, result.stdout) == (1, "")
    assert f"no series in {path}" in result.stderr
