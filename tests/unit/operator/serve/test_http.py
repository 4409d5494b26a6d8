"""Metrics and probes over a real HTTP connection."""

import asyncio
import re
import threading

import aiohttp
import pytest

from plimsoll_operator.serve.definition import MetricKind
from plimsoll_operator.serve.http import Health, start_serving
from plimsoll_operator.serve.metrics import DEFINITIONS, Metrics
from plimsoll_operator.serve.watchdog import LONG_HOLD_SECONDS, LoopWatchdog, TimedEventLoop


class Hand:
    """A monotonic clock moved by hand."""

    def __init__(self):
        self.seconds = 100.0

    def __call__(self):
        return self.seconds


@pytest.fixture
async def served():
    hand, state = Hand(), {"indices": False, "engine": True}
    health = Health(60.0, {name: (lambda name=name: state[name]) for name in state}, hand)
    metrics = Metrics("1.2.3")
    serving = await start_serving(metrics, health, "127.0.0.1", 0)
    async with aiohttp.ClientSession(f"http://127.0.0.1:{serving.metrics_port}") as session:

        async def get(path):
            async with session.get(path) as response:
                return response.status, await response.text()

        get.hand, get.state, get.health, get.metrics = hand, state, health, metrics
        yield get
    await serving.close()


async def test_alive_as_long_as_the_loop_beats(served):
    assert (await served("/healthz"))[0] == 200
    served.hand.seconds += 61
    status, text = await served("/healthz")
    assert status == 503
    assert "61.0 s ago" in text
    served.health.beat()
    assert (await served("/healthz"))[0] == 200


async def test_ready_when_every_check_holds_and_says_which_does_not(served):
    assert await served("/readyz") == (503, "not ready: indices\n")
    served.state["indices"] = True
    assert await served("/readyz") == (200, "ready\n")


async def test_metrics_are_served_under_their_documented_names(served):
    for each in DEFINITIONS:
        labels = dict.fromkeys(each.labels, "x")
        if each.kind is MetricKind.COUNTER:
            served.metrics.count(each.name, **labels)
        elif each.kind is MetricKind.GAUGE:
            served.metrics.set(each.name, 1.0, **labels)
        else:
            served.metrics.observe(each.name, 0.1, **labels)
    status, text = await served("/metrics")
    assert status == 200
    shown = {
        name for name in re.findall(r"^# TYPE (\S+)", text, re.MULTILINE) if not name.endswith("_created")
    }
    assert shown == {each.name for each in DEFINITIONS}
    assert 'plimsoll_build_info{version="1.2.3"} 1.0' in text


def test_the_watchdog_shows_the_longest_hold_of_the_last_minute():
    metrics = Metrics("x")
    watchdog = LoopWatchdog(metrics)
    shown = []
    for at, hold in [(0, 0.001), (10, 0.2), (20, 0.03), (69, 0.001), (71, 0.001), (81, 0.001)]:
        watchdog.take(float(at), hold, hold / 10)
        shown.append(metrics.value("plimsoll_event_loop_hold_seconds_max"))
    assert shown == pytest.approx([0.001, 0.2, 0.2, 0.2, 0.03, 0.001])
    assert metrics.value("plimsoll_event_loop_holds_total") == 1
    assert metrics.value("plimsoll_event_loop_cpu_holds_total") == 0
    assert metrics.value("plimsoll_event_loop_hold_cpu_seconds_max") == pytest.approx(0.0001)
    assert LONG_HOLD_SECONDS == 0.05


def test_the_watchdog_sees_a_loop_that_is_held():
    def hold(loop):
        held_until = loop.time() + 0.15
        while loop.time() < held_until:
            pass

    metrics = held_by(hold)
    assert metrics.value("plimsoll_event_loop_hold_seconds_max") >= 0.15
    assert metrics.value("plimsoll_event_loop_holds_total") >= 1


def test_waiting_is_no_hold_in_processor_time():
    # The loop stands still, and nothing of ours runs.
    metrics = held_by(lambda _loop: threading.Event().wait(0.15))
    assert metrics.value("plimsoll_event_loop_hold_seconds_max") >= 0.15
    assert metrics.value("plimsoll_event_loop_hold_cpu_seconds_max") < LONG_HOLD_SECONDS


def test_a_loop_that_does_not_measure_shows_no_holds():
    metrics = Metrics("x")
    asyncio.run(LoopWatchdog(metrics).run())
    assert metrics.value("plimsoll_event_loop_holds_total") == 0


def held_by(hold) -> Metrics:
    """What is measured of a loop that is held once."""
    metrics = Metrics("x")

    async def once() -> None:
        running = asyncio.create_task(LoopWatchdog(metrics).run())
        await asyncio.sleep(0)
        hold(asyncio.get_running_loop())
        await asyncio.sleep(0)  # the hold has ended when the loop waits again
        running.cancel()

    with asyncio.Runner(loop_factory=TimedEventLoop) as runner:
        runner.run(once())
    return metrics
