"""The engine as the operator's event loop sees it: awaitable questions to the worker process.

In: members, events, ticks, checkpoints. Out: the worker's answers. All pipe traffic is asyncio's, large
messages go in pieces, so that the loop is never held. A worker that dies or hangs is started anew in the
background, told all members again and restored from the profiles' checkpoints; until then every tick says
so and everything holds.
"""

import asyncio
import contextlib
import logging
import time
from collections import deque
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TypeVar

from plimsoll.recommend.relatives import Steps
from plimsoll.usage.sample import Quantity
from plimsoll_operator.engine.frames import (
    Ask,
    CheckpointRequest,
    Forget,
    Observe,
    Relate,
    Restore,
    Sync,
    TellNeeds,
    TickRequest,
)
from plimsoll_operator.engine.messages import (
    EngineSettings,
    Event,
    LimitChange,
    Member,
    Needs,
    OomEvent,
    PodContainer,
    PodRaises,
    RestartEvent,
    Tick,
    empty_tick,
    no_raises,
)
from plimsoll_operator.engine.process import EngineDownError, WorkerProcess

log = logging.getLogger(__name__)

# Sizes of one message: each takes the loop under 10 ms to pack.
MEMBERS_PER_MESSAGE = 500
CHECKPOINTS_PER_MESSAGE = 200
NEEDS_PER_MESSAGE = 4000
ANSWER_TIMEOUT_SECONDS = 60.0
FIRST_RESTART_DELAY_SECONDS = 0.5
LONGEST_RESTART_DELAY_SECONDS = 30.0
# Kills and starts told again to a new worker: those after the last checkpoint would be lost otherwise.
REMEMBERED_EVENTS = 10_000

Checkpoints = Callable[[Sequence[int]], Awaitable[Mapping[int, bytes]]]
T = TypeVar("T")
Item = TypeVar("Item")


class Engine:
    """Starts, asks and restarts the worker process."""

    def __init__(
        self,
        settings: EngineSettings,
        checkpoints: Checkpoints | None = None,
        tick_timeout_seconds: float = 180.0,
        on_restart: Callable[[], None] = lambda: None,
        restart_patience_seconds: float = 10.0,
    ) -> None:
        """`checkpoints` reads the stored checkpoints of rows: asked after the worker had to be restarted."""
        self._on_restart = on_restart
        self._restart_patience_seconds = restart_patience_seconds
        self._settings = settings
        self._read_checkpoints = checkpoints
        self._tick_timeout_seconds = tick_timeout_seconds
        self._members: dict[PodContainer, Member] = {}
        self._lived: deque[OomEvent | RestartEvent] = deque(maxlen=REMEMBERED_EVENTS)
        self._relatives: dict[Quantity, dict[str, Steps]] = {}  # by kin
        self._worker: WorkerProcess | None = None
        self._up = asyncio.Event()  # a worker runs that knows all members
        self._closed = False
        self._supervisor: asyncio.Task[None] | None = None
        self._trouble = "the engine has not started"
        self._order = asyncio.Lock()  # members and events reach a worker in the order they came in
        self.restarts = 0

    # -- life ---------------------------------------------------------------------------------------------

    @property
    def ready(self) -> bool:
        """True while a worker runs that knows all members."""
        return self._up.is_set()

    @property
    def pid(self) -> int | None:
        """Process id of the worker, None while there is none."""
        return self._worker.pid if self._worker is not None else None

    async def start(self) -> None:
        """Start the worker; raises `EngineDownError` with its own words where it cannot start."""
        self._worker = await WorkerProcess.start(self._settings)
        self._up.set()
        self._supervisor = asyncio.create_task(self._supervise(), name="engine-supervisor")

    async def close(self) -> None:
        """End the worker and stop watching it."""
        self._closed = True
        self._up.clear()
        self._trouble = "the engine was closed"
        if self._supervisor is not None:
            self._supervisor.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._supervisor
        if self._worker is not None:
            await self._worker.close()
            self._worker = None

    # -- what is told -------------------------------------------------------------------------------------

    async def sync(self, added: Sequence[Member], removed: Sequence[PodContainer]) -> None:
        """Containers that came (or whose facts changed) and that went; a new worker is told all of them."""
        async with self._order:
            for uid in removed:
                self._members.pop(uid, None)
            for part in _parts(added, MEMBERS_PER_MESSAGE):
                self._members |= {(member.pod_uid, member.container): member for member in part}
                await asyncio.sleep(0)  # let the loop breathe
            if self.ready:
                try:
                    await self._tell_members(added, removed)
                except EngineDownError as error:
                    self._doubt(error)

    async def observe(self, events: Sequence[Event]) -> PodRaises:
        """Tell events; return the raises that OOM kills ask for at once (the next tick repeats them)."""
        async with self._order:
            for event in events:
                self._remember(event)
            if self.ready and events:
                try:
                    return await self._ask(Observe(tuple(events)), PodRaises)
                except EngineDownError as error:
                    self._doubt(error)
        return no_raises()

    async def forget(self, rows: Sequence[int]) -> None:
        """Rows whose workloads are gone for good."""
        if self.ready and rows:
            with contextlib.suppress(EngineDownError):
                await self._ask(Forget(tuple(rows)), type(None))

    async def restore(self, checkpoints: Mapping[int, bytes], *, steered: bool = True) -> tuple[str, ...]:
        """Join checkpoints to their rows (after `sync`); return what could not be read, in words.

        `steered` False: the fleet's price is not taken over from them.
        """
        refused: list[str] = []
        for part in _parts(list(checkpoints.items()), CHECKPOINTS_PER_MESSAGE):
            answer = await self._ask(Restore(dict(part), steered), tuple)
            refused += (str(text) for text in answer)
        return tuple(refused)

    async def relate(self, steps: Mapping[str, Steps], quantity: Quantity) -> None:
        """What the memory knows of kinds that are new here (after `sync`); a new worker is told again."""
        known = {member.kin for member in self._members.values()}
        kept = {kin: each for kin, each in self._relatives.get(quantity, {}).items() if kin in known}
        self._relatives[quantity] = kept | dict(steps)
        if self.ready and steps:
            with contextlib.suppress(EngineDownError):
                await self._ask(Relate(dict(steps), quantity), type(None))

    async def tell_needs(self, needs: Needs) -> None:
        """What agents say now, before a tick; a worker that does not hear it works from older words."""
        if not self.ready:
            return
        with contextlib.suppress(EngineDownError):
            for part in needs.parts(NEEDS_PER_MESSAGE):
                await self._ask(TellNeeds(part), type(None))

    # -- what is asked ------------------------------------------------------------------------------------

    async def tick(self, now_seconds: float, *, everything: bool = False, loads: bool = False) -> Tick:
        """One round of the engine; a tick with problems where it is down or failed, never an exception.

        A worker that is being replaced is waited for a little: where a sandbox turns the clock, the seconds
        that takes would be hours without an engine. `loads`: also what placement goes by.
        """
        if not await self._comes_up():
            return empty_tick(now_seconds, self._trouble)
        try:
            return await self._ask(
                TickRequest(now_seconds, everything, loads), Tick, timeout_seconds=self._tick_timeout_seconds
            )
        except EngineDownError as error:
            return empty_tick(now_seconds, str(error))

    async def checkpoints(self, rows: Sequence[int]) -> dict[int, bytes]:
        """Return the checkpoints of `rows`; raises `EngineDownError`."""
        found: dict[int, bytes] = {}
        for part in _parts(list(rows), CHECKPOINTS_PER_MESSAGE):
            answer: dict[int, bytes] = await self._ask(CheckpointRequest(tuple(part)), dict)
            found |= answer
        return found

    async def _comes_up(self) -> bool:
        if self._supervisor is not None and not self._closed:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._restart_patience_seconds):
                    await self._up.wait()
        return self.ready

    # -- parts --------------------------------------------------------------------------------------------

    async def _ask(self, ask: Ask, expected: type[T], timeout_seconds: float = ANSWER_TIMEOUT_SECONDS) -> T:
        if self._worker is None or self._closed:
            raise EngineDownError(self._trouble)
        value = await self._worker.ask(ask, timeout_seconds)
        if not isinstance(value, expected):
            raise EngineDownError(f"the engine answered {type(value).__name__} to {type(ask).__name__}")
        return value

    def _doubt(self, error: EngineDownError) -> None:
        """A worker that missed a message knows a wrong world: replace it, and tell the new one everything."""
        self._up.clear()
        self._trouble = str(error)
        if self._worker is not None:
            self._worker.kill(str(error))

    async def _tell_members(self, added: Sequence[Member], removed: Sequence[PodContainer]) -> None:
        for gone in _parts(removed, 4 * MEMBERS_PER_MESSAGE):
            await self._ask(Sync((), tuple(gone)), type(None))
        for part in _parts(added, MEMBERS_PER_MESSAGE):
            await self._ask(Sync(tuple(part), ()), type(None))

    def _remember(self, event: Event) -> None:
        uid = (event.pod_uid, event.container)
        member = self._members.get(uid)
        if isinstance(event, OomEvent | RestartEvent):
            self._lived.append(event)
        elif member is not None:
            self._members[uid] = _with_limits(member, event)

    async def _supervise(self) -> None:
        """Wait for the worker's end, start another, tell it everything; for ever."""
        delay = FIRST_RESTART_DELAY_SECONDS
        while self._worker is not None:
            began = time.monotonic()
            self._trouble = await self._worker.ended()
            self._up.clear()
            log.error("engine ended", extra={"reason": self._trouble})
            await self._worker.close()
            if time.monotonic() - began > LONGEST_RESTART_DELAY_SECONDS:
                delay = FIRST_RESTART_DELAY_SECONDS
            await asyncio.sleep(delay)
            delay = min(2 * delay, LONGEST_RESTART_DELAY_SECONDS)
            await self._restart()

    async def _restart(self) -> None:
        try:
            self._worker = await WorkerProcess.start(self._settings)
            self.restarts += 1
            self._on_restart()
            async with self._order:  # what comes in meanwhile waits, or is part of what is told
                await self._tell_members(list(self._members.values()), ())
                await self._restore_all()
                for quantity, steps in self._relatives.items():
                    await self._ask(Relate(steps, quantity), type(None))
                await self._ask(Observe(tuple(self._lived)), PodRaises)
                self._up.set()
        except Exception as error:  # the next round of the supervisor tries again
            self._trouble = f"the engine could not be restored: {error}"
            log.exception("engine restart failed")
            if self._worker is not None:
                self._worker.kill(self._trouble)
            return
        log.info("engine restarted", extra={"members": len(self._members), "restarts": self.restarts})

    async def _restore_all(self) -> None:
        if self._read_checkpoints is None:
            return
        rows = sorted({member.row for member in self._members.values()})
        for part in _parts(rows, CHECKPOINTS_PER_MESSAGE):
            for text in await self.restore(await self._read_checkpoints(part)):
                log.warning("checkpoint refused", extra={"reason": text})


def _parts(items: Sequence[Item], size: int) -> Iterator[Sequence[Item]]:
    return (items[start : start + size] for start in range(0, len(items), size))


def _with_limits(member: Member, change: LimitChange) -> Member:
    return replace(member, limit_bytes=change.limit_bytes, request_bytes=change.request_bytes)
