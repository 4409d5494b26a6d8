"""The root command: quick, one sentence for a failure."""

import subprocess
import sys

import pytest
from typer.testing import CliRunner

from plimsoll_cli.main import COMMANDS, app

runner = CliRunner()


def test_help_imports_no_command():
    code = (
        "import sys\n"
        "from typer.testing import CliRunner\n"
        "from plimsoll_cli.main import app\n"
        "result = CliRunner().invoke(app, ['--help'])\n"
        "assert 'replay' in result.output, result.output\n"
        "heavy = {'numpy', 'pyarrow', 'pydantic', 'kubernetes', 'kopf', 'plimsoll_cli.replay'}\n"
        "heavy &= set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_help_shows_every_command_that_is_there():
    result = runner.invoke(app, ["--help"])
    assert result.exit_code == 0
    assert COMMANDS["replay"].help in result.output


def test_version_is_printed():
    result = runner.invoke(app, ["--version"])
    assert result.exit_code == 0
    assert result.output.startswith("plimsoll ")


@pytest.mark.parametrize(
    ("arguments", "status", "sentence"),
    [
        (["replay", "limits", "nowhere.parquet"], 2, "nowhere.parquet: no such file or directory"),
        (["replay", "limits", "sample", "--emit", "no/where"], 2, "no/where: there is no directory no"),
        (
            ["replay", "limits", "sample", "--warmup", "1x"],
            2,
            "--warmup '1x': want a duration such as 24h or 5m",
        ),
    ],
)
def test_a_failure_is_one_sentence_and_a_status(arguments, status, sentence):
    result = runner.invoke(app, arguments)
    assert result.exit_code == status
    assert result.stderr == f"Error: {sentence}\n"
    assert result.stdout == ""


@pytest.mark.parametrize("arguments", [["nonsense"], ["replay", "nonsense"], ["replay", "limits"]])
def test_wrong_use_is_status_2(arguments):
    assert runner.invoke(app, arguments).exit_code == 2


def test_output_that_cannot_be_written_is_one_sentence(tmp_path):
    (tmp_path / "closed").write_text("")
    # What is open for reading stands for a full disk: both refuse what is written to them.
    command = [sys.executable, "-m", "plimsoll_cli.main", "policy", "check", "-", "-o", "json"]
    with (tmp_path / "closed").open("rb") as unwritable:
        said = subprocess.run(
            command, input="kind: Odd\n", stdout=unwritable, stderr=subprocess.PIPE, text=True, check=False
        )
    assert (said.returncode, said.stderr) == (2, "Error: cannot write the output: Bad file descriptor\n")
