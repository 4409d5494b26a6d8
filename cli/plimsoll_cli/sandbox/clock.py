"""The world's clock: it stands still while a participant works and goes on when all are idle.

In: `POST {"participant": name, "idle_until": T}`: nothing to do before T; `GET`: what time is it. Out:
`{"now": t}`, for a POST as soon as the world has reached T, and then with `pods`: the version that each pod
has by now. The participant begins when its watch has brought it these. One that dies (it holds no connection)
misses a few bins, as a pod that is started again does; then the world waits for its return. So a run does not
depend on how fast the machine starts a process, nor on how fast that one works.
"""

import asyncio
from collections.abc import Callable, Mapping

import aiohttp.web

DEAD_BINS = 3  # that go on without a participant that died
DEAD_STALL_SECONDS = 0.5  # wall time a bin of these: one that has only lost its watch is back by then
ABSENT_STALL_SECONDS = 60.0  # wall time; the operator is still starting, for the first time or again
SLOW_STALL_SECONDS = 30.0  # wall time; a first tick with its backfill takes seconds
_POLL_SECONDS = 0.02


class WorldClock:
    """The world's time and who has promised to be idle until when."""

    def __init__(
        self, now_seconds: float, alive: Callable[[], bool], pods: Callable[[], Mapping[str, int]] = dict
    ) -> None:
        self.now_seconds = now_seconds
        self.joined = False  # whether any participant has ever come
        self.stalls = 0  # bins that went on without an idle participant
        self._alive = alive
        self._pods = pods
        self._idle_until = 0.0
        self._missed_bins = 0  # that have gone on since the participant was last idle
        self._waiters: set[asyncio.Future[None]] = set()
        self._became_idle = asyncio.Event()

    def now(self) -> float:
        """The world's time, Unix seconds."""
        return self.now_seconds

    @property
    def idle(self) -> bool:
        """Whether the participant waits for a time to come."""
        return self._idle_until > self.now_seconds and bool(self._waiters)

    def advance(self, now_seconds: float) -> None:
        """Move time on and wake whoever waited for it."""
        self.now_seconds = now_seconds
        self._became_idle.clear()
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(None)

    async def until_idle(self) -> bool:
        """Wait for the participant to be idle; False where it was dead, or too slow."""
        loop = asyncio.get_running_loop()
        started = loop.time()
        while not self.idle:
            waited = loop.time() - started
            if waited > self._patience():
                self.stalls += 1
                self._missed_bins += 1
                return False
            try:
                async with asyncio.timeout(_POLL_SECONDS):
                    await self._became_idle.wait()
            except TimeoutError:
                continue
            self._became_idle.clear()
        self._missed_bins = 0
        return True

    def _patience(self) -> float:
        if not self.joined:
            return ABSENT_STALL_SECONDS
        if self._alive():
            return SLOW_STALL_SECONDS
        return DEAD_STALL_SECONDS if self._missed_bins < DEAD_BINS else ABSENT_STALL_SECONDS

    async def handle(self, request: aiohttp.web.BaseRequest) -> aiohttp.web.Response:
        """The clock's HTTP endpoint."""
        if request.method != "POST":
            return aiohttp.web.json_response({"now": self.now_seconds})
        try:
            until = float((await request.json())["idle_until"])
        except (ValueError, KeyError, TypeError) as error:
            return aiohttp.web.json_response({"error": f"idle_until: {error}"}, status=400)
        await self._wait_until(until)
        return aiohttp.web.json_response({"now": self.now_seconds, "pods": self._pods()})

    async def _wait_until(self, seconds: float) -> None:
        self.joined = True
        while self.now_seconds < seconds:
            waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiters.add(waiter)
            self._idle_until = seconds
            self._became_idle.set()
            try:
                await waiter
            finally:
                self._waiters.discard(waiter)
