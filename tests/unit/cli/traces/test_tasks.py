"""However a replay is cut and whoever works it off: the same results, in order; and clear words where not."""

import os
import re
import select
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from builders.replays import broken, limits_of
from builders.series import mixed_batch
from plimsoll.install import install_hint
from plimsoll.replay.limits import ReplaySettings
from plimsoll.replay.recommenders import recommender
from plimsoll_cli.failure import CommandError
from plimsoll_cli.traces.engine import Engine
from plimsoll_cli.traces.tasks import SCHEDULER_VARIABLE, Task, parts, work_off

SETTINGS = ReplaySettings(36)


def tasks_of(jobs, make=None):
    batch = mixed_batch()
    made = make or partial(recommender, "vpa-guarded")
    return [Task(made, part, SETTINGS, limits_of) for part in parts(batch, jobs)]


def joined(results):
    """Name of each series -> its limits."""
    return {
        name: row[np.isfinite(row)].tobytes()
        for names, limits in results
        for name, row in zip(names, limits, strict=True)
    }


def silent(_done, _total):
    pass


@pytest.fixture(scope="module")
def in_one_piece():
    return joined(work_off(tasks_of(1), Engine.PROCESSES, 1, silent))


@pytest.mark.parametrize("jobs", [1, 2, 3, 50])
def test_parts_are_the_batch_in_order(jobs):
    batch = mixed_batch()
    cut = list(parts(batch, jobs))
    assert tuple(name for part in cut for name in part.series_ids) == batch.series_ids
    assert len(cut) == (1 if jobs == 1 else min(jobs, len(batch)))


def test_processes_give_the_same_bit_for_bit_and_count_every_bin(in_one_piece):
    tasks, reported = tasks_of(2), []
    results = work_off(tasks, Engine.PROCESSES, 2, lambda done, total: reported.append((done, total)))
    assert joined(results) == in_one_piece
    assert [names for names, _ in results] == [task.batch.series_ids for task in tasks]
    total = sum(task.size for task in tasks)
    assert reported[-1] == (total, total)


def test_dasks_processes_give_the_same_bit_for_bit(in_one_piece, monkeypatch):
    monkeypatch.delenv(SCHEDULER_VARIABLE, raising=False)
    assert joined(work_off(tasks_of(2), Engine.DASK, 2, silent)) == in_one_piece


def test_a_dask_cluster_gives_the_same_bit_for_bit(in_one_piece, monkeypatch):
    from distributed import LocalCluster

    with LocalCluster(n_workers=1, threads_per_worker=1, processes=False, dashboard_address=None) as cluster:
        monkeypatch.setenv(SCHEDULER_VARIABLE, cluster.scheduler_address)
        assert joined(work_off(tasks_of(2), Engine.DASK, 2, silent)) == in_one_piece


def test_without_dask_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "dask", None)
    with pytest.raises(CommandError, match=re.escape(install_hint("dask"))):
        work_off(tasks_of(2), Engine.DASK, 2, silent)


def test_a_scheduler_that_is_not_there_is_named(monkeypatch):
    monkeypatch.setenv(SCHEDULER_VARIABLE, "tcp://127.0.0.1:9")
    monkeypatch.setattr("plimsoll_cli.traces.tasks.PATIENCE_SECONDS", 1)
    with pytest.raises(CommandError, match=r"no dask scheduler at tcp://127\.0\.0\.1:9"):
        work_off(tasks_of(2), Engine.DASK, 2, silent)


ENDLESS = """
import sys
from functools import partial
from builders.replays import endless, limits_of
from builders.series import mixed_batch
from plimsoll.replay.limits import ReplaySettings
from plimsoll_cli.traces.engine import Engine
from plimsoll_cli.traces.tasks import Task, parts, work_off
make = partial(endless, sys.argv[1])
tasks = [Task(make, part, ReplaySettings(36), limits_of) for part in parts(mixed_batch(), 2)]
try:
    work_off(tasks, Engine.PROCESSES, 2, lambda done, of: None)
except KeyboardInterrupt:
    sys.exit(130)
"""
TESTS = Path(__file__).parents[3]
# As at a terminal: what a shell runs in the background inherits that SIGINT is ignored.
HEARING = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_what_ends_a_replay_ends_its_processes_at_once_and_without_a_word(tmp_path, sent):
    os.mkfifo(tmp_path / "begun")
    begun = os.open(tmp_path / "begun", os.O_RDWR)
    with subprocess.Popen(
        [sys.executable, "-c", HEARING + ENDLESS, str(tmp_path / "begun")],
        stderr=subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": str(TESTS)},
        start_new_session=True,
        text=True,
    ) as process:
        pids = ""
        while pids.count("\n") < 2 and select.select([begun], [], [], 120)[0]:
            pids += os.read(begun, 100).decode()
        # A terminal interrupts all of them, a supervisor the first.
        (os.killpg if sent is signal.SIGINT else os.kill)(process.pid, sent)
        _, said = process.communicate(timeout=60)
    assert (process.returncode, said) == (128 + sent, "")
    assert len(pids.split()) == 2
    assert not any(Path(f"/proc/{pid}").exists() for pid in pids.split())


@pytest.mark.parametrize("jobs", [1, 2])
def test_what_a_recommender_raises_is_raised(jobs):
    with pytest.raises(ArithmeticError, match="this recommender cannot begin"):
        work_off(tasks_of(jobs, broken), Engine.PROCESSES, jobs, silent)
