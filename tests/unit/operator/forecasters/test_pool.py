"""The pool with real processes: answers, deaths, hangs, a full queue. What is waited for are answers."""

import contextlib
import os
import select
from collections.abc import Iterator

import numpy as np
import pytest

from builders import fits
from builders.seasons import daily
from plimsoll.forecast.prophet import FitAnswer, FitTask
from plimsoll_operator.forecasters.pool import PoolSettings, WorkerPool
from plimsoll_operator.forecasters.prophet_fit import fit

PATIENCE = 120.0
PAST = np.zeros(3, dtype=np.float32)


def task(ticket: int, *holidays: str) -> FitTask:
    return FitTask(ticket, 100, PAST, holidays)


def answer(pool: WorkerPool) -> FitAnswer:
    got = pool.wait(PATIENCE)
    assert got is not None, "no answer came"
    return got


def ended(pid: int) -> None:
    """Wait for the end of a process."""
    with contextlib.suppress(ProcessLookupError):
        assert select.select([os.pidfd_open(pid)], [], [], PATIENCE)[0]


@pytest.fixture
def pools() -> Iterator[list[WorkerPool]]:
    made: list[WorkerPool] = []
    yield made
    for pool in made:
        pool.close()


def test_tasks_are_answered_in_order_by_one_low_priority_process_that_stays(pools: list[WorkerPool]):
    pool = WorkerPool(PoolSettings(), fits.fit)
    pools.append(pool)
    assert pool.collect() == []
    assert all(pool.submit(task(ticket)) for ticket in (1, 2, 3))
    assert pool.depth == 3
    answers = [answer(pool) for _ in range(3)]
    assert [each.ticket for each in answers] == [1, 2, 3]
    assert len({each.values_bytes[0, 0, 0] for each in answers}) == 1
    assert answers[0].values_bytes[0, 0, 1] >= 15
    assert (pool.depth, pool.replaced) == (0, 0)


def test_a_worker_that_dies_is_replaced_and_its_task_answered_with_the_failure(pools: list[WorkerPool]):
    pool = WorkerPool(PoolSettings(), fits.fit)
    pools.append(pool)
    for each in (task(1), task(2, fits.CRASHES), task(3)):
        pool.submit(each)
    first, second, third = (answer(pool) for _ in range(3))
    assert second.ticket == 2
    assert second.failure.startswith("the worker died (exit code 3")
    assert third.failure == ""
    assert third.values_bytes[0, 0, 0] != first.values_bytes[0, 0, 0]
    assert pool.replaced == 1


def test_a_worker_that_hangs_is_replaced_when_its_time_is_up(pools: list[WorkerPool]):
    pool = WorkerPool(PoolSettings(fit_seconds=0.01), fits.fit)
    pools.append(pool)
    pool.submit(task(1, fits.HANGS))
    hung = answer(pool)
    assert (hung.ticket, hung.failure) == (1, "no answer within 0.01 s")
    assert pool.replaced == 1


def test_a_full_queue_takes_no_more_and_says_so_at_once(pools: list[WorkerPool]):
    pool = WorkerPool(PoolSettings(queued=2), fits.fit)
    pools.append(pool)
    taken = [pool.submit(task(ticket, fits.HANGS)) for ticket in range(10)]
    # Two wait, and at most one more has been handed to the worker meanwhile.
    assert 2 <= sum(taken) <= 3
    assert not taken[-1]
    assert pool.room <= 1


def test_closing_does_not_wait_for_what_is_under_way():
    pool = WorkerPool(PoolSettings(queued=4), fits.fit)
    pool.submit(task(1))
    assert answer(pool).ticket == 1
    pool.submit(task(2, fits.HANGS))
    pool.close()
    assert pool.room == 0
    assert not pool.submit(task(3))


def test_a_pool_that_was_never_asked_starts_no_process():
    pool = WorkerPool(PoolSettings(), fits.fit)
    pool.close()
    assert pool.depth == 0


def test_an_idle_worker_ends_and_another_one_starts_when_there_is_work(pools: list[WorkerPool]):
    pool = WorkerPool(PoolSettings(idle_seconds=0.001), fits.fit)
    pools.append(pool)
    pool.submit(task(1))
    first = answer(pool)
    ended(int(first.values_bytes[0, 0, 0]))
    pool.submit(task(2))
    second = answer(pool)
    assert second.failure == ""
    assert second.values_bytes[0, 0, 0] != first.values_bytes[0, 0, 0]
    assert pool.replaced == 0


def test_the_real_fit_runs_in_a_worker_as_it_does_here(pools: list[WorkerPool]):
    real = FitTask(5, 492_671, daily(504).astype(np.float32), ("2026-03-05",), ahead_hours=30, samples=300)
    pool = WorkerPool(PoolSettings())
    pools.append(pool)
    pool.submit(real)
    there, here = answer(pool), fit(real)
    assert there.failure == ""
    assert np.array_equal(there.values_bytes, here.values_bytes)
