"""What a failed end-to-end test leaves is what it stood on, not what was brought back after it.

In: the suite's own conftest.py in a pytest of its own, with a test whose end takes away what it stood on.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from builders.shown.cluster import ROOT

# A cluster whose only object is a line in a file; every question to kubectl is answered with it.
TESTS = """
from pathlib import Path
from types import SimpleNamespace

import pytest

from builders.e2e.evidence import undone_by

STATE = Path(__file__).with_name("state")


def ask(*_arguments, **_more):
    return STATE.read_text()


@pytest.fixture(scope="session")
def cluster():
    return SimpleNamespace(kube=ask, items=lambda *_: [], apply=ask, nodes=())


@pytest.fixture(scope="module")
def of_this_file(cluster):
    with undone_by(lambda: STATE.write_text("brought back")):
        STATE.write_text("as it failed")
        assert "{how}" != "in a fixture"
        yield


def test_it(cluster, of_this_file, namespace):
    with undone_by(lambda: STATE.write_text("brought back")):
        STATE.write_text("as it failed")
        if "{how}" == "and skips":
            pytest.skip("nothing to look at")
        assert "{how}" != "in the block"
    STATE.write_text("at the end")
    assert "{how}" != "outside"
"""


def artifacts_of(directory: Path, how: str) -> dict[str, str]:
    """What is saved of the test, by file."""
    (directory / "test_it.py").write_text(TESTS.replace("{how}", how))
    shutil.copy(ROOT / "tests/e2e/conftest.py", directory)
    saved = directory / "saved"
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-c", os.devnull, str(directory)],
        env={
            **os.environ,
            "PYTHONPATH": str(ROOT / "tests"),
            "PLIMSOLL_ARTIFACTS": str(saved),
            "XDG_STATE_HOME": str(directory / "home"),
        },
        cwd=directory,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == (how not in ("and skips", "nowhere")), done.stdout + done.stderr
    return {each.name: each.read_text() for each in saved.glob("*/*")}


@pytest.mark.parametrize(
    ("how", "expected"),
    [
        ("in the block", "as it failed"),
        ("in a fixture", "as it failed"),
        ("outside", "at the end"),
        ("and skips", None),
        ("nowhere", None),
    ],
)
def test_artifacts_are_of_the_moment_of_the_failure(tmp_path: Path, how: str, expected: str | None):
    found = artifacts_of(tmp_path, how)
    assert bool(found) is (expected is not None)
    if expected is not None:
        assert found["objects.yaml"] == expected
        assert expected in found["operator.log"]
