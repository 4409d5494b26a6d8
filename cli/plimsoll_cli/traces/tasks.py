"""Parts of a replay that know nothing of each other, and who works them off: here, processes, or dask.

In: tasks. Out: what each gives, in their order. Series do not know of each other, so a batch may be cut
wherever it suits; the limits are the same, bit for bit, however it is cut and whoever works it off.
"""

import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from multiprocessing import active_children, get_context
from typing import Any, Generic, TypeVar

import numpy as np

from plimsoll.install import install_hint
from plimsoll.replay.limits import LimitReplay, Progress, ReplayRecommender, ReplaySettings, replay_limits
from plimsoll.replay.series import SeriesBatch
from plimsoll_cli.ending import told_to_end
from plimsoll_cli.failure import CommandError
from plimsoll_cli.traces.engine import Engine

# Parts a process gets of each batch: more even out the load and the progress bar, but every part walks the
# bins anew.
PARTS_PER_JOB = 2
LEAST_PART_SERIES = 8
PATIENCE_SECONDS = 10  # for a dask scheduler to answer
SCHEDULER_VARIABLE = "DASK_SCHEDULER_ADDRESS"
Make = Callable[[SeriesBatch], ReplayRecommender]
Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Task(Generic[Result]):
    """One part of a batch, who sets its limits, and what becomes of the replay. All of it is pickled."""

    make: Make
    batch: SeriesBatch
    settings: ReplaySettings
    finish: Callable[[LimitReplay, ReplayRecommender], Result]

    @property
    def size(self) -> int:
        """Bins of all its series."""
        return int(self.batch.usage_bytes.size)


def parts(batch: SeriesBatch, jobs: int) -> Iterator[SeriesBatch]:
    """The batch, cut for so many processes."""
    wanted = min(jobs * PARTS_PER_JOB, max(jobs, len(batch) // LEAST_PART_SERIES))
    count = 1 if jobs == 1 else max(1, min(wanted, len(batch)))
    for rows in np.array_split(np.arange(len(batch)), count):
        yield batch if count == 1 else batch.take(rows)


def work_off(tasks: Sequence[Task[Result]], engine: Engine, jobs: int, report: Progress) -> list[Result]:
    """What every task gives, in their order. `report(done, total)` counts bins of series."""
    if engine is Engine.DASK:
        return _by_dask(tasks, jobs, report)
    return _here(tasks, report) if jobs == 1 else _in_processes(tasks, jobs, report)


def replayed(task: Task[Result], progress: Progress | None = None) -> Result:
    """Do one task."""
    recommender = task.make(task.batch)
    return task.finish(replay_limits(task.batch, recommender, task.settings, progress), recommender)


def _here(tasks: Sequence[Task[Result]], report: Progress) -> list[Result]:
    total, done, results = sum(task.size for task in tasks), 0, []
    for task in tasks:

        def within(bins: int, of: int, task: Task[Result] = task, done: int = done) -> None:
            report(done + task.size * bins // of, total)

        results.append(replayed(task, within))
        done += task.size
    return results


def _in_processes(tasks: Sequence[Task[Result]], jobs: int, report: Progress) -> list[Result]:
    total, done = sum(task.size for task in tasks), 0
    # The longest first, so that no process is left with a long one at the end.
    order = sorted(range(len(tasks)), key=lambda index: -tasks[index].size)
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool, _ended_at_once(pool):
        with _deaf_to_interrupts():
            futures: dict[Future[Result], int] = {
                pool.submit(replayed, tasks[index]): index for index in order
            }
        for future in as_completed(futures):
            if future.exception() is not None:
                pool.shutdown(wait=False, cancel_futures=True)
                break
            done += tasks[futures[future]].size
            report(done, total)
    failed = [future for future in futures if not future.cancelled() and future.exception() is not None]
    if failed:
        failed[0].result()
    by_index = {index: future.result() for future, index in futures.items()}
    return [by_index[index] for index in range(len(tasks))]


@contextmanager
def _deaf_to_interrupts() -> Iterator[None]:
    """Who is spawned meanwhile ignores Ctrl-C, which a terminal sends to all: this process ends them."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


@contextmanager
def _ended_at_once(pool: ProcessPoolExecutor) -> Iterator[None]:
    """Ctrl-C and SIGTERM end the pool's processes too, each of which would finish what it has begun.

    The pool finds them gone and gives its semaphores back.
    """
    before = set(active_children())
    is_main = threading.current_thread() is threading.main_thread()
    handler = signal.signal(signal.SIGTERM, told_to_end) if is_main else None
    try:
        yield
    except (KeyboardInterrupt, SystemExit):
        pool.shutdown(wait=False, cancel_futures=True)
        for process in set(active_children()) - before:
            process.terminate()
        raise
    finally:
        if handler is not None:
            signal.signal(signal.SIGTERM, handler)


def _by_dask(tasks: Sequence[Task[Result]], jobs: int, report: Progress) -> list[Result]:
    """On the cluster that $DASK_SCHEDULER_ADDRESS names, else in dask's own processes on this machine."""
    if not _installed("dask"):
        raise CommandError(f"--engine dask needs the extra `dask`: {install_hint('dask')}")
    if address := os.environ.get(SCHEDULER_VARIABLE):
        return _on_cluster(tasks, address, report)
    dask: Any = import_module("dask")  # an extra, without types

    total = sum(task.size for task in tasks)
    delayed = [dask.delayed(replayed, pure=False)(dask.delayed(task, traverse=False)) for task in tasks]
    computed: Any = dask.compute(*delayed, scheduler="processes", num_workers=jobs)
    report(total, total)
    return list(computed)


def _on_cluster(tasks: Sequence[Task[Result]], address: str, report: Progress) -> list[Result]:
    if not _installed("distributed"):
        raise CommandError(f"${SCHEDULER_VARIABLE} needs the extra `dask`: {install_hint('dask')}")
    distributed: Any = import_module("distributed")

    total, done = sum(task.size for task in tasks), 0
    try:
        client = distributed.Client(address, timeout=PATIENCE_SECONDS)
    except OSError as error:
        raise CommandError(f"no dask scheduler at {address} ({SCHEDULER_VARIABLE}): {error}") from error
    with client:
        futures = [client.submit(replayed, task, pure=False) for task in tasks]
        size_of = {future.key: task.size for future, task in zip(futures, tasks, strict=True)}
        for future in distributed.as_completed(futures):
            done += size_of[future.key]
            report(done, total)
        gathered: Any = client.gather(futures)
    return list(gathered)


def _installed(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ValueError:  # it was forbidden
        return False
