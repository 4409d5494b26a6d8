"""The root command: quick, one sentence for a failure."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from plimsoll_cli.main import COMMANDS, READER_LEFT, app

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


@pytest.mark.parametrize("arguments", [["--version"], ["--help"], [], ["replay", "--help"]])
def test_help_and_version_on_a_full_disk_are_one_sentence(arguments):
    with Path("/dev/full").open("wb") as full:
        done = started(arguments, stdout=full)
    assert (done.returncode, done.stderr) == (2, "Error: cannot write the output: No space left on device\n")


@pytest.mark.parametrize(
    "arguments",
    [
        ["--version"],
        ["--help"],
        *(["policy", "check", "-", "-o", output] for output in ("table", "csv", "json")),
    ],
)
def test_a_reader_that_left_gives_one_status_and_no_words(arguments):
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "wb") as pipe:
        done = started(arguments, stdout=pipe)
    assert (done.returncode, done.stderr) == (READER_LEFT, "")


def started(arguments, stdout):
    """`plimsoll` as a process; on its standard input a document that is no policy."""
    code = "from plimsoll_cli.start import main; main()"
    return subprocess.run(
        [sys.executable, "-c", code, *arguments],
        input="kind: Odd\n",
        stdout=stdout,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )


def test_an_interrupt_while_modules_are_read_is_quiet():
    code = (
        "import sys\n"
        "class Interrupted:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name == 'typer':\n"
        "            raise KeyboardInterrupt\n"
        "sys.meta_path.insert(0, Interrupted())\n"
        "from plimsoll_cli.start import main\n"
        "main()\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "")


def test_output_that_cannot_be_written_is_one_sentence(tmp_path):
    (tmp_path / "closed").write_text("")
    # What is open for reading stands for a full disk: both refuse what is written to them.
    command = [sys.executable, "-m", "plimsoll_cli.main", "policy", "check", "-", "-o", "json"]
    with (tmp_path / "closed").open("rb") as unwritable:
        said = subprocess.run(
            command, input="kind: Odd\n", stdout=unwritable, stderr=subprocess.PIPE, text=True, check=False
        )
    assert (said.returncode, said.stderr) == (2, "Error: cannot write the output: Bad file descriptor\n")
