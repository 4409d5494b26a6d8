"""A command line of the docs, run as a reader would run it."""

import subprocess
from collections.abc import Mapping
from pathlib import Path

COMMAND_SECONDS = 600
"""After so long a command hangs; on a busy machine one `helm install` has taken more than 120."""


def check_shown(line: str, directory: Path, environment: Mapping[str, str], where: str = "") -> str:
    """Run a line in a strict shell; it must exit 0 and print something, which is returned."""
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", line],
        cwd=directory,
        env=environment,
        capture_output=True,
        text=True,
        timeout=COMMAND_SECONDS,
        check=False,
    )
    assert done.returncode == 0, f"{where}{line}\n{done.stdout}{done.stderr}"
    assert done.stdout.strip(), f"{where}{line} printed nothing"
    return done.stdout
