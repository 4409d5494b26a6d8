"""Backfill inside the engine: rows wait for their past, or for a day of their own."""

import numpy as np
import pytest

from builders.answering import Answer, Asked, answering, as_json
from builders.engine import MIB, NOW, WORKING_SET, ScriptedSource, member
from builders.engine_rows import inside
from plimsoll_operator.engine.core import PAST_PENDING, EngineCore
from plimsoll_operator.engine.frames import Sync
from plimsoll_operator.engine.messages import EngineSettings
from plimsoll_operator.engine.past import PastLoader
from plimsoll_operator.observe.prometheus import PrometheusApi

DAY = 86_400.0


class Prometheus:
    """100 MiB at all times; fails while `failing`."""

    def __init__(self):
        self.failing = False
        self.known = ("app",)
        self.questions = 0

    def answer(self, asked: Asked) -> Answer:
        self.questions += 1
        if self.failing:
            return Answer(b"down", 503)
        if "restarts_total" in asked.query["query"]:
            return as_json({"status": "success", "data": {"result": []}})
        start, end, step = (float(asked.query[name]) for name in ("start", "end", "step"))
        values = [[at, str(100 * MIB)] for at in np.arange(start, end + 1, step)]
        series = [{"metric": {"container": name}, "values": values} for name in self.known]
        return as_json({"status": "success", "data": {"result": series}})


@pytest.fixture
def prometheus():
    return Prometheus()


@pytest.fixture
def started(prometheus):
    """An engine with a live pod `a` of 90 MiB and a Prometheus that knows its past."""
    source = ScriptedSource()
    source.set("a", 90.0 * MIB)
    with answering(prometheus.answer) as server:
        loader = PastLoader(PrometheusApi(server.url, 5.0), 28 * DAY, 10.0)
        core = EngineCore(EngineSettings(), source, loader)
        core.sync(Sync((member(0, "a"),), ()))
        yield core
        core.close()


def test_a_new_row_is_ready_in_its_first_tick(started):
    tick = started.tick(NOW)
    assert tick.recommendations.ready.tolist() == [True]
    assert tick.recommendations.target_bytes[0] > 100 * MIB
    assert PAST_PENDING not in tick.holds
    assert inside(started, 0)["hours_seen"] >= 670


def test_a_past_that_came_is_not_asked_for_again(started, prometheus):
    started.tick(NOW)
    before = prometheus.questions
    started.sync(Sync((member(0, "a"), member(0, "b")), ()))
    started.tick(NOW + 60)
    assert prometheus.questions == before


def test_while_the_past_does_not_come_the_row_holds_with_the_reason(started, prometheus):
    prometheus.failing = True
    tick = started.tick(NOW)
    assert tick.holds[PAST_PENDING].tolist() == [0]
    assert "HTTP 503" in tick.notices[0]
    asked = prometheus.questions
    started.tick(NOW + 60)
    assert prometheus.questions == asked
    prometheus.failing = False
    tick = started.tick(NOW + 180)
    assert PAST_PENDING not in tick.holds
    assert tick.recommendations.rows.tolist() == [0]


def test_half_of_the_series_is_not_all_there_ever_was(started, prometheus):
    started.sync(Sync((member(1, "a", container="proxy"),), ()))
    tick = started.tick(NOW)
    assert tick.holds[PAST_PENDING].tolist() == [1]
    assert "nothing of proxy" in tick.notices[0]
    prometheus.known = ("app", "proxy")
    assert PAST_PENDING in started.tick(NOW + 60).holds
    assert PAST_PENDING not in started.tick(NOW + 180).holds
    assert inside(started, 1)["hours_seen"] >= 670


def test_a_row_with_a_day_of_its_own_goes_on_without(started, prometheus):
    prometheus.failing = True
    for at in np.arange(NOW, NOW + DAY + 1, 1800.0):
        tick = started.tick(float(at))
    assert PAST_PENDING not in tick.holds


def test_a_restored_row_does_not_wait(started, prometheus):
    prometheus.failing = True
    other = EngineCore(EngineSettings(), ScriptedSource({("shop", "a", "app"): 80.0 * MIB}))
    other.sync(Sync((member(0, "a"),), ()))
    other.tick(NOW - 60)
    started.restore({0: other.checkpoints((0,))[0]})
    assert PAST_PENDING not in started.tick(NOW).holds
    assert prometheus.questions == 0


def test_a_prometheus_that_is_down_is_asked_a_few_times_and_not_for_every_workload(prometheus):
    prometheus.failing = True
    with answering(prometheus.answer) as server:
        loader = PastLoader(PrometheusApi(server.url, 5.0), 28 * DAY, 10.0)
        for i in range(100):
            loader.want(i, member(i, workload=f"w{i}").key, WORKING_SET)
        loaded = loader.load(NOW, {})
        loader.close()
    assert prometheus.questions <= 4
    assert len(loader.waiting()) == 100
    assert loaded.done == ()


def test_the_budget_ends_a_tick_and_the_rest_comes_later(prometheus):
    with answering(prometheus.answer) as server:
        loader = PastLoader(PrometheusApi(server.url, 5.0), DAY, budget_seconds=0.0)
        loader.want(0, member(0).key, WORKING_SET)
        assert loader.load(NOW, {}).done == ()
        assert loader.waiting() == (0,)
        assert loader.due(NOW) == (0,)
        loader.close()


def test_a_row_that_went_away_is_not_asked_for(prometheus):
    with answering(prometheus.answer) as server:
        loader = PastLoader(PrometheusApi(server.url, 5.0), DAY, 10.0)
        loader.want(0, member(0).key, WORKING_SET)
        loader.drop([0, 99])
        assert loader.load(NOW, {}).done == ()
        loader.close()
    assert prometheus.questions == 0


def test_a_transport_that_breaks_is_a_notice(prometheus):
    with answering(prometheus.answer) as server:
        url = server.url
    loader = PastLoader(PrometheusApi(url, 1.0), DAY, 10.0)
    loader.want(0, member(0).key, WORKING_SET)
    loaded = loader.load(NOW, {})
    loader.close()
    assert "asked again in 120 s" in loaded.notices[0]
