"""The world's clock: it stands still while a participant works and goes on when all are idle.

In: `POST {"participant": pid, "idle_until": T}`: nothing to do before T; `GET`: what time is it. Out:
`{"now": t}`, for a POST as soon as the world has reached T, and then with `pods`: the version that each pod
has by now. The participant begins when its watch has brought it these. One that died (its process is gone)
misses a few bins, as a pod that is started again does; then the world waits for its return. So a run does not
depend on how fast the machine starts a process, nor on how fast that one works.
"""

import asyncio
import os
from collections.abc import Callable, Mapping

import aiohttp.web

DEAD_BINS = 3  # that go on at once without a participant that died
# Wall time that any other is waited for: a start and a first tick take seconds, minutes on a busy machine.
STALL_SECONDS = 300.0
_POLL_SECONDS = 0.02


class WorldClock:
    """The world's time and who has promised to be idle until when."""

    def __init__(self, now_seconds: float, pods: Callable[[], Mapping[str, int]] = dict) -> None:
        self.now_seconds = now_seconds
        self.stalls = 0  # bins that went on without an idle participant
        self._pid: int | None = None  # of the participant that came last
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
        died = self._pid is not None and not _runs(self._pid)
        return 0.0 if died and self._missed_bins < DEAD_BINS else STALL_SECONDS

    async def handle(self, request: aiohttp.web.BaseRequest) -> aiohttp.web.Response:
        """The clock's HTTP endpoint."""
        if request.method != "POST":
            return aiohttp.web.json_response({"now": self.now_seconds})
        try:
            asked = await request.json()
            pid, until = int(asked["participant"]), float(asked["idle_until"])
        except (ValueError, KeyError, TypeError) as error:
            return aiohttp.web.json_response({"error": f"participant, idle_until: {error}"}, status=400)
        self._pid = pid
        await self._wait_until(until)
        return aiohttp.web.json_response({"now": self.now_seconds, "pods": self._pods()})

    async def _wait_until(self, seconds: float) -> None:
        while self.now_seconds < seconds:
            waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiters.add(waiter)
            self._idle_until = seconds
            self._became_idle.set()
            try:
                await waiter
            finally:
                self._waiters.discard(waiter)


def _runs(pid: int) -> bool:
    """Whether a process of this machine is there; whoever kills one has also waited for its end."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
