"""`FitPool` by Redis Streams: the same tasks and answers, fitted by `plimsoll-worker` on other machines.

In: tasks. Out: an answer for each, some time later. A thread carries them, so that nobody here waits for
Redis; while that does not answer, tasks wait here (bounded), and a task without an answer for
`patience_seconds` is answered as failed. Every open task is offered again each minute: a stream that was
lost is filled anew, and one that was not takes nothing twice.
"""

import queue
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from plimsoll.store.content import ContentError
from plimsoll.store.levels.protocol import LevelError
from plimsoll.store.levels.work import Offer, WorkStream
from plimsoll_operator.forecasters.fits import failed
from plimsoll_operator.forecasters.jobs import answer_of, ident_of, task_bytes
from plimsoll_operator.forecasters.pool import Answer, Task

MOST_OPEN = 4096
LOOK_SECONDS = 1.0
OFFER_AGAIN_SECONDS = 60.0
PATIENCE_SECONDS = 1800.0


@dataclass(slots=True)
class _Open:
    """A job that has no answer yet, and the tickets that want it."""

    task: Task  # of the first ticket
    payload: bytes
    since_seconds: float
    tickets: list[int] = field(default_factory=list)
    offered_seconds: float = -1e18


class StreamPool:
    """Carries tasks to a stream and answers back."""

    def __init__(
        self,
        stream: WorkStream,
        *,
        patience_seconds: float = PATIENCE_SECONDS,
        clock: Callable[[], float] = time.monotonic,
        start: bool = True,
    ) -> None:
        """`start=False`: nothing is carried but by `carry`."""
        self._stream = stream
        self._patience_seconds = patience_seconds
        self._clock = clock
        self._lock = threading.Lock()
        self._new: deque[Task] = deque()  # taken, not yet packed
        self._open: dict[str, _Open] = {}
        self._answers: queue.SimpleQueue[Answer] = queue.SimpleQueue()
        self._uncollected = 0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="fit-courier", daemon=True)
        self.failure = ""  # why Redis was not reached the last time
        if start:
            self._thread.start()

    @property
    def room(self) -> int:
        """Tasks that would be taken now."""
        return 0 if self._over.is_set() else max(MOST_OPEN - len(self._open) - len(self._new), 0)

    @property
    def depth(self) -> int:
        """Tasks that were taken and have not been collected."""
        with self._lock:
            open_ = sum(len(each.tickets) for each in self._open.values())
            return self._uncollected + len(self._new) + open_

    @property
    def replaced(self) -> int:
        """Workers here that had to be replaced: there are none."""
        return 0

    def submit(self, task: Task) -> bool:
        """Take a task; False where there is no room."""
        with self._lock:
            if self.room:
                self._new.append(task)  # lessons are megabytes to pack, and nobody waits here
                return True
        return False

    def collect(self) -> list[Answer]:
        """The answers that have come since the last time; never waits."""
        found = []
        while not self._answers.empty():
            found.append(self._answers.get_nowait())
        with self._lock:
            self._uncollected -= len(found)
        return found

    def close(self) -> None:
        """End it; what is under way is fitted by the workers all the same, and kept for an hour."""
        self._over.set()
        if self._thread.is_alive():
            self._thread.join(5.0)
        self._stream.close()

    def carry(self) -> None:
        """One round: offer what is due, fetch what is answered, give up on what took too long."""
        self._pack()
        with self._lock:
            open_ = dict(self._open)
        try:
            self._offer(open_)
            for ident, data in self._stream.answers(list(open_)).items():
                self._answer(ident, answer_of(data, open_[ident].task))
            self.failure = ""
        except LevelError as error:
            self.failure = str(error)
        late = self._clock() - self._patience_seconds
        why = f"no answer within {self._patience_seconds:g} s {self.failure}".strip()
        for ident in [name for name, each in open_.items() if each.since_seconds < late]:
            self._answer(ident, failed(open_[ident].task, why))

    def _pack(self) -> None:
        """What was taken becomes jobs."""
        while self._new:
            task = self._new[0]  # only this thread takes away
            try:
                payload = task_bytes(task)
            except ContentError as error:
                with self._lock:
                    self._new.popleft()
                    self._give(task.ticket, failed(task, str(error)))
                continue
            with self._lock:
                self._new.popleft()
                job = _Open(task, payload, self._clock())
                self._open.setdefault(ident_of(payload), job).tickets.append(task.ticket)

    def _offer(self, open_: dict[str, _Open]) -> None:
        now = self._clock()
        for ident, job in open_.items():
            if now - job.offered_seconds >= OFFER_AGAIN_SECONDS:
                if self._stream.offer(ident, job.payload) is Offer.FULL:
                    return  # the rest would not be taken either
                job.offered_seconds = now

    def _answer(self, ident: str, answer: Answer) -> None:
        with self._lock:
            job = self._open.pop(ident, None)
            for ticket in job.tickets if job else ():
                self._give(ticket, answer)

    def _give(self, ticket: int, answer: Answer) -> None:
        """Whoever calls it holds the lock."""
        self._uncollected += 1
        self._answers.put(replace(answer, ticket=ticket))

    def _run(self) -> None:
        while not self._over.wait(LOOK_SECONDS):
            if self._open or self._new:
                self.carry()
