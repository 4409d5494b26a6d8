"""A sandbox that is told to end: its children end, its directory goes, its exit status says which signal.

In: `plimsoll sandbox` as a process, once its operator runs. Nothing is mocked; who is a child is read from
the kernel.
"""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from builders.waiting import wait_for

pytestmark = pytest.mark.slow

# As at a terminal: a shell's background jobs, and so tests run as one, inherit that SIGINT is ignored.
AT_A_TERMINAL = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"
MAIN = (sys.executable, "-c", f"{AT_A_TERMINAL}; from plimsoll_cli.main import main; main()")
LONG = ("--duration", "10d", "--pods", "2", "--speed", "0.1")
START_SECONDS = 120.0
END_SECONDS = 60.0


@pytest.fixture
def sandbox(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """A sandbox that would play for a day, with its directory below the test's."""
    environment = {**os.environ, "TMPDIR": str(tmp_path), "COLUMNS": "120"}
    with subprocess.Popen(
        [*MAIN, "sandbox", *LONG],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def children(pid: int) -> list[int]:
    """The processes that `pid` has started, from the kernel; none where it is gone."""
    try:
        tasks = list(Path(f"/proc/{pid}/task").iterdir())
        return [int(child) for task in tasks for child in (task / "children").read_text().split()]
    except (FileNotFoundError, ProcessLookupError):
        return []


def is_running(pid: int) -> bool:
    """Whether a process is there and not just waiting to be reaped."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_ends_the_children_and_leaves_nothing(
    sandbox: subprocess.Popen[str], tmp_path: Path, number: signal.Signals, status: int
):
    wait_for(lambda: len(children(sandbox.pid)) == 2, "the world and the operator", START_SECONDS)
    family = children(sandbox.pid)
    family += [grandchild for child in family for grandchild in children(child)]
    sandbox.send_signal(number)
    said, _ = sandbox.communicate(timeout=END_SECONDS)
    assert sandbox.returncode == status, said
    wait_for(lambda: not any(is_running(pid) for pid in family), "all of them to end", END_SECONDS)
    assert "Traceback" not in said
    assert list(tmp_path.iterdir()) == []
