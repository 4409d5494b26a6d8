"""How long a sandbox plays, as people write it; what it may be asked for, told before anything is played."""

import json
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from plimsoll_cli.failure import FileError
from plimsoll_cli.main import app
from plimsoll_cli.sandbox.command import _SVG_FORMAT, hours_of
from plimsoll_cli.written import can_be_written
from plimsoll_nodeagent.show.written import Holds


@pytest.mark.parametrize(
    ("text", "hours"), [("6h", 6.0), ("90m", 1.5), ("0.2h", 0.2), (48.0, 48.0), ("1d", 24.0)]
)
def test_a_duration_is_written_with_its_unit_or_in_hours(text, hours):
    assert hours_of(text) == hours


@pytest.mark.parametrize("text", ["", "soon", "5", "-1h", ".h", "0h", "nan", "1s", "inf", "1e9", "9999d"])
def test_nonsense_is_refused(text):
    with pytest.raises(typer.BadParameter):
        hours_of(text)


def refused(*arguments: str | Path) -> str:
    """The one sentence of a sandbox that does not begin; its status is 2."""
    result = CliRunner().invoke(app, ["sandbox", *(str(each) for each in arguments)])
    assert (result.exit_code, result.stdout) == (2, "")
    (line,) = result.stderr.splitlines()
    return line


@pytest.mark.parametrize("option", ["--json", "--svg"])
def test_an_outcome_that_has_nowhere_to_go_is_told_before_the_run(tmp_path: Path, option: str):
    assert refused(option, tmp_path) == f"Error: {tmp_path}: is a directory; name a file"
    away = tmp_path / "none" / "outcome"
    assert refused(option, away) == f"Error: {away}: there is no directory {away.parent}"


@pytest.mark.parametrize("option", ["--json", "--svg"])
def test_an_outcome_takes_the_place_of_nothing_else(tmp_path: Path, option: str):
    trace, policy, notes = (tmp_path / name for name in ("good.parquet", "p.yaml", "notes.txt"))
    trace.write_bytes(b"PAR1 and so on")
    policy.write_text("kind: MemoryPolicy")
    notes.write_text("mine")
    read = ("--traces", trace, "--policy", policy)
    assert refused(*read, option, trace).endswith("is what is read; name another file to write")
    assert refused(*read, option, policy).endswith("is what is read; name another file to write")
    assert f"{notes}: holds " in refused(*read, option, notes)
    assert notes.read_text() == "mine"


def test_what_is_written_here_is_known_again(tmp_path: Path):
    file = tmp_path / "outcome"
    for holds, text in ((Holds.OUTCOME, json.dumps({"seed": 7}, indent=1)), (Holds.PICTURE, _SVG_FORMAT)):
        file.write_text(text)
        can_be_written(file, holds)
        with pytest.raises(FileError):
            can_be_written(file, Holds.PAGE)


def test_one_file_is_not_written_twice(tmp_path: Path):
    file = tmp_path / "outcome"
    assert "is what --json names too" in refused("--json", file, "--svg", file)


def test_traces_that_are_not_there_are_named(tmp_path: Path):
    away = tmp_path / "none.parquet"
    assert refused("--traces", away) == f"Error: {away}: no such file or directory"


def test_a_policy_that_cannot_be_read_is_named(tmp_path: Path):
    assert refused("--policy", tmp_path / "none.yaml").startswith(
        f"Error: {tmp_path}/none.yaml: No such file"
    )
