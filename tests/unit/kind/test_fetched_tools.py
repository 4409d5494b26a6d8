"""What is fetched for tests is what was pinned, or it is not there and a sentence says why.

In: kind/foreign-crds.sh and kind/promtool.sh, an empty cache. Out: exit status, standard error, the cache.
"""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
PROGRAMS = ("bash", "cat", "cut", "install", "mkdir", "mktemp", "mv", "rm", "sed", "sha256sum", "tail")


def run(script: Path, cache: Path, path: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PLIMSOLL_CACHE": str(cache), "PATH": path}
    return subprocess.run(
        ["bash", script], env=environment, capture_output=True, text=True, check=False, timeout=300
    )


def few_programs(directory: Path) -> str:
    """A PATH with what a script needs of the system, and neither Go nor apt-get."""
    directory.mkdir()
    for name in PROGRAMS:
        (directory / name).symlink_to(shutil.which(name))
    return str(directory)


@pytest.mark.parametrize(
    ("script", "missing"), [("foreign-crds.sh", "Go is not installed"), ("promtool.sh", "no apt-get here")]
)
def test_what_cannot_be_had_is_named(tmp_path: Path, script: str, missing: str):
    done = run(ROOT / "kind" / script, tmp_path / "cache", few_programs(tmp_path / "bin"))
    assert done.returncode == 1
    assert done.stderr.startswith(f"{script}: {missing}")
    assert done.stdout == ""


def test_a_module_that_is_not_the_pinned_one_is_refused(tmp_path: Path):
    if shutil.which("go") is None:
        pytest.skip("Go is not installed")
    pinned = (ROOT / "kind/foreign-crds.sh").read_text()
    forged = tmp_path / "foreign-crds.sh"
    forged.write_text(pinned.replace(" h1:", " h1:A", 1))
    done = run(forged, tmp_path / "cache", os.environ["PATH"])
    if "could not download" in done.stderr:
        pytest.skip("no module proxy answers here")
    assert done.returncode == 1
    assert "is not what was pinned" in done.stderr
    assert list((tmp_path / "cache").iterdir()) == []
