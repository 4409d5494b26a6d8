"""The world's clock over real HTTP: it waits for who works, wakes who waits, and leaves the dead behind."""

import asyncio
import os
import subprocess
import sys
from contextlib import asynccontextmanager

import aiohttp
import pytest

from plimsoll_cli.sandbox.api import SandboxApi
from plimsoll_cli.sandbox.clock import DEAD_BINS, WorldClock

OURS = os.getpid()


@pytest.fixture
def ended_pid() -> int:
    """Of a process that is no more."""
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        return process.pid


@asynccontextmanager
async def served(clock: WorldClock):
    api = SandboxApi(clock.now)
    api.routes["/clock"] = clock.handle
    async with api.listen() as url, aiohttp.ClientSession() as session:
        yield f"{url}/clock", session


async def idle(session: aiohttp.ClientSession, url: str, until: float, pid: int = OURS) -> float:
    async with session.post(url, json={"participant": pid, "idle_until": until}) as answer:
        return (await answer.json())["now"]


async def test_tells_the_time_without_waiting():
    async with served(WorldClock(1000.0)) as (url, session), session.get(url) as answer:
        assert await answer.json() == {"now": 1000.0}


async def test_an_idle_participant_is_woken_when_its_time_has_come():
    clock = WorldClock(1000.0)
    async with served(clock) as (url, session):
        waiting = asyncio.create_task(idle(session, url, 1600.0))
        assert await clock.until_idle()
        clock.advance(1300.0)
        assert await clock.until_idle()  # still idle: its time is not there yet
        clock.advance(1600.0)
        assert await waiting == 1600.0


async def test_the_answer_names_the_pods_that_are_to_be_taken_in():
    clock = WorldClock(1000.0, lambda: {"demo/web": 7})
    async with served(clock) as (url, session):
        body = {"participant": OURS, "idle_until": 900.0}
        async with session.post(url, json=body) as answer:
            assert await answer.json() == {"now": 1000.0, "pods": {"demo/web": 7}}


async def test_a_time_that_has_passed_answers_at_once():
    async with served(WorldClock(1000.0)) as (url, session):
        assert await idle(session, url, 900.0) == 1000.0


@pytest.mark.parametrize("came", [False, True])
async def test_one_that_starts_or_works_is_waited_for_and_its_stall_counted(monkeypatch, came):
    monkeypatch.setattr("plimsoll_cli.sandbox.clock.STALL_SECONDS", 0.01)
    clock = WorldClock(1000.0)
    async with served(clock) as (url, session):
        if came:
            await idle(session, url, 900.0)
        assert not await clock.until_idle()
    assert clock.stalls == 1


async def test_one_that_works_is_waited_for_without_any_sign_of_life(monkeypatch):
    """It has lost its watch, or the machine gives it no processor: that is no death."""
    monkeypatch.setattr("plimsoll_cli.sandbox.clock._POLL_SECONDS", 0.0)
    clock = WorldClock(1000.0)
    async with served(clock) as (url, session):
        await idle(session, url, 900.0)
        waiting = asyncio.create_task(clock.until_idle())
        for _ in range(50):  # looks
            await asyncio.sleep(0)
        assert not waiting.done()
        again = asyncio.create_task(idle(session, url, 1300.0))
        assert await waiting
        assert clock.stalls == 0
        clock.advance(1300.0)
        await again


async def test_one_that_died_misses_a_few_bins_at_once_and_then_the_world_waits_for_it(ended_pid):
    clock = WorldClock(1000.0)
    async with served(clock) as (url, session):
        await idle(session, url, 900.0, ended_pid)
        async with asyncio.timeout(5):
            for _ in range(DEAD_BINS):
                assert not await clock.until_idle()
        missed = asyncio.create_task(clock.until_idle())
        back = asyncio.create_task(idle(session, url, 1300.0, ended_pid))
        assert await missed  # however long its start took
        assert clock.stalls == DEAD_BINS
        clock.advance(1300.0)
        await back
        assert not await clock.until_idle()  # it may die again: as before


async def test_one_that_hangs_up_while_waiting_is_no_longer_idle():
    clock = WorldClock(1000.0)
    async with served(clock) as (url, session):
        waiting = asyncio.create_task(idle(session, url, 1600.0))
        assert await clock.until_idle()
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        async with asyncio.timeout(5):
            while clock.idle:  # noqa: ASYNC110 - the server's side notices in its own time
                await asyncio.sleep(0)


@pytest.mark.parametrize(
    "body", [{}, {"participant": 7, "idle_until": "soon"}, {"participant": "who", "idle_until": 900.0}, []]
)
async def test_nonsense_is_refused(body):
    async with (
        served(WorldClock(1000.0)) as (url, session),
        session.post(url, json=body) as answer,
    ):
        assert answer.status == 400
