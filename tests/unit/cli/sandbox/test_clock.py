"""The world's clock over real HTTP: it waits for who works, wakes who waits, and leaves the dead behind."""

import asyncio
from contextlib import asynccontextmanager

import aiohttp
import pytest

from plimsoll_cli.sandbox.api import SandboxApi
from plimsoll_cli.sandbox.clock import DEAD_BINS, WorldClock


@asynccontextmanager
async def served(clock: WorldClock):
    api = SandboxApi(clock.now)
    api.routes["/clock"] = clock.handle
    async with api.listen() as url, aiohttp.ClientSession() as session:
        yield f"{url}/clock", session


async def idle(session: aiohttp.ClientSession, url: str, until: float) -> float:
    async with session.post(url, json={"participant": "operator", "idle_until": until}) as answer:
        return (await answer.json())["now"]


async def test_tells_the_time_without_waiting():
    async with served(WorldClock(1000.0, lambda: True)) as (url, session), session.get(url) as answer:
        assert await answer.json() == {"now": 1000.0}


async def test_an_idle_participant_is_woken_when_its_time_has_come():
    clock = WorldClock(1000.0, lambda: True)
    async with served(clock) as (url, session):
        waiting = asyncio.create_task(idle(session, url, 1600.0))
        assert await clock.until_idle()
        clock.advance(1300.0)
        assert await clock.until_idle()  # still idle: its time is not there yet
        clock.advance(1600.0)
        assert await waiting == 1600.0


async def test_the_answer_names_the_pods_that_are_to_be_taken_in():
    clock = WorldClock(1000.0, lambda: True, lambda: {"demo/web": 7})
    async with served(clock) as (url, session):
        body = {"participant": "operator", "idle_until": 900.0}
        async with session.post(url, json=body) as answer:
            assert await answer.json() == {"now": 1000.0, "pods": {"demo/web": 7}}


async def test_a_time_that_has_passed_answers_at_once():
    async with served(WorldClock(1000.0, lambda: True)) as (url, session):
        assert await idle(session, url, 900.0) == 1000.0


@pytest.mark.parametrize(
    ("joined", "alive", "patience"),
    [(False, False, "ABSENT"), (True, False, "DEAD"), (True, True, "SLOW")],
)
async def test_the_world_waits_by_who_is_missing(monkeypatch, joined, alive, patience):
    for name in ("ABSENT", "DEAD", "SLOW"):
        seconds = 0.01 if name == patience else 3600.0
        monkeypatch.setattr(f"plimsoll_cli.sandbox.clock.{name}_STALL_SECONDS", seconds)
    clock = WorldClock(1000.0, lambda: alive)
    clock.joined = joined
    async with asyncio.timeout(5):
        assert not await clock.until_idle()
    assert clock.stalls == 1


async def test_one_that_died_misses_a_few_bins_and_then_the_world_waits_for_it(monkeypatch):
    monkeypatch.setattr("plimsoll_cli.sandbox.clock.DEAD_STALL_SECONDS", 0.01)
    clock = WorldClock(1000.0, lambda: False)
    async with served(clock) as (url, session):
        clock.joined = True
        for _ in range(DEAD_BINS):
            assert not await clock.until_idle()
        missed = asyncio.create_task(clock.until_idle())
        back = asyncio.create_task(idle(session, url, 1300.0))
        assert await missed  # however long its start took
        assert clock.stalls == DEAD_BINS
        clock.advance(1300.0)
        await back
        assert not await clock.until_idle()  # it may die again: as before


async def test_one_that_hangs_up_while_waiting_is_no_longer_idle():
    clock = WorldClock(1000.0, lambda: True)
    async with served(clock) as (url, session):
        waiting = asyncio.create_task(idle(session, url, 1600.0))
        assert await clock.until_idle()
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        async with asyncio.timeout(5):
            while clock.idle:  # noqa: ASYNC110 - the server's side notices in its own time
                await asyncio.sleep(0)


@pytest.mark.parametrize("body", [{}, {"idle_until": "soon"}, []])
async def test_nonsense_is_refused(body):
    async with (
        served(WorldClock(1000.0, lambda: True)) as (url, session),
        session.post(url, json=body) as answer,
    ):
        assert answer.status == 400
