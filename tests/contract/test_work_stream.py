"""Fits by Redis Streams: at least once, answers as the local pool's, none lost to a dead worker.

On a real server, and on fakeredis where no time passes. The fitter is a plain one: what Prophet
says is tested where it is called.
"""

import json
import os
import signal
import socket
import subprocess
import sys
import urllib.request
from contextlib import ExitStack

import fakeredis
import numpy as np
import pytest

from builders.apiserver import free_port
from builders.fits import doubled as fit
from builders.redis_server import MISSING, binaries, redis_server
from builders.waiting import wait_for
from plimsoll.forecast.prophet import SPANS, FitTask
from plimsoll.forecast.protocol import LEVELS
from plimsoll.store.content import ContentError, decode, encode
from plimsoll.store.levels.address import parse_redis_address
from plimsoll.store.levels.connect import Link
from plimsoll.store.levels.protocol import LevelError, Reason
from plimsoll.store.levels.shared import CONNECTING
from plimsoll.store.levels.work import KNOWN_SECONDS, MOST_TRIES, WORK_COMMANDS, Offer, WorkStream
from plimsoll_operator.engine.messages import EngineSettings
from plimsoll_operator.engine.worker import fit_pool
from plimsoll_operator.forecasters.desks import Desks
from plimsoll_operator.forecasters.jobs import answer_bytes, answer_of, ident_of, task_bytes, task_of
from plimsoll_operator.forecasters.pool import PoolSettings, WorkerPool
from plimsoll_operator.forecasters.stream_pool import OFFER_AGAIN_SECONDS, StreamPool
from plimsoll_operator.forecasters.worker import main, work, work_once

WORKER = """
import sys
sys.path[:0] = sys.argv[2:]
import test_work_stream_fits as fits
from plimsoll.store.levels.address import parse_redis_address
from plimsoll.store.levels.work import WorkStream
from plimsoll_operator.forecasters.worker import work_once
stream = WorkStream(parse_redis_address(sys.argv[1]))
while True:
    work_once(stream, "hangs", fits.hang, 0.0)
"""
HANGS = "import signal\ndef hang(task):\n    print('taken', flush=True)\n    signal.pause()\n"


def task(number: int, ticket: int = 0) -> FitTask:
    return FitTask(
        ticket, 1000 + number, np.arange(1.0, 49.0, dtype=np.float32) * (number + 1), ("CH",), 12, 100
    )


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    if binaries() is None:
        pytest.skip(MISSING)
    with redis_server(tmp_path_factory.mktemp("redis")) as made:
        yield made


@pytest.fixture(params=["fakeredis", "server"])
def stream(request):
    """A stream of the test's own."""
    if request.param == "fakeredis":
        client = fakeredis.FakeRedis(protocol=2)
        made = WorkStream(
            parse_redis_address("redis://nowhere"),
            connect=lambda _: Link(client, lambda _k: client, lambda: None, client.close),
        )
    else:
        server = request.getfixturevalue("server")
        server.tell("FLUSHALL")
        made = WorkStream(parse_redis_address(f"{server.url}?timeout=10"))
    yield made
    made.close()


def offered(stream, count):
    payloads = [task_bytes(task(number)) for number in range(count)]
    for each in payloads:
        assert stream.offer(ident_of(each), each) is Offer.TAKEN
    return payloads


def test_a_job_is_taken_once_and_answered_once(stream):
    (payload,) = offered(stream, 1)
    assert stream.offer(ident_of(payload), payload) is Offer.KNOWN
    (job,) = stream.take("one")
    assert (job.payload, job.tries) == (payload, 1)
    assert stream.take("two") == []
    assert stream.offer(ident_of(payload), payload) is Offer.KNOWN
    stream.finish(job, b"answer")
    assert stream.answers([ident_of(payload), "other"]) == {ident_of(payload): b"answer"}
    assert stream.offer(ident_of(payload), payload) is Offer.KNOWN, "answered within the hour"
    counts = stream.counts()
    assert (counts.jobs, counts.under_way, counts.aside) == (0, 0, 0)


def test_a_full_stream_takes_no_more(stream):
    offered(stream, 3)
    assert stream.offer("more", b"x", most=3) is Offer.FULL
    assert stream.counts().jobs == 3


def test_a_dead_workers_job_is_anothers(stream):
    payloads = offered(stream, 2)
    (job,) = stream.take("dies")
    assert len(stream.take("lives", 5, idle_seconds=3600)) == 1
    again = stream.take("lives", 5, idle_seconds=0.0)
    assert {each.payload for each in again} == set(payloads)
    assert all(each.tries == 2 for each in again)
    for each in again:
        stream.finish(each, b"done")
    stream.finish(
        job, b"too late"
    )  # the first was not dead after all: its answer stands, nothing else happens
    assert stream.counts().jobs == 0


def test_a_job_that_kills_workers_is_set_aside_and_shown(stream):
    (payload,) = offered(stream, 1)
    for number in range(MOST_TRIES):
        (job,) = stream.take(f"dies-{number}", idle_seconds=0.0)
        assert job.tries == number + 1
    assert work_once(stream, "lives", fit, idle_seconds=0.0) == 1
    ((ident, why),) = stream.aside()
    assert ident == ident_of(payload)
    assert f"{MOST_TRIES} workers" in why
    assert stream.counts().jobs == 0
    assert b"set aside" in stream.answers([ident])[ident]


def test_a_job_that_cannot_be_read_is_set_aside(stream):
    stream.offer("bad", b"no document")
    assert work_once(stream, "one", fit) == 1
    assert [ident for ident, _ in stream.aside()] == ["bad"]


def test_what_a_job_says_is_kept_while_somebody_may_want_it(stream):
    (payload, other) = offered(stream, 2)
    base = f"{stream._base}:payload:"
    client = stream._link.get().client
    assert 0 < client.ttl(base + ident_of(payload)) <= KNOWN_SECONDS
    client.delete(base + ident_of(payload))  # as if it had expired
    assert [job.payload for job in stream.take("one", 2)] == [other]
    assert stream.counts().jobs == 1
    assert work_once(stream, "two", fit, idle_seconds=0.0) == 1
    assert (stream.counts().jobs, client.keys(base + "*")) == (0, [])


def test_a_job_of_an_older_version_has_what_it_says_in_the_stream(stream):
    payload = task_bytes(task(0))
    stream.take("one")  # makes the group
    stream._link.get().client.xadd(f"{stream._base}:jobs", {"i": ident_of(payload), "p": payload})
    assert work_once(stream, "one", fit) == 1
    assert ident_of(payload) in stream.answers([ident_of(payload)])
    assert stream.counts().jobs == 0


def test_a_large_payload_is_not_kept_with_what_is_set_aside(stream):
    for ident, size in (("small", 1 << 10), ("large", 1 << 20)):
        stream.offer(ident, b"x" * size)
        work_once(stream, "one", fit)
    client = stream._link.get().client
    kept = {fields[b"i"]: len(fields[b"p"]) for _, fields in client.xrange(f"{stream._base}:aside")}
    assert kept == {b"small": 1 << 10, b"large": 0}


def test_a_stream_that_was_lost_is_begun_anew(stream):
    offered(stream, 1)
    stream.take("one")
    stream._link.get().client.flushall()
    assert stream.take("one") == []
    assert stream.counts().jobs == 0
    assert len(offered(stream, 1)) == 1


def pool_on(stream, now):
    return StreamPool(stream, clock=lambda: now[0], patience_seconds=600.0, start=False)


def test_answers_are_those_of_the_local_pool(stream):
    """The same tasks through both: the same numbers, each ticket once."""
    now = [0.0]
    pool, local = pool_on(stream, now), WorkerPool(PoolSettings(workers=1), fit)
    tasks = [task(number % 4, ticket=number) for number in range(6)]  # two of them twice
    try:
        for each in tasks:
            assert pool.submit(each)
            assert local.submit(each)
        assert pool.depth == 6
        pool.carry()
        assert stream.counts().jobs == 4, "equal tasks are one job"
        assert work(stream, "one", fit, lambda pause: pause > 0, 60.0) == 4
        pool.carry()
        by_stream = {each.ticket: each for each in pool.collect()}
        by_processes = {}
        while len(by_processes) < 6:
            answer = local.wait(60.0)
            by_processes[answer.ticket] = answer
    finally:
        local.close()
    assert set(by_stream) == set(by_processes) == set(range(6))
    for ticket, answer in by_stream.items():
        other = by_processes[ticket]
        np.testing.assert_array_equal(answer.values_bytes, other.values_bytes)
        assert (answer.first_hour, answer.remarks, answer.failure) == (other.first_hour, other.remarks, "")
    assert pool.depth == 0


def test_the_engine_hands_its_fits_to_the_stream_that_is_named(server):
    made = fit_pool(EngineSettings(forecast_redis=f"{server.url}?timeout=10"))
    try:
        assert isinstance(made, StreamPool)
        assert Desks(made, elsewhere=True).refusal == ""
        assert isinstance(fit_pool(EngineSettings(forecast_workers=1)), WorkerPool)
        assert fit_pool(EngineSettings(forecast_workers=0)) is None
        server.tell("FLUSHALL")
        made.submit(task(3, ticket=9))
        stream = WorkStream(parse_redis_address(f"{server.url}?timeout=10"))
        wait_for(lambda: work_once(stream, "one", fit), "the job")
        answer = wait_for(made.collect, "the answer")
        assert [each.ticket for each in answer] == [9]
        stream.close()
    finally:
        made.close()


def test_a_second_operator_gets_the_first_ones_answer(stream):
    now = [0.0]
    for _ in range(2):
        pool = pool_on(stream, now)
        pool.submit(task(1, ticket=7))
        pool.carry()
        work(stream, "one", fit, lambda pause: pause > 0, 60.0)
        pool.carry()
        assert [each.ticket for each in pool.collect()] == [7]
    assert stream.counts().jobs == 0


def test_open_jobs_are_offered_again_after_the_stream_was_lost(stream):
    now = [0.0]
    pool = pool_on(stream, now)
    pool.submit(task(1, ticket=7))
    pool.carry()
    stream._link.get().client.flushall()
    pool.carry()
    assert stream.counts().jobs == 0
    now[0] += OFFER_AGAIN_SECONDS
    pool.carry()
    assert work(stream, "one", fit, lambda pause: pause > 0, 60.0) == 1
    pool.carry()
    assert [each.ticket for each in pool.collect()] == [7]


def test_without_redis_tasks_wait_and_fail_in_the_end():
    now = [0.0]
    pool = pool_on(WorkStream(parse_redis_address("redis://127.0.0.1:1")), now)
    pool.submit(task(1, ticket=7))
    pool.carry()
    assert "down" in pool.failure
    assert (pool.collect(), pool.depth) == ([], 1)
    now[0] += 601
    pool.carry()
    (answer,) = pool.collect()
    assert "no answer within 600 s" in answer.failure
    pool.close()
    assert pool.room == 0
    assert not pool.submit(task(2))


def test_a_killed_workers_fit_is_done_by_another(server, tmp_path):
    """A real worker process is killed with a job in hand; five jobs, five answers."""
    server.tell("FLUSHALL")
    (tmp_path / "test_work_stream_fits.py").write_text(HANGS)
    stream = WorkStream(parse_redis_address(f"{server.url}?timeout=10"))
    payloads = offered(stream, 5)
    with ExitStack() as stack:
        stack.callback(stream.close)
        worker = subprocess.Popen(
            [sys.executable, "-c", WORKER, server.url, str(tmp_path)], stdout=subprocess.PIPE
        )
        stack.callback(worker.stdout.close)
        stack.callback(worker.wait)
        stack.callback(worker.kill)
        assert worker.stdout.readline() == b"taken\n"
        assert stream.counts().under_way == 1
        os.kill(worker.pid, signal.SIGKILL)
        worker.wait()
        idents = [ident_of(each) for each in payloads]
        wait_for(lambda: not work_once(stream, "lives", fit, 0.1) and len(stream.answers(idents)) == 5, "all")
        assert stream.counts().jobs == 0


def test_the_process_serves_what_it_does_and_ends_when_it_is_told_to(server):
    server.tell("FLUSHALL")
    port = free_port()
    command = [sys.executable, "-m", "plimsoll_operator.forecasters.worker", "--redis", server.url]
    worker = subprocess.Popen([*command, f"--metrics-port={port}", "--metrics-address=127.0.0.1"])
    with ExitStack() as ending:
        stream = WorkStream(parse_redis_address(f"{server.url}?timeout=10"))
        ending.callback(stream.close)
        ending.callback(worker.wait)
        ending.callback(worker.kill)
        stream.offer("bad", b"no document")
        wait_for(lambda: stream.counts().aside, "the job to be set aside", 60)
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as said:
            assert b'plimsoll_worker_jobs_total{outcome="aside"} 1.0' in said.read()
        worker.terminate()
        assert worker.wait(30) == 0


def test_a_port_that_is_taken_is_said(server, capsys):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(SystemExit) as ended:
            main(["--redis", server.url, f"--metrics-port={port}", "--metrics-address=127.0.0.1"])
    assert ended.value.code == 2
    assert f"--metrics-port {port}" in capsys.readouterr().err


def test_the_worker_says_what_is_wrong_and_what_there_is(server, capsys):
    server.tell("FLUSHALL")
    with pytest.raises(SystemExit) as ended:
        main(["--redis", "http://x"])
    assert ended.value.code == 2
    assert "redis://" in capsys.readouterr().err
    assert main(["--redis", server.url, "--counts"]) == 0
    assert '"jobs": 0' in capsys.readouterr().out
    stream = WorkStream(parse_redis_address(server.url))
    stream.offer("bad", b"no document")
    assert work_once(stream, "one", fit) == 1
    stream.close()
    assert main(["--redis", server.url, "--aside"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["job"] == "bad"
    assert said["why"].startswith("set aside: ")


def test_an_acl_user_needs_no_more_than_is_listed(server):
    server.tell("FLUSHALL")
    rights = [f"+{each}" for each in (*WORK_COMMANDS, *CONNECTING)]
    server.tell("ACL", "SETUSER", "worker", "reset", "on", ">word", "~plimsoll:*", *rights)
    stream = WorkStream(parse_redis_address(f"redis://worker:word@{server.host}/0?timeout=10"))
    offered(stream, 2)
    stream.take("dies")
    work_once(stream, "lives", fit, 0.0)
    stream.answers(["x"])
    stream.aside()
    stream.counts()
    assert server.tell("ACL", "LOG") == []
    for word in WORK_COMMANDS:
        server.tell(
            "ACL", "SETUSER", "worker", f"-{word}" if "|" not in word else f"-{word.partition('|')[0]}"
        )
    with pytest.raises(LevelError) as refused:
        stream.take("one")
    assert refused.value.reason is Reason.DENIED
    stream.close()


FORGED = np.ones((2, len(SPANS), len(LEVELS)), np.float32)


@pytest.mark.parametrize(
    "damage",
    [
        {"values_bytes": np.ones(5, np.float32)},
        {"values_bytes": FORGED[:, :1]},
        {"values_bytes": FORGED[:0]},
        {"values_bytes": -FORGED},
        {"values_bytes": FORGED * np.inf},
        {"values_bytes": FORGED * 1e20},
        {"values_bytes": np.flip(np.cumsum(FORGED, axis=2), 2)},
        {"values_bytes": "many"},
        {"log_error": np.ones((2, 2), np.float32)},
        {"log_error": np.array([np.nan], np.float32)},
        {"first_hour": "soon"},
        {"first_hour": None},
        {"remarks": 7},
    ],
    ids=str,
)
def test_a_forged_answer_is_a_failure_that_says_so(damage):
    sound, asked = answer_bytes(fit(task(1))), task(1, ticket=5)
    assert answer_of(sound, asked).failure == ""
    forged = answer_of(encode({**decode(sound), **damage}), asked)
    assert (forged.ticket, len(forged.values_bytes)) == (5, 0)
    assert forged.failure.startswith("a worker's answer cannot be read")
    assert answer_of(sound[: len(sound) // 2], asked).failure


def test_what_a_forged_answer_says_is_cut():
    said = decode(answer_bytes(fit(task(1))))
    wordy = answer_of(encode({**said, "remarks": ["x" * 1000] * 100}), task(1))
    assert (len(wordy.remarks), len(wordy.remarks[0])) == (16, 500)
    assert len(answer_of(encode({**said, "failure": "y" * 1000}), task(1)).failure) == 500


@pytest.mark.parametrize(
    "damage", [{"ahead_hours": 0}, {"samples": 10**9}, {"hourly_bytes": np.zeros(9999, np.float32)}]
)
def test_absurd_tasks_are_refused(damage):
    with pytest.raises(ContentError):
        task_of(encode({**decode(task_bytes(task(1))), **damage}))
    assert task_of(task_bytes(task(1))).holidays == ("CH",)
