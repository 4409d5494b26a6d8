"""The tests' Prometheus is the process that was started, whatever its command line says yet."""

import subprocess
from pathlib import Path

from builders.e2e.prometheus import note_process, running_process


def test_a_process_runs_until_it_has_ended(tmp_path: Path):
    assert running_process(tmp_path) == 0
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE) as process:
        note_process(tmp_path, process.pid)
        assert running_process(tmp_path) == process.pid
        process.kill()
        # Nobody has asked for its status yet: the number is still there.
        while Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z":
            pass
        assert running_process(tmp_path) == 0
    assert running_process(tmp_path) == 0


def test_another_process_with_its_number_is_not_it(tmp_path: Path):
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE) as process:
        (tmp_path / "pid").write_text(f"{process.pid} 1")
        assert running_process(tmp_path) == 0
        process.stdin.close()


def test_one_that_ended_before_it_was_noted_does_not_run(tmp_path: Path):
    with subprocess.Popen(["true"]) as process:
        process.wait()
    note_process(tmp_path, process.pid)
    assert running_process(tmp_path) == 0
