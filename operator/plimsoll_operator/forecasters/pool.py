"""Worker processes that fit one task after the other, at low priority, while nobody waits for them.

In: tasks, as many as there is room for. Out: an answer for each of them, some time later. Each worker has a
thread here that hands it tasks and watches it: one that dies or takes too long is replaced, and its task is
answered with the failure. Processes start with the first task and end when there has been none for a
while. `FitPool` is what a queue to other machines would have to offer instead.
"""

import contextlib
import os
import queue
import signal
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from typing import Any, Protocol

from plimsoll.forecast.own import RefitAnswer, RefitTask
from plimsoll.forecast.prophet import FitAnswer, FitTask
from plimsoll_operator.forecasters.fits import failed
from plimsoll_operator.forecasters.fits import fit as any_fit

Task = FitTask | RefitTask
Answer = FitAnswer | RefitAnswer
Fitter = Callable[[Any], Answer]

NICENESS = 15  # below everything that answers somebody
STOP_SECONDS = 5.0


class FitPool(Protocol):
    """Takes tasks without making its caller wait, and gives every one of them an answer."""

    @property
    def room(self) -> int:
        """Tasks that would be taken now."""
        ...

    @property
    def depth(self) -> int:
        """Tasks that were taken and have not been answered."""
        ...

    @property
    def replaced(self) -> int:
        """Workers that had to be replaced so far."""
        ...

    def submit(self, task: Task) -> bool:
        """Take a task; False where there is no room."""
        ...

    def collect(self) -> Sequence[Answer]:
        """The answers that have come since the last time."""
        ...

    def close(self) -> None:
        """End it; what is under way is dropped."""
        ...


@dataclass(frozen=True, slots=True)
class PoolSettings:
    """How many workers, and how much patience with them."""

    workers: int = 1
    queued: int = 64  # tasks that wait; more are not taken
    fit_seconds: float = 180.0  # a fit (and the worker's start) that takes longer hangs
    idle_seconds: float = 900.0  # a worker without a task for so long gives its memory back


class WorkerPool:
    """`FitPool` with processes of this machine."""

    def __init__(self, settings: PoolSettings | None = None, fit: Fitter = any_fit) -> None:
        self._settings = settings or PoolSettings()
        self._fit = fit
        self._tasks: queue.Queue[Task | None] = queue.Queue(self._settings.queued)
        self._answers: queue.SimpleQueue[Answer] = queue.SimpleQueue()
        self._out = 0  # taken, not yet collected
        self._closed = threading.Event()
        self._keepers = [_Keeper(self) for _ in range(self._settings.workers)]
        self._started = False

    @property
    def room(self) -> int:
        """Tasks that would be taken now."""
        return 0 if self._closed.is_set() else self._settings.queued - self._tasks.qsize()

    @property
    def depth(self) -> int:
        """Tasks that were taken and have not been collected."""
        return self._out

    @property
    def replaced(self) -> int:
        """Workers that had to be replaced so far."""
        return sum(keeper.replaced for keeper in self._keepers)

    def submit(self, task: Task) -> bool:
        """Take a task; False where there is no room."""
        if self._closed.is_set():
            return False
        try:
            self._tasks.put_nowait(task)
        except queue.Full:
            return False
        self._out += 1
        if not self._started:
            self._started = True
            for keeper in self._keepers:
                keeper.start()
        return True

    def collect(self) -> list[Answer]:
        """The answers that have come since the last time; never waits."""
        answers = []
        with contextlib.suppress(queue.Empty):
            while True:
                answers.append(self._answers.get_nowait())
        self._out -= len(answers)
        return answers

    def wait(self, timeout_seconds: float) -> Answer | None:
        """The next answer, waited for: for callers that have nothing else to do. None: none came in time."""
        try:
            answer = self._answers.get(timeout=timeout_seconds)
        except queue.Empty:
            return None
        self._out -= 1
        return answer

    def close(self) -> None:
        """End workers and threads; what is under way is dropped."""
        self._closed.set()
        for keeper in self._keepers:
            keeper.stop()

    # -- for the keepers ----------------------------------------------------------------------------------

    def next_task(self) -> Task | None:
        """The next task; None: none for a while, or it is over."""
        try:
            task = self._tasks.get(timeout=self._settings.idle_seconds)
        except queue.Empty:
            return None
        if self._closed.is_set():
            self.wake()  # the next keeper
            return None
        return task

    def wake(self) -> None:
        """Let a keeper that waits for a task see that it is over."""
        with contextlib.suppress(queue.Full):
            self._tasks.put_nowait(None)

    def answer(self, answer: Answer) -> None:
        """A keeper has an answer."""
        self._answers.put(answer)

    @property
    def closed(self) -> bool:
        """True once it is over."""
        return self._closed.is_set()

    @property
    def fit_seconds(self) -> float:
        """Patience with one fit."""
        return self._settings.fit_seconds

    def new_worker(self) -> "_Worker":
        """A fresh process."""
        return _Worker(self._fit)


class _Keeper:
    """The thread that hands tasks to one worker and watches it."""

    def __init__(self, pool: WorkerPool) -> None:
        self._pool = pool
        self._worker: _Worker | None = None
        self._thread = threading.Thread(target=self._run, name="forecast-worker", daemon=True)
        self.replaced = 0

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """End worker and thread."""
        self._pool.wake()
        if self._worker is not None:
            self._worker.kill()  # whoever waits for it sees its end
        if self._thread.is_alive():
            self._thread.join(STOP_SECONDS)

    def _run(self) -> None:
        while not self._pool.closed:
            task = self._pool.next_task()
            if task is None:
                self._let_go()
            else:
                self._pool.answer(self._fitted(task))
        self._let_go()

    def _fitted(self, task: Task) -> Answer:
        try:
            if self._worker is None:
                self._worker = self._pool.new_worker()
            if self._pool.closed:  # it may have been closed before there was a worker to kill
                self._worker.kill()
            answer = self._worker.ask(task, self._pool.fit_seconds)
        except (EOFError, OSError) as error:
            code = self._let_go()
            self.replaced += 1
            return failed(task, f"the worker died (exit code {code}, {type(error).__name__})")
        if answer is None:
            self._let_go()
            self.replaced += 1
            return failed(task, f"no answer within {self._pool.fit_seconds:g} s")
        return answer

    def _let_go(self) -> int | None:
        worker, self._worker = self._worker, None
        return worker.end() if worker is not None else None


class _Worker:
    """One process and the pipe to it."""

    def __init__(self, fit: Fitter) -> None:
        context = get_context("spawn")
        self._connection, theirs = context.Pipe()
        self._process: SpawnProcess = context.Process(target=serve, args=(theirs, fit), daemon=True)
        self._process.start()
        theirs.close()  # so that its end is seen here

    def ask(self, task: Task, timeout_seconds: float) -> Answer | None:
        """The answer; None: not in time. Raises EOFError or OSError where the process is gone."""
        self._connection.send(task)
        if not self._connection.poll(timeout_seconds):
            return None
        answer: Answer = self._connection.recv()
        return answer

    def kill(self) -> None:
        """End the process, and what it started, at once."""
        # A process that is gone, or was cleared up by its keeper meanwhile, needs no end.
        with contextlib.suppress(ProcessLookupError, PermissionError, ValueError):
            pid = self._process.pid
            if pid is None or self._process.exitcode is not None:
                return
            # Before its first line the worker still is of our own group, which is not to be killed.
            (os.killpg if os.getpgid(pid) == pid else os.kill)(pid, signal.SIGKILL)

    def end(self) -> int | None:
        """End it and clear up; its exit code."""
        self._process.join(0.1)  # one that died has a code of its own
        self.kill()
        self._process.join()
        self._connection.close()
        code = self._process.exitcode
        self._process.close()
        return code


def serve(connection: Connection, fit: Fitter) -> None:
    """Answer tasks until the pipe ends: the body of a worker process."""
    os.setsid()  # what a fit starts ends with us
    os.nice(NICENESS)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the operator, whose end closes the pipe
    with contextlib.suppress(EOFError, BrokenPipeError, ConnectionResetError):
        while True:
            connection.send(fit(connection.recv()))
