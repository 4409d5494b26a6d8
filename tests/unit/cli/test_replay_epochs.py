"""`plimsoll replay epochs` and `score epochs`, end to end on small files."""

import json

import numpy as np
import pytest
from typer.testing import CliRunner

from builders.pagetraces import mixed_trace, page_trace, write_pages
from plimsoll_cli.main import app

runner = CliRunner()


@pytest.fixture(scope="module")
def trace(tmp_path_factory):
    path = tmp_path_factory.mktemp("traces") / "mixed.pgt"
    write_pages(path, mixed_trace(7, 20_000))
    return path


def told(*arguments):
    result = runner.invoke(app, ["replay", *map(str, arguments), "-o", "json"])
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def failure(*arguments, status=2):
    result = runner.invoke(app, ["replay", *map(str, arguments)])
    assert result.exit_code == status
    assert "Traceback" not in result.output
    return " ".join(result.output.split())


def test_emits_the_contracts_arrays_and_scores_them_alike(trace, tmp_path) -> None:
    out = tmp_path / "out.npz"
    (row,) = told("epochs", trace, "--policy", "lru:0.5", "--prefetch", "--target", "0.05", "--emit", out)
    with np.load(out) as file:
        assert {name: str(file[name].dtype) for name in file.files} == {
            "epoch": "int32",
            "page": "uint32",
            "prefetch_epoch": "int32",
            "prefetch_page": "uint32",
        }
        assert (np.diff(file["epoch"]) >= 0).all()
        assert len(file["page"]) == row["page_outs"] > 0
    (scored,) = told("score", "epochs", trace, out, "--target", "0.05")
    assert scored | {"policy": row["policy"]} == row


def test_the_same_input_gives_the_same_file(trace, tmp_path) -> None:
    one, two = tmp_path / "one.npz", tmp_path / "two.npz"
    for path in (one, two):
        told("epochs", trace, "--target", "0.05", "--emit", path)
    with np.load(one) as first, np.load(two) as second:
        assert first.files == second.files == ["epoch", "page"]
        assert all((first[name] == second[name]).all() for name in first.files)


def test_policies_are_compared_and_the_oracle_has_the_whole_share(trace) -> None:
    rows = told("epochs", trace, "--policy", "plimsoll", "--policy", "idle:5", "--policy", "oracle")
    assert [row["policy"] for row in rows] == ["plimsoll", "idle:5", "oracle"]
    assert rows[-1]["share_of_oracle"] == 1
    assert rows[-1]["over_target"] <= 1


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--policy", "mru"], "unknown policy 'mru'; there are plimsoll"),
        (["--target", "0"], "is not between 0 and 1"),
        (["--policy", "oracle", "--prefetch"], "nothing to prefetch"),
        (["--policy", "plimsoll", "--policy", "oracle", "--emit", "x.npz"], "name just one"),
    ],
)
def test_bad_options_are_told(trace, arguments, reason) -> None:
    assert reason in failure("epochs", trace, *arguments)


def test_bad_traces_are_told(trace, tmp_path) -> None:
    empty, cut = tmp_path / "empty.pgt", tmp_path / "cut.pgt"
    write_pages(empty, page_trace([]))
    cut.write_bytes(trace.read_bytes()[:-9])
    assert "no references" in failure("epochs", empty)
    assert "cut off" in failure("epochs", cut)
    assert "cannot be read" in failure("epochs", tmp_path / "none.pgt")


@pytest.mark.parametrize(
    ("arrays", "reason"),
    [
        ({"page": np.zeros(1, np.uint32)}, "array 'epoch' is missing"),
        ({"epoch": np.zeros(1), "page": np.zeros(1, np.uint32)}, "not whole numbers"),
        ({"epoch": np.zeros(2, int), "page": np.zeros(1, np.uint32)}, "'epoch' has 2 rows, 'page' 1"),
        ({"epoch": np.zeros(1, int), "page": np.array([99_999])}, "page 99999 is not in the trace"),
        ({"epoch": np.array([999]), "page": np.zeros(1, int)}, "1 violations of the replay contract"),
        (
            {"epoch": np.array([999]), "page": np.zeros(1, int)},
            "violations of the replay contract (a file made with another count than --epochs 400",
        ),
    ],
)
def test_bad_decisions_are_told(trace, tmp_path, arrays, reason) -> None:
    path = tmp_path / "bad.npz"
    np.savez(path, **arrays)
    status = 1 if "violations" in reason else 2
    assert reason in failure("score", "epochs", trace, path, status=status)


def test_a_file_that_is_none_is_told(trace, tmp_path) -> None:
    path = tmp_path / "text.npz"
    path.write_text("not a zip")
    assert "not a readable .npz" in failure("score", "epochs", trace, path)


def test_decisions_never_take_the_place_of_a_recording(trace, tmp_path) -> None:
    own, recording = tmp_path / "own.pgt", tmp_path / "recording.npz"
    own.write_bytes(trace.read_bytes())
    np.savez(recording, heat=np.ones((2, 2)))
    for path in (own, recording):
        before = path.read_bytes()
        assert "name another file" in failure("epochs", own, "--emit", path)
        assert path.read_bytes() == before


def test_another_count_of_epochs_is_said_where_it_matters(trace, tmp_path) -> None:
    out = tmp_path / "out.npz"
    result = runner.invoke(app, ["replay", "epochs", str(trace), "--epochs", "20", "--emit", str(out)])
    assert result.exit_code == 0
    assert "scores are counted from epoch 40 on" in result.stderr
    assert "score it with --epochs 20" in result.stderr


def test_more_epochs_than_references_are_refused(trace) -> None:
    assert "has only 20000 references" in failure("epochs", trace, "--epochs", "1000000")


def test_one_array_is_no_file_of_decisions(trace, tmp_path) -> None:
    np.save(tmp_path / "one.npy", np.zeros(3))
    assert "not a readable .npz" in failure("score", "epochs", trace, tmp_path / "one.npy")
