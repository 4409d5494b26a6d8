"""A failed test is late only if every phase of it that failed ran out of time."""

import subprocess
from pathlib import Path

import pytest

from builders.e2e.cluster import CommandError, run
from builders.e2e.failures import Failures, mark
from builders.waiting import OutOfTimeError, wait_for

LATE = OutOfTimeError("waited 1 s")


def report(test: str, phase: str, error: BaseException) -> pytest.TestReport:
    """What pytest reports of a phase that raised, marked as tests/e2e/conftest.py does."""
    made = pytest.TestReport(test, ("", 0, ""), {}, "failed", str(error), phase)
    mark(made, pytest.CallInfo.from_call(lambda: (_ for _ in ()).throw(error), phase))
    return made


@pytest.mark.parametrize(
    ("errors", "expected"),
    [
        ([LATE], "late"),
        ([subprocess.TimeoutExpired("kubectl", 400)], "late"),
        ([AssertionError("oom_kills")], "wrong"),
        ([CommandError("kubectl: exit 1: forbidden")], "wrong"),
        ([LATE, AssertionError("not cleaned up")], "wrong"),
        ([AssertionError("oom_kills"), LATE], "wrong"),
    ],
)
def test_a_failure_is_late_or_wrong(tmp_path: Path, errors, expected):
    failures = Failures(tmp_path / "e2e/failed")
    for phase, error in zip(("call", "teardown"), errors, strict=False):
        failures.pytest_runtest_logreport(report("a.py::test", phase, error))
    failures.pytest_sessionfinish()
    assert (tmp_path / "e2e/failed").read_text() == f"{expected}\ta.py::test\n"


def test_what_waits_in_vain_is_out_of_time():
    with pytest.raises(OutOfTimeError, match="a raise"):
        wait_for(lambda: False, "a raise", 0.0)
    with pytest.raises(OutOfTimeError):
        run(["sh", "-c", "echo timed out waiting for the condition >&2; exit 1"])
    with pytest.raises(CommandError) as refused:
        run(["sh", "-c", "echo forbidden >&2; exit 1"])
    assert not isinstance(refused.value, OutOfTimeError)
