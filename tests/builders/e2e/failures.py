"""Which tests failed, and whether only because they ran out of time: `kind/e2e.sh` asks those again.

In: pytest's reports. Out: a file with a line for each failed test: "late" or "wrong", a tab, the test's id.
"""

import subprocess
from pathlib import Path

import pytest

from builders.waiting import OutOfTimeError

OUT_OF_TIME = "ran out of time"


def mark(report: pytest.TestReport, call: pytest.CallInfo[None]) -> None:
    """Note in the report of a failure whether time was all that lacked; it travels to xdist's controller."""
    assert call.excinfo is not None
    late = call.excinfo.errisinstance((OutOfTimeError, subprocess.TimeoutExpired))
    report.user_properties.append((OUT_OF_TIME, late))


class Failures:
    """A plugin: collects, and writes at the end."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._late: dict[str, bool] = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """A test that failed in one phase by a wrong answer is wrong, whatever else it ran out of."""
        if report.failed:
            late = bool(dict(report.user_properties).get(OUT_OF_TIME))
            self._late[report.nodeid] = self._late.get(report.nodeid, True) and late

    def pytest_sessionfinish(self) -> None:
        """Write what failed."""
        lines = [f"{'late' if late else 'wrong'}\t{test}\n" for test, late in self._late.items()]
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._path.write_text("".join(lines))
