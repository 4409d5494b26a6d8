"""`plimsoll replay pages` and `score pages`, end to end on files: what is emitted, scored, and refused."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from builders.pagetraces import mixed_trace, page_trace, write_pages
from builders.replacement import lru
from plimsoll.install import install_hint
from plimsoll_cli.main import app

SAMPLE = Path(__file__).parents[3] / "docs" / "examples" / "np_kmeans.pgt"
POLICIES = ("plimsoll", "lru", "clock", "s3fifo", "arc", "lirs", "belady")


@pytest.fixture(scope="module")
def trace(tmp_path_factory):
    path = tmp_path_factory.mktemp("pages") / "mixed.pgt"
    write_pages(path, mixed_trace(2, 5000))
    return path


def run(*arguments):
    return CliRunner().invoke(app, ["replay", *map(str, arguments)])


def rows_of(*arguments):
    result = run(*arguments, "-o", "json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


@pytest.mark.parametrize("policy", POLICIES)
def test_what_is_emitted_scores_as_it_was_told(policy, tmp_path):
    out = tmp_path / "out.npz"
    told = rows_of("pages", SAMPLE, "--policy", policy, "--capacity", "0.1,0.50", "--emit", out)
    with np.load(out) as file:
        assert sorted(file.files) == ["victims_0.1", "victims_0.50"]
        assert all(file[name].dtype == np.uint32 for name in file.files)
    scored = rows_of("score", "pages", SAMPLE, out)
    assert without(scored, "file") == without(told, "policy")


def without(rows, name):
    return [{key: value for key, value in row.items() if key != name} for row in rows]


def test_victims_are_the_traces_own_indices(trace, tmp_path):
    out = tmp_path / "lru.npz"
    write_pages(tmp_path / "own.pgt", page_trace([900 + 7 * (at % 30) for at in range(300)]))
    rows_of("pages", tmp_path / "own.pgt", "--policy", "lru", "--capacity", "0.5", "--emit", out)
    with np.load(out) as file:
        victims, misses = lru([900 + 7 * (at % 30) for at in range(300)], 15)
        assert file["victims_0.5"].tolist() == victims
        assert len(victims) == misses - 15


def test_belady_closes_the_whole_gap_and_lru_none(trace):
    rows = rows_of("pages", trace, "--policy", "lru", "--policy", "belady", "--capacity", "0.2")
    gaps = {row["policy"]: row["gap_closed_percent"] for row in rows if row["capacity"] == "0.2"}
    assert gaps == {"lru": pytest.approx(0), "belady": pytest.approx(100)}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--policy", "fifo"], "--policy 'fifo': there are plimsoll, lru"),
        (["--capacity", "0.1,many"], "'many' is no fraction"),
        (["--capacity", "1.5"], "'1.5' is no fraction"),
        (["--capacity", "nan"], "'nan' is no fraction"),
        (["--capacity", "0.1,0.10"], "'0.10' is there twice"),
        (["--policy", "lru", "--policy", "arc", "--emit", "x.npz"], "name just one"),
        (["--policy", "lru", "--emit", "none/x.npz"], "none"),
    ],
)
def test_wrong_options_are_told_in_a_sentence(trace, arguments, message):
    result = run("pages", trace, *arguments)
    assert result.exit_code != 0
    assert message in result.stderr
    assert result.stderr.startswith("Error: ")


def test_a_trace_with_nothing_in_it_is_told_by_name(tmp_path):
    write_pages(tmp_path / "empty.pgt", page_trace([]))
    result = run("pages", tmp_path / "empty.pgt")
    assert result.exit_code != 0
    assert "empty.pgt: holds no reference" in result.stderr


def save(path, **arrays):
    with path.open("wb") as file:
        np.savez(file, **arrays)
    return path


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"victims_0.5": np.arange(3, dtype=np.uint32)}, "capacity 0.5: victim"),
        ({"victims_0.5": np.arange(3)}, "is int64, not one row of uint32"),
        ({"victims_half": np.arange(3, dtype=np.uint32)}, "'half' is no fraction"),
        ({"other": np.arange(3)}, "has no array `victims_<capacity>`"),
        ({"victims_0.5": np.array([{}])}, "not a readable .npz"),
    ],
)
def test_a_file_that_breaks_the_contract_is_told(trace, tmp_path, arrays, message):
    result = run("score", "pages", trace, save(tmp_path / "theirs.npz", **arrays))
    assert result.exit_code != 0
    assert "theirs.npz" in result.stderr
    assert message in result.stderr


def test_a_file_that_is_no_npz_is_told(trace, tmp_path):
    (tmp_path / "theirs.npz").write_bytes(b"no archive")
    result = run("score", "pages", trace, tmp_path / "theirs.npz")
    assert result.exit_code != 0
    assert "theirs.npz: not a readable .npz file" in result.stderr


WITHOUT_NUMBA = """
import sys
sys.modules["numba"] = None
from plimsoll_cli.main import main
sys.argv[1:] = {arguments}
main()
"""


@pytest.mark.parametrize("command", [["pages"], ["score", "pages"]])
def test_without_numba_the_extra_is_named(command, trace):
    arguments = ["replay", *command, str(trace), *(["x.npz"] if "score" in command else [])]
    code = WITHOUT_NUMBA.format(arguments=arguments)
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 1
    assert f"needs the extra `bench`: {install_hint('bench')}" in done.stderr
    assert "Traceback" not in done.stderr


def test_victims_never_take_the_place_of_the_trace(trace, tmp_path):
    own = tmp_path / "own.pgt"
    own.write_bytes(trace.read_bytes())
    result = run("pages", own, "--policy", "lru", "--emit", own)
    assert (result.exit_code, f"{own}: is what is read" in result.stderr) == (2, True)
    assert own.read_bytes() == trace.read_bytes()


def test_one_array_is_no_victims_file(trace, tmp_path):
    np.save(tmp_path / "one.npy", np.zeros(3, np.uint32))
    result = run("score", "pages", trace, tmp_path / "one.npy")
    assert (result.exit_code, "not a readable .npz file" in result.stderr) == (2, True)


@pytest.mark.parametrize("option", [("--policy", "foo"), ("--capacity", "0")])
def test_a_wrong_option_is_status_2(trace, option):
    assert run("pages", trace, *option).exit_code == 2
