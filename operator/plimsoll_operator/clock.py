"""Where `now` comes from: the wall clock, or a clock that a sandbox turns faster than real time.

In: nothing, or the URL of a followed clock (environment variable `PLIMSOLL_CLOCK_URL`). Out: Unix seconds,
and a sleep that returns the time at which it woke. The wire of a followed clock is two calls on one URL:
`GET` answers `{"now": t}`; `POST {"participant": pid, "idle_until": T}` answers `{"now": t}` once the
world has reached T, and beside it may name `pods` (namespace/name -> resourceVersion): what the world looks
like by then, which a watch brings in its own time and is waited for. Between answers a followed clock stands
still, so that a run does not depend on how fast this process works.
"""

import asyncio
import math
import os
import time
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import httpx

CLOCK_URL_VARIABLE = "PLIMSOLL_CLOCK_URL"
CONNECT_TIMEOUT_SECONDS = 5.0
RETRY_SECONDS = 0.1  # real seconds between attempts while the world does not answer
# Real seconds that the watch may lag behind the answer (a broken one is begun anew, the machine may be busy:
# less than the world waits for us), and between two looks.
LAG_SECONDS = 30.0
LOOK_SECONDS = 0.002

Shows = Callable[[Mapping[str, int]], bool]


class Clock(Protocol):
    """Time as the operator sees it."""

    def now(self) -> float:
        """Return the time in Unix seconds."""
        ...

    async def sleep_until(self, seconds: float) -> float:
        """Wait until the clock shows at least `seconds` (Unix); return the time it then shows."""
        ...

    async def close(self) -> None:
        """Free the connection, if there is one."""
        ...


class SystemClock:
    """The machine's wall clock."""

    def now(self) -> float:
        """Return the machine's time in Unix seconds."""
        return time.time()

    async def sleep_until(self, seconds: float) -> float:
        """Wait until the machine's clock shows `seconds`; a time that has passed only yields to the loop."""
        await asyncio.sleep(max(0.0, seconds - time.time()))
        return time.time()

    async def close(self) -> None:
        """Nothing to free."""


class ClockError(RuntimeError):
    """A followed clock answered something that is not a time."""


class FollowedClock:
    """The clock of a world that this process takes part in, e.g. the sandbox's."""

    def __init__(self, url: str, now_seconds: float) -> None:
        self._url = url
        self._now_seconds = now_seconds
        self._client: httpx.AsyncClient | None = None
        self.shows: Shows | None = None  # whether our indices have these pods, in these versions or newer

    @classmethod
    def connect(cls, url: str) -> "FollowedClock":
        """Ask the world for its time once (before the event loop runs) and follow it from there."""
        answer = httpx.get(url, timeout=CONNECT_TIMEOUT_SECONDS)
        return cls(url, _time_of(answer, url))

    def now(self) -> float:
        """Return the time of the last answer: the world stands still while this process works."""
        return self._now_seconds

    async def sleep_until(self, seconds: float) -> float:
        """Tell the world that this process is idle until `seconds`; return the time at which it was woken.

        A world that does not answer is asked again for as long as it takes: without time nothing may happen.
        """
        body = {"participant": os.getpid(), "idle_until": seconds}
        while True:
            try:
                answer = await self._connection().post(self._url, json=body)
                self._now_seconds = max(self._now_seconds, _time_of(answer, self._url))
            except (httpx.TransportError, ClockError):
                await asyncio.sleep(RETRY_SECONDS)
                continue
            await self._catch_up(answer.json())
            if self._now_seconds >= seconds:
                return self._now_seconds

    async def _catch_up(self, answer: Mapping[str, Any]) -> None:
        """Wait until our indices show the pods that the answer names."""
        if self.shows is None or "pods" not in answer:
            return
        loop = asyncio.get_running_loop()
        latest = loop.time() + LAG_SECONDS
        while not self.shows(answer["pods"]) and loop.time() < latest:  # noqa: ASYNC110 - kopf's, not ours
            await asyncio.sleep(LOOK_SECONDS)

    async def close(self) -> None:
        """Close the connection to the world."""
        if self._client is not None:
            await self._client.aclose()
            self._client = None

    def _connection(self) -> httpx.AsyncClient:
        if self._client is None:  # made late, so that it belongs to the loop that uses it
            self._client = httpx.AsyncClient(timeout=httpx.Timeout(CONNECT_TIMEOUT_SECONDS, read=None))
        return self._client


def clock_from_environment(environment: Mapping[str, str] = os.environ) -> Clock:
    """Return the followed clock named by `PLIMSOLL_CLOCK_URL`, or the machine's own."""
    url = environment.get(CLOCK_URL_VARIABLE, "")
    return FollowedClock.connect(url) if url else SystemClock()


def _time_of(answer: httpx.Response, url: str) -> float:
    try:
        now_seconds = float(answer.raise_for_status().json()["now"])
    except (httpx.HTTPStatusError, KeyError, TypeError, ValueError) as error:
        raise ClockError(f"the clock at {url} gave no time: {error}") from error
    if not math.isfinite(now_seconds):
        raise ClockError(f"the clock at {url} gave {now_seconds}")
    return now_seconds
