"""The docs are built with warnings as errors, and every command that they show is run.

A line `$ command` in a `console` block of README.md or docs/ is run as it stands, in a shell, in a directory
of its own that has the checkout's `.venv` and examples. It must exit 0. The environment's commands are on the
PATH, as the pages of docs/ say; not for README.md, whose reader has just cloned.
"""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from builders.shell import COMMAND_SECONDS, check_shown

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
CONSOLE_BLOCK = re.compile(r"^```console\n(.*?)^```", re.MULTILINE | re.DOTALL)
# The whole demo has a test of its own (tests/simulation); the Makefile's targets are what runs this test.
RUN_ELSEWHERE = re.compile(r"^(make|git) ")


def shown_commands(page: Path) -> list[str]:
    lines = "".join(CONSOLE_BLOCK.findall(page.read_text())).splitlines()
    return [line[2:] for line in lines if line.startswith("$ ") and not RUN_ELSEWHERE.match(line[2:])]


COMMANDS = [(page.name, command) for page in PAGES for command in dict.fromkeys(shown_commands(page))]


def test_some_page_shows_a_command() -> None:
    assert COMMANDS


@pytest.mark.parametrize(
    ("page", "command"), COMMANDS, ids=[f"{page}: {command}" for page, command in COMMANDS]
)
def test_command_in_the_docs_runs(page: str, command: str, tmp_path: Path) -> None:
    environments = str(Path(sys.executable).parent)
    path = [each for each in os.environ["PATH"].split(os.pathsep) if each != environments]
    if page != "README.md":
        path.insert(0, environments)
    (tmp_path / ".venv").symlink_to(sys.prefix)
    shutil.copytree(ROOT / "docs" / "examples", tmp_path / "docs" / "examples")
    environment = {
        **os.environ,
        "PATH": os.pathsep.join(path),
        "KUBECONFIG": str(tmp_path / "none"),
        "COLUMNS": "120",
    }
    check_shown(command, tmp_path, environment, f"{page}: ")


def test_docs_build_without_a_warning(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", "-b", "html", ROOT / "docs", tmp_path],
        capture_output=True,
        text=True,
        timeout=COMMAND_SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "index.html").exists()
