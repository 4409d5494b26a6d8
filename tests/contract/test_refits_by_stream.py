"""Refits by Redis Streams, with a real worker process: the same answers as the local pool's."""

import subprocess
import sys
from contextlib import ExitStack

import numpy as np
import pytest

from builders.lessons import lessons_of
from builders.redis_server import MISSING, binaries, redis_server
from builders.waiting import wait_for
from plimsoll.forecast.own import RefitTask
from plimsoll.forecast.refit_desk import RefitDesk
from plimsoll.recommend.lessons import MOST_LESSONS, LessonBook
from plimsoll.store.levels.address import parse_redis_address
from plimsoll.store.levels.work import WorkStream
from plimsoll_operator.forecasters.desks import Desks
from plimsoll_operator.forecasters.jobs import ident_of, task_bytes
from plimsoll_operator.forecasters.pool import PoolSettings, WorkerPool
from plimsoll_operator.forecasters.stream_pool import StreamPool

NOW = 1_800_000_000.0
RISKY = lessons_of(100, 24, moved=1.5)


@pytest.fixture
def server(tmp_path):
    if binaries() is None:
        pytest.skip(MISSING)
    with redis_server(tmp_path) as made:
        yield made


@pytest.fixture
def pools(server):
    """The pool at a Redis with one `plimsoll-worker`, and the one of this machine."""
    with ExitStack() as ending:
        command = [sys.executable, "-m", "plimsoll_operator.forecasters.worker", "--redis", server.url]
        worker = subprocess.Popen(command)
        ending.callback(worker.wait)
        ending.callback(worker.terminate)
        by_stream = StreamPool(WorkStream(parse_redis_address(f"{server.url}?timeout=10")))
        ending.callback(by_stream.close)
        local = WorkerPool(PoolSettings(workers=1))
        ending.callback(local.close)
        yield {"stream": by_stream, "local": local}


def collected(pool):
    (answer,) = wait_for(pool.collect, "the answer", 120)
    return answer


def test_a_refit_by_a_worker_is_the_local_pools(pools):
    for pool in pools.values():
        assert pool.submit(RefitTask(7, RISKY))
        assert pool.depth == 1
    one, other = (collected(pool) for pool in pools.values())
    assert (one.ticket, one.failure, one.verdict) == (7, "", other.verdict)
    assert "kept" in one.verdict
    for mine, theirs in zip(one.own.layers, other.own.layers, strict=True):
        np.testing.assert_array_equal(mine.third, theirs.third)
    assert [pool.depth for pool in pools.values()] == [0, 0]


@pytest.mark.parametrize("kind", ["stream", "local"])
def test_a_desk_goes_on_with_what_a_pool_made(pools, kind):
    """From lessons to weights in use, the way the engine walks it."""
    desk, desks = RefitDesk(LessonBook()), Desks(pools[kind], elsewhere=True)
    desk.book._done = [RISKY.take(np.arange(len(RISKY)) == index) for index in range(len(RISKY))]
    desks.step([desk], NOW)
    wait_for(lambda: desks.step([desk], NOW).depth == 0, "the answer", 120)
    assert desk.own is not None
    assert desk.own.made_seconds == NOW
    assert "kept" in desk.verdict


def test_an_answer_that_somebody_wrote_into_redis_changes_no_weights(server):
    """Whoever may write there may say anything; the shipped weights forecast on."""
    stream = WorkStream(parse_redis_address(f"{server.url}?timeout=10"))
    pool = StreamPool(WorkStream(parse_redis_address(f"{server.url}?timeout=10")), start=False)
    desk, desks = RefitDesk(LessonBook()), Desks(pool, elsewhere=True)
    desk.book._done = [RISKY.take(np.arange(len(RISKY)) == index) for index in range(len(RISKY))]
    with ExitStack() as ending:
        ending.callback(stream.close)
        ending.callback(pool.close)
        desks.step([desk], NOW)
        pool.carry()
        (job,) = stream.take("liar")
        stream.finish(job, b"PLM1 nonsense")
        pool.carry()
        desks.step([desk], NOW)
        assert desk.own is None
        assert "cannot be read" in desk.verdict


def test_the_fullest_book_fits_into_a_job(server):
    lessons = lessons_of(MOST_LESSONS // 16, 16)
    payload = task_bytes(RefitTask(0, lessons))
    stream = WorkStream(parse_redis_address(f"{server.url}?timeout=10"))
    with ExitStack() as ending:
        ending.callback(stream.close)
        stream.offer(ident_of(payload), payload)
        (job,) = stream.take("one")
        assert job.payload == payload


def test_a_book_that_is_too_large_is_answered_as_failed():
    pool = StreamPool(WorkStream(parse_redis_address("redis://127.0.0.1:1")), start=False)
    assert pool.submit(RefitTask(3, RISKY.take(np.zeros(MOST_LESSONS + 1, dtype=int))))
    pool.carry()
    (answer,) = pool.collect()
    assert (answer.ticket, pool.depth) == (3, 0)
    assert "16385 lessons" in answer.failure
    pool.close()
