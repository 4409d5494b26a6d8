"""The two clocks: the machine's, and one followed over a real HTTP connection."""

import asyncio
import os
import time

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from plimsoll_operator.clock import ClockError, FollowedClock, SystemClock, clock_from_environment


class World:
    """A world that jumps to whatever time its participant waits for."""

    def __init__(self):
        self.now = 1000.0
        self.posts = []
        self.broken = 0
        self.news = {}

    async def get(self, _):
        return web.json_response({"now": self.now})

    async def post(self, request):
        body = await request.json()
        self.posts.append(body)
        if self.broken:
            self.broken -= 1
            return web.json_response({"error": "no"}, status=500)
        self.now = max(self.now, body["idle_until"])
        return web.json_response({"now": self.now, **self.news})


@pytest.fixture
async def served():
    world = World()
    app = web.Application()
    app.add_routes([web.get("/clock", world.get), web.post("/clock", world.post)])
    server = TestServer(app)
    await server.start_server()
    yield world, str(server.make_url("/clock"))
    await server.close()


async def test_follows_the_world_and_stands_still_between_answers(served):
    world, url = served
    clock = await asyncio.to_thread(FollowedClock.connect, url)
    assert clock.now() == 1000.0
    world.now = 1234.0
    assert clock.now() == 1000.0
    assert await clock.sleep_until(1300.0) == 1300.0
    assert clock.now() == 1300.0
    assert world.posts == [{"participant": os.getpid(), "idle_until": 1300.0}]
    await clock.close()


async def test_asks_again_while_the_world_gives_no_time(served):
    world, url = served
    clock = FollowedClock(url, 1000.0)
    world.broken = 2
    assert await clock.sleep_until(1010.0) == 1010.0
    assert len(world.posts) == 3
    await clock.close()


async def test_never_goes_back(served):
    _world, url = served
    clock = FollowedClock(url, 5000.0)
    assert await clock.sleep_until(4000.0) == 5000.0
    await clock.close()


async def test_works_only_when_its_watch_has_brought_the_worlds_pods(served):
    world, url = served
    world.news = {"pods": {"demo/web": 7}}
    clock = FollowedClock(url, 1000.0)
    asked = []

    def shows(versions):
        asked.append(dict(versions))
        return len(asked) == 3

    clock.shows = shows
    assert await clock.sleep_until(1300.0) == 1300.0
    assert asked == [{"demo/web": 7}] * 3
    await clock.close()


async def test_a_watch_that_lags_for_ever_is_not_waited_for_for_ever(served, monkeypatch):
    monkeypatch.setattr("plimsoll_operator.clock.LAG_SECONDS", 0.01)
    world, url = served
    world.news = {"pods": {"demo/web": 7}}
    clock = FollowedClock(url, 1000.0)
    clock.shows = lambda _: False
    assert await clock.sleep_until(1300.0) == 1300.0
    await clock.close()


async def test_the_environment_chooses(served):
    _, url = served
    assert isinstance(clock_from_environment({}), SystemClock)
    followed = await asyncio.to_thread(clock_from_environment, {"PLIMSOLL_CLOCK_URL": url})
    assert isinstance(followed, FollowedClock)


@pytest.mark.parametrize("answer", [{"then": 3}, {"now": "noon"}, {"now": None}, [], {"now": "nan"}])
async def test_an_answer_that_is_no_time_is_an_error_that_names_the_clock(answer):
    async def get(_):
        return web.json_response(answer)

    app = web.Application()
    app.router.add_get("/clock", get)
    async with TestServer(app) as server:
        url = str(server.make_url("/clock"))
        with pytest.raises(ClockError, match="/clock"):
            await asyncio.to_thread(FollowedClock.connect, url)


async def test_the_machines_clock_is_its_own():
    clock = SystemClock()
    before = time.time()
    woken = await clock.sleep_until(before - 5)
    assert before <= woken <= time.time()
    assert before <= clock.now()
    await clock.close()
