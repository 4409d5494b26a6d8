"""CI's run says what each stage took and how it ended, and cries out where it was too slow, without failing.

In: the script itself, with a `make` and a cluster that do what a test says.
"""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

CI = Path(__file__).parents[3] / ".ci/run"
MAKE = '#!/bin/sh\n[ "$*" != "$FAILING" ]\n'
UP = "#!/bin/sh\necho vm\nexit $CLUSTER\n"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name, text in ((".ci/run", CI.read_text()), ("kind/up.sh", UP), ("bin/make", MAKE)):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)
    return tmp_path


def run(root: Path, *, failing: str = "", since_seconds: int = 0, cluster: int = 0) -> tuple[int, list[str]]:
    """Exit status and lines of a run that began so long ago; `failing`: what `make` cannot make."""
    surroundings = {"PATH": f"{root}/bin:/usr/bin:/bin", "FAILING": failing, "CLUSTER": str(cluster)}
    assert shutil.which("bash")
    done = subprocess.run(
        [str(root / ".ci/run")],
        env={**surroundings, "SECONDS": str(since_seconds), "PLIMSOLL_CI_WITHOUT_E2E": "yes"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return done.returncode, done.stdout.splitlines()


def seconds_of(lines: list[str]) -> dict[str, int]:
    """By stage."""
    found = (re.fullmatch(r" *(\d+) s  (.+)", line) for line in lines)
    return {each[2]: int(each[1]) for each in found if each}


def test_each_stage_has_its_seconds_before_the_last_line(root: Path):
    status, lines = run(root)
    assert status == 0
    said = seconds_of(lines)
    assert next(iter(said)) == "lint"
    assert list(said)[-2:] == [
        "core of the end-to-end tests, on a cluster of this provider: vm",
        "everything",
    ]
    assert sum(said.values()) - said["everything"] <= said["everything"] < 60
    assert lines[-1].startswith("==> done")
    assert not any("TOO SLOW" in line for line in lines)


@pytest.mark.parametrize(("since_seconds", "slow"), [(4000, False), (4600, True)])
def test_a_run_over_75_minutes_is_said_and_does_not_fail(root: Path, since_seconds: int, slow: bool):
    status, lines = run(root, since_seconds=since_seconds)
    assert status == 0
    assert any(line.startswith("TOO SLOW: 46") for line in lines) is slow
    assert seconds_of(lines)["lint"] < 60  # what was before is no stage's


def test_a_stage_that_fails_is_named_last_with_the_times_of_all_before_it(root: Path):
    status, lines = run(root, failing="test")
    assert status != 0
    assert lines[-1] == f"==> FAILED ({status}) in: tests"
    assert {"lint", "tests", "everything"} <= seconds_of(lines).keys()


def test_what_was_left_out_is_still_the_last_line(root: Path):
    status, lines = run(root, cluster=3)
    assert status == 0
    assert "WITHOUT" in lines[-1]
    assert "EVERY END-TO-END TEST" in lines[-1]
