"""The engine as a real process beside a real event loop: answers, death, restoring, patience.

In: a metrics API on loopback and a kubeconfig that points there. Nothing of the engine is replaced.
"""

import asyncio
import gc
import os
import signal
import time
from dataclasses import replace

import numpy as np
import pytest
import yaml

from builders.answering import Answer, Asked, answering, as_json
from builders.engine import MIB, NOW, member
from plimsoll.usage.checkpoint import decode
from plimsoll.usage.sample import Quantity
from plimsoll_operator.engine.client import Engine
from plimsoll_operator.engine.messages import EngineSettings, LimitChange, OomEvent, RestartEvent
from plimsoll_operator.engine.process import EngineDownError

PATIENCE_SECONDS = 90.0


class Cluster:
    """A metrics API whose pods use what the test says, stamped with the time it says."""

    def __init__(self):
        self.use = {}
        self.now = NOW
        self.failing = False

    def answer(self, asked: Asked) -> Answer:
        if self.failing:
            return Answer(b"no", 500)
        stamp = np.datetime_as_string(np.datetime64(int(self.now), "s")) + "Z"
        items = [
            {
                "metadata": {"namespace": "shop", "name": pod},
                "timestamp": stamp,
                "containers": [{"name": "app", "usage": {"memory": str(used)}}],
            }
            for pod, used in self.use.items()
        ]
        return as_json({"items": items})


@pytest.fixture
def cluster(tmp_path, monkeypatch):
    cluster = Cluster()
    with answering(cluster.answer) as server:
        document = {
            "current-context": "c",
            "clusters": [{"name": "c", "cluster": {"server": server.url}}],
            "users": [{"name": "u", "user": {"token": "t"}}],
            "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
        }
        (tmp_path / "config").write_text(yaml.safe_dump(document))
        monkeypatch.setenv("KUBECONFIG", str(tmp_path / "config"))
        yield cluster


@pytest.fixture
async def engine(cluster):
    stored = {}

    async def read(rows):
        return {row: stored[row] for row in rows if row in stored}

    engine = Engine(EngineSettings(log_level="error"), read, restart_patience_seconds=0)
    engine.stored = stored
    await engine.start()
    yield engine
    await engine.close()


async def live(engine, cluster, seconds, start=NOW, step=300):
    for at in range(int(start), int(start + seconds), step):
        cluster.now = at
        tick = await engine.tick(float(at))
        assert tick.problems == ()


async def until(condition):
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not condition():  # noqa: ASYNC110 - another process's life is not an event of ours
            await asyncio.sleep(0.01)


async def until_replaced(engine):
    await until(lambda: engine.restarts > 0 and engine.ready)


async def test_samples_become_recommendations_across_the_process(engine, cluster):
    cluster.use["a"] = 100 * MIB
    await engine.sync([member(3, "a")], [])
    await live(engine, cluster, 4 * 3600)
    cluster.now = NOW + 4 * 3600
    tick = await engine.tick(cluster.now, everything=True)
    assert tick.recommendations.rows.tolist() == [3]
    assert tick.recommendations.ready.tolist() == [True]
    assert tick.samples == 1
    (kept,) = (await engine.checkpoints([3])).values()
    peak = np.nanmax(decode(kept, Quantity.WORKING_SET).hourly_bytes)
    assert peak == pytest.approx(100 * MIB, rel=0.002)  # a checkpoint is short
    assert len(kept) <= 8192


async def test_an_oom_kill_is_answered_without_a_tick(engine, cluster):
    await engine.sync([member(0, "a")], [])
    raises = await engine.observe([OomEvent("uid-a", "app", NOW, 256 * MIB)])
    assert raises.pods == (("uid-a", "app"),)
    assert raises.limit_bytes[0] > 256 * MIB


async def test_a_killed_worker_is_restarted_restored_and_everything_holds_meanwhile(engine, cluster):
    cluster.use["a"] = 100 * MIB
    await engine.sync([member(3, "a")], [])
    await live(engine, cluster, 4 * 3600)
    cluster.now = now = NOW + 4 * 3600
    before = (await engine.tick(now, everything=True)).recommendations
    engine.stored |= await engine.checkpoints([3])
    await engine.observe([LimitChange("uid-a", "app", 512 * MIB, 512 * MIB)])
    os.kill(engine.pid, signal.SIGKILL)
    held = await engine.tick(now + 60)
    assert held.problems
    assert len(held.recommendations.rows) == 0
    assert held.raises.pods == ()
    await until_replaced(engine)
    cluster.now = now + 60
    after = await engine.tick(now + 60, everything=True)
    assert after.problems == ()
    np.testing.assert_allclose(after.recommendations.target_bytes, before.target_bytes, rtol=0.01)
    assert after.limit_bytes == 512 * MIB


async def test_what_is_remembered_of_relatives_is_told_to_a_new_worker_again(engine, cluster):
    cluster.use["a"] = 100 * MIB
    low, high = np.log(100 * MIB), np.log(300 * MIB)
    steps = np.tile(np.array([[low, high], [high, low]], np.float32), (24, 1))
    await engine.sync([replace(member(3, "a"), kin="api Deployment app")], [])
    os.kill(engine.pid, signal.SIGKILL)
    await until(lambda: not engine.ready)
    await engine.relate({"api Deployment app": steps, "nobody": steps}, Quantity.WORKING_SET)
    await until_replaced(engine)
    await live(engine, cluster, 5 * 3600)
    cluster.now = NOW + 5 * 3600
    tick = await engine.tick(cluster.now, everything=True)
    assert tick.recommendations.target_bytes[0] > 200 * MIB
    await engine.relate({}, Quantity.WORKING_SET)
    assert engine._relatives[Quantity.WORKING_SET].keys() == {"api Deployment app"}, "of whom nobody is here"


async def test_members_kills_and_starts_that_come_while_the_worker_is_dead_are_not_lost(engine, cluster):
    await engine.sync([member(0, "a"), member(1, "b", "other")], [])
    os.kill(engine.pid, signal.SIGKILL)
    await until(lambda: not engine.ready)
    await engine.sync([member(2, "c", "third")], [("uid-b", "app")])
    await engine.observe([OomEvent("uid-c", "app", NOW, 256 * MIB), RestartEvent("uid-c", "app", NOW + 5)])
    await until_replaced(engine)
    lived = decode((await engine.checkpoints([2]))[2], Quantity.WORKING_SET)
    assert (lived.ooms[0, -1], lived.restarts[0, -1]) == (NOW, NOW + 5)
    tick = await engine.tick(NOW)
    assert tick.usage.rows.tolist() == [0, 2]
    assert ("uid-c", "app") in tick.raises.pods


async def test_a_worker_that_does_not_answer_is_killed_and_replaced(cluster):
    engine = Engine(EngineSettings(log_level="error"), tick_timeout_seconds=0.2)
    await engine.start()
    await engine.sync([member(0, "a")], [])
    os.kill(engine.pid, signal.SIGSTOP)
    tick = await engine.tick(NOW)
    assert "did not answer TickRequest" in tick.problems[0]
    await until_replaced(engine)
    assert (await engine.checkpoints([0])).keys() == {0}
    await engine.close()


async def test_a_caller_that_was_cancelled_does_not_shift_the_answers_of_others(engine, cluster):
    await engine.sync([member(0, "a")], [])
    tick = asyncio.create_task(engine.tick(NOW))
    await asyncio.sleep(0)
    tick.cancel()
    with pytest.raises(asyncio.CancelledError):
        await tick
    assert (await engine.checkpoints([0])).keys() == {0}


async def test_a_source_that_fails_is_a_problem_of_the_tick(engine, cluster):
    await engine.sync([member(0, "a")], [])
    cluster.failing = True
    tick = await engine.tick(NOW)
    assert "metrics API" in tick.problems[0]
    assert engine.ready


async def test_an_exception_in_the_worker_is_an_answer_and_not_its_end(engine, cluster):
    pid = engine.pid
    with pytest.raises(EngineDownError, match="TypeError"):
        await engine.checkpoints([[]])
    assert engine.pid == pid
    assert (await engine.tick(NOW)).problems == ()


async def test_settings_that_make_no_sense_are_refused_at_the_start_in_words(cluster):
    engine = Engine(replace(EngineSettings(log_level="critical"), usage_source="oracle"))
    with pytest.raises(EngineDownError, match="unknown usage source 'oracle'"):
        await engine.start()
    assert (await engine.tick(NOW)).problems
    assert (await engine.observe([OomEvent("u", "c", NOW, 1)])).pods == ()
    await engine.close()


async def test_a_worker_that_could_not_take_members_in_is_replaced(engine, cluster):
    await engine.sync([replace(member(0, "a"), row="no row")], [])
    held = await engine.tick(NOW)
    assert "TypeError" in held.problems[0]
    await engine.sync([member(0, "a")], [])
    await until_replaced(engine)
    assert (await engine.tick(NOW)).usage.rows.tolist() == [0]


async def test_a_closed_engine_holds(cluster):
    engine = Engine(EngineSettings())
    assert (await engine.tick(NOW)).problems == ("the engine has not started",)
    await engine.start()
    pid = engine.pid
    await engine.close()
    assert (await engine.tick(NOW)).problems == ("the engine was closed",)
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


async def test_the_event_loop_is_never_held_for_50_ms_by_many_members(engine, cluster):
    """10,000 members and their first tick, in CPU time: wall time counts other processes too."""
    turns = []

    async def watch():
        last = time.thread_time()
        while True:
            await asyncio.sleep(0.001)
            now = time.thread_time()
            turns.append(now - last)
            last = now

    many = [member(i, f"p{i}", workload=f"w{i}") for i in range(10_000)]
    gc.collect()
    watching = asyncio.create_task(watch())
    await engine.sync(many, [])
    tick = await engine.tick(NOW, everything=True)
    watching.cancel()
    assert len(tick.recommendations.rows) == 10_000
    assert max(turns) < 0.05


async def test_a_tick_waits_a_little_for_a_worker_that_is_being_replaced(cluster):
    restarts = []
    engine = Engine(
        EngineSettings(log_level="error"), None, 180.0, lambda: restarts.append(1), PATIENCE_SECONDS
    )
    await engine.start()
    await engine.sync([member(0, "a")], [])
    os.kill(engine.pid, signal.SIGKILL)
    assert (await engine.tick(NOW)).problems
    await until(lambda: not engine.ready)
    assert (await engine.tick(NOW + 300)).usage.rows.tolist() == [0]
    assert restarts == [1]
    await engine.close()
