"""What benches write: nothing that nobody could check out, unless it is asked for, and then it says so."""

import argparse
import hashlib
import json
from pathlib import Path

import pytest

from builders.benches import bench_modules


@pytest.fixture
def report(tmp_path, monkeypatch):
    """The module with a directory of its own, as a process that has read no command line yet."""
    made = bench_modules(main="report").main
    monkeypatch.setattr(made, "RESULTS", tmp_path)
    monkeypatch.setattr(made._Allowed, "dirty", False)
    monkeypatch.setattr(made._Allowed, "data", ())
    return made


def at(report, monkeypatch, commit):
    monkeypatch.setattr(report, "commit", lambda: commit)


def written(path):
    return json.loads(path.read_text("utf-8"))


def test_a_bench_does_not_begin_in_a_tree_with_changes(report, monkeypatch, capsys):
    at(report, monkeypatch, "abc+")
    with pytest.raises(SystemExit):
        report.bench_options(argparse.ArgumentParser(), [])
    assert "--dirty" in capsys.readouterr().err


@pytest.mark.parametrize("flag", ["--dirty", "--quick"])
def test_whoever_asks_for_it_may_and_the_results_are_marked(report, monkeypatch, flag):
    at(report, monkeypatch, "abc+")
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true")
    report.bench_options(parser, [flag])
    assert written(report.write_results("loop", [], 7, 1.0))["commit"] == "abc+"


def test_a_tree_that_changes_while_a_bench_runs_gives_results_that_go_no_further(
    report, monkeypatch, tmp_path
):
    at(report, monkeypatch, "abc")
    report.bench_options(argparse.ArgumentParser(), [])
    at(report, monkeypatch, "abc+")
    with pytest.raises(report.DirtyTreeError, match="loop-dirty"):
        report.write_results("loop", [], 7, 1.0)
    assert [path.name for path in tmp_path.iterdir()] == ["loop-dirty.json"]


@pytest.mark.parametrize("commit", ["abc", "unknown"])
def test_a_clean_tree_and_no_checkout_are_written(report, monkeypatch, commit):
    at(report, monkeypatch, commit)
    report.bench_options(argparse.ArgumentParser(), [])
    path = report.write_results("loop", [report.Row("loop.x", 1.0, "s", 1, "make bench-loop")], 7, 1.0)
    assert written(path)["commit"] == commit
    assert "commit" not in written(path)["rows"][0]
    assert "bench/loop.py" in written(path)["measured"]["files"]


def test_a_row_of_another_benchs_results_says_at_which_commit_it_was_measured(report, monkeypatch, tmp_path):
    at(report, monkeypatch, "abc")
    committed = tmp_path / "committed"
    monkeypatch.setattr(report, "COMMITTED", committed)
    path = report.write_results("leak", [report.Row("leak.x", 1.0, "s", 3, "make bench-leak")], 7, 1.0)
    at(report, monkeypatch, "def")
    found = report.row_of("leak.x", "leak")
    assert (found.value, found.n, found.commit, found.bench) == (1.0, 3, "abc", "leak")
    assert report.row_of("leak.y", "leak") is None
    assert report.row_of("leak.x", "loop") is None
    committed.mkdir()
    path.rename(committed / "leak.json")  # nobody ran that bench here
    assert report.row_of("leak.x", "leak") == found


def test_results_name_the_data_that_was_measured(report, monkeypatch, tmp_path):
    at(report, monkeypatch, "abc")
    data = tmp_path / "traces"
    data.mkdir()
    (data / "nezha_pod.parquet").write_bytes(b"measured")
    parser = argparse.ArgumentParser()
    parser.add_argument("--traces", type=Path)
    report.bench_options(parser, ["--traces", str(data)])
    recorded = written(report.write_results("leak", [], 7, 1.0))["measured"]
    assert recorded["data"] == {"nezha_pod.parquet": hashlib.sha256(b"measured").hexdigest()[:16]}
