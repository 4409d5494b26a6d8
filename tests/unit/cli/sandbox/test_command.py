"""How long a sandbox plays, as people write it; what it may be asked for, told before anything is played."""

from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from plimsoll_cli.main import app
from plimsoll_cli.sandbox.command import hours_of


@pytest.mark.parametrize(
    ("text", "hours"), [("6h", 6.0), ("90m", 1.5), ("2", 2.0), (48.0, 48.0), ("1d", 24.0)]
)
def test_a_duration_is_written_with_its_unit_or_in_hours(text, hours):
    assert hours_of(text) == hours


@pytest.mark.parametrize("text", ["", "soon", "-1", "0", "nan", "1s", "inf", "1e9", "9999d"])
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


def test_traces_that_are_not_there_are_named(tmp_path: Path):
    away = tmp_path / "none.parquet"
    assert refused("--traces", away) == f"Error: {away}: no such file or directory"


def test_a_policy_that_cannot_be_read_is_named(tmp_path: Path):
    assert refused("--policy", tmp_path / "none.yaml").startswith(
        f"Error: {tmp_path}/none.yaml: No such file"
    )
