"""What the runner of the end-to-end tests makes of failures: only a shortage of time is asked again.

In: the script itself, with a cluster and a pytest that do what a test says.
"""

import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

import pytest

KIND = Path(__file__).parents[3] / "kind"
LATE, OTHER_LATE, WRONG = (
    "late\ttests/e2e/a.py::late\n",
    "late\ttests/e2e/a.py::other\n",
    "wrong\tb.py::wrong\n",
)
# A pytest whose passes end as listed, one a line: the exit status, then the file it leaves.
PYTEST = """#!/usr/bin/env bash
number=$(($(cat "$PASSES/done" 2>/dev/null || echo 0) + 1)); echo $number >"$PASSES/done"
printf '%s\\n' "$*" >>"$PASSES/called"
[ ! -f "$PASSES/failed.$number" ] || cp "$PASSES/failed.$number" "$PLIMSOLL_E2E_FAILED"
exit "$(cat "$PASSES/status.$number")"
"""


@dataclass
class Run:
    """The script's surroundings, and what came of it."""

    root: Path
    environment: dict[str, str] = field(default_factory=dict)

    def passes(self, *ends: tuple[int, str]) -> None:
        """How the passes end, in order."""
        for number, (status, failed) in enumerate(ends, 1):
            (self.root / f"passes/status.{number}").write_text(str(status))
            if status == 1:
                (self.root / f"passes/failed.{number}").write_text(failed)

    def __call__(self, *arguments: str, again: bool = True) -> subprocess.CompletedProcess[str]:
        """Run the script."""
        home = {"HOME": str(self.root), "PASSES": str(self.root / "passes"), "PLIMSOLL_CLUSTER": "vm"}
        return subprocess.run(
            [str(self.root / "kind/e2e.sh"), *arguments],
            env={"PATH": "/usr/bin:/bin", **home, **({"PLIMSOLL_E2E_AGAIN": "yes"} if again else {})},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    @property
    def called(self) -> list[str]:
        """What pytest was called with."""
        return (self.root / "passes/called").read_text().splitlines()


@pytest.fixture
def run(tmp_path: Path) -> Run:
    for part in ("kind", "passes", ".venv/bin"):
        (tmp_path / part).mkdir(parents=True)
    for name in ("e2e.sh", "provider.sh"):
        shutil.copy(KIND / name, tmp_path / "kind" / name)
    for name, text in (
        ("kind/up.sh", "#!/bin/sh\n"),
        ("kind/down.sh", "#!/bin/sh\n"),
        (".venv/bin/python", PYTEST),
    ):
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)
    return Run(tmp_path)


def test_a_test_that_ran_out_of_time_is_asked_once_more_and_named(run: Run):
    run.passes((1, LATE), (0, ""), (0, ""))
    done = run("core")
    assert done.returncode == 0
    assert run.called[2].endswith("tests/e2e/a.py::late")
    assert done.stdout.endswith("ran out of time at first: tests/e2e/a.py::late\n")


def test_it_is_not_asked_a_third_time(run: Run):
    run.passes((1, LATE), (0, ""), (1, LATE))
    assert run("core").returncode == 1
    assert len(run.called) == 3


@pytest.mark.parametrize("failed", [WRONG, LATE + WRONG])
def test_what_was_wrong_is_never_asked_again(run: Run, failed: str):
    run.passes((1, failed), (0, ""))
    assert run("core").returncode == 1
    assert len(run.called) == 2


def test_only_ci_asks_again(run: Run):
    run.passes((1, LATE), (0, ""))
    assert run("core", again=False).returncode == 1
    assert len(run.called) == 2


def test_many_that_run_out_of_time_are_no_passing_shortage(run: Run):
    run.passes((1, LATE + OTHER_LATE), (1, LATE + OTHER_LATE))
    done = run("core")
    assert (done.returncode, len(run.called)) == (1, 2)
    assert "4 tests ran out of time" in done.stdout


def test_a_failure_of_no_test_is_not_excused(run: Run):
    """Under xdist a file that cannot be collected ends with 1, and no test has failed."""
    run.passes((1, ""))
    assert run("kind").returncode == 1


@pytest.mark.parametrize("first", [2, 3, 4])
def test_a_pass_that_did_not_run_to_its_end_is_not_excused_by_the_next(run: Run, first: int):
    run.passes((first, ""), (1, LATE))
    assert run("core").returncode == first
    assert len(run.called) == 2


def test_a_pass_may_be_empty_only_where_somebody_chose_tests(run: Run):
    run.passes((5, ""), (0, ""))
    assert run("all").returncode == 5
    run.passes((0, ""), (0, ""), (5, ""), (0, ""))
    assert run("all", "-k", "oom").returncode == 0


@pytest.mark.parametrize(("chosen", "passes"), [("core", 2), ("kind", 1)])
def test_a_choice_that_no_test_meets_is_a_failure_that_is_said(run: Run, chosen: str, passes: int):
    run.passes(*[(5, "")] * passes)
    done = run(chosen, "-k", "typpo")
    assert (done.returncode, len(run.called)) == (5, passes)
    assert f"NO TEST HAS RUN: nothing of {chosen} is chosen by: -k typpo\n" in done.stdout


def test_kind_runs_what_can_run_side_by_side(run: Run):
    run.passes((0, ""))
    assert run("kind").returncode == 0
    assert len(run.called) == 1
