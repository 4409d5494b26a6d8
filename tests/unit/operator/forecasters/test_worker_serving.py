"""What a worker tells of itself, over a real connection; its work: tests/contract/test_work_stream.py."""

import urllib.error
import urllib.request

import fakeredis
import numpy as np
import pytest

from builders.fits import doubled
from plimsoll.forecast.prophet import FitAnswer, FitTask
from plimsoll.store.levels.address import parse_redis_address
from plimsoll.store.levels.connect import Link
from plimsoll.store.levels.protocol import LevelError, Reason
from plimsoll.store.levels.work import WorkStream
from plimsoll_operator.forecasters.jobs import task_bytes
from plimsoll_operator.forecasters.worker import pulse_of, work, work_once
from plimsoll_operator.forecasters.worker_serving import DEFINITIONS, serve


class Hand:
    """A monotonic clock moved by hand."""

    def __init__(self):
        self.seconds = 100.0

    def __call__(self):
        return self.seconds


@pytest.fixture
def hand():
    return Hand()


@pytest.fixture
def pulse(hand):
    return pulse_of(600.0, hand)


@pytest.fixture
def stream():
    client = fakeredis.FakeRedis(protocol=2)
    made = WorkStream(
        parse_redis_address("redis://nowhere"),
        connect=lambda _: Link(client, lambda _k: client, lambda: None, client.close),
    )
    yield made
    made.close()


@pytest.fixture
def fitted_task():
    return task_bytes(FitTask(0, 1000, np.arange(1.0, 49.0, dtype=np.float32), ("CH",), 12, 100))


@pytest.fixture
def asked(pulse):
    server = serve(pulse, "127.0.0.1", 0)

    def ask(path):
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{server.server_port}{path}", timeout=10) as said:
                return said.status, said.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()

    yield ask
    server.shutdown()
    server.server_close()


def test_a_worker_that_comes_round_is_alive_and_one_with_a_job_for_too_long_is_not(asked, pulse, hand):
    assert asked("/healthz")[0] == 200
    hand.seconds += 601
    status, text = asked("/healthz")
    assert (status, text) == (503, "the worker last came round 601 s ago\n")
    pulse.beat()
    assert asked("/healthz?x=y")[0] == 200
    assert asked("/anything")[0] == 404


def test_a_job_in_hand_lets_the_beat_grow_old(stream, pulse, hand, fitted_task):
    stream.offer("one", fitted_task)

    def slow(task):
        hand.seconds += 700
        assert pulse.answer("/healthz")[0] == 503, "while it is under way"
        return doubled(task)

    assert work_once(stream, "me", slow, pulse=pulse) == 1
    assert pulse.metrics.registry.get_sample_value("plimsoll_worker_job_seconds_sum") == 700.0
    assert work_once(stream, "me", slow, pulse=pulse) == 0
    assert pulse.answer("/healthz")[0] == 200


def test_every_outcome_is_counted_and_every_metric_is_served(stream, pulse, asked, fitted_task):
    stream.offer("good", fitted_task)
    assert work_once(stream, "me", doubled, pulse=pulse) == 1
    stream.offer("bad", b"no document")
    assert work_once(stream, "me", doubled, pulse=pulse) == 1
    stream.offer("fails", fitted_task)
    assert work_once(stream, "me", lambda task: FitAnswer(task.ticket, failure="why"), pulse=pulse) == 1
    counts = {
        outcome: pulse.metrics.value("plimsoll_worker_jobs_total", outcome=outcome)
        for outcome in ("fitted", "failed", "aside")
    }
    assert counts == {"fitted": 1.0, "failed": 1.0, "aside": 1.0}
    text = asked("/metrics")[1]
    assert all(f"# TYPE {each.name.removesuffix('_total')}" in text for each in DEFINITIONS)


def test_what_is_set_aside_is_counted_over_the_whole_stream_once_a_minute(stream, pulse, hand):
    stream.offer("bad", b"no document")
    waits = iter((False, False, True))

    def wait(_seconds):
        hand.seconds += 61.0
        return next(waits)

    assert work(stream, "me", doubled, wait, 600.0, pulse) == 1
    assert pulse.metrics.value("plimsoll_worker_jobs_aside") == 1.0
    stream.offer("worse", b"no document either")
    assert work(stream, "me", doubled, lambda _seconds: True, 600.0, pulse) == 1
    assert pulse.metrics.value("plimsoll_worker_jobs_aside") == 2.0
    other = pulse_of(600.0, hand)
    work(stream, "another", doubled, lambda _seconds: True, 600.0, other)
    assert other.metrics.value("plimsoll_worker_jobs_aside") == 2.0


def test_a_redis_that_fails_is_counted_and_asked_again(pulse):
    class Failing:
        def take(self, *_):
            raise LevelError("redis", Reason.DOWN, "gone")

    waits = iter((False, False, True))
    assert work(Failing(), "me", doubled, lambda _seconds: next(waits), 600.0, pulse) == 0
    assert pulse.metrics.value("plimsoll_worker_redis_failures_total") == 3.0
