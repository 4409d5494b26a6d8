"""Promises are opened, closed and faded; a restart keeps their record."""

import numpy as np
import pytest

from plimsoll.usage.history import History
from plimsoll.usage.promises import NO_PROMISE, REMEMBERED_HOURS, PromiseLog
from plimsoll.usage.sample import Quantity

ROWS = np.array([0, 1, 2])


def column(*values: float) -> np.ndarray:
    return np.array(values, dtype=np.float64)


def test_a_promise_is_open_until_it_is_closed() -> None:
    log = PromiseLog(4)
    log.promise(ROWS, 120, column(100, 200, np.nan), column(0.01, 0.5, 0.1))
    assert log.open(ROWS).bin.tolist() == [120, 120, NO_PROMISE]
    log.close(ROWS, column(0, 1, np.nan), column(-0.01, 0.3, 0))
    assert log.open(ROWS).bin.tolist() == [NO_PROMISE] * 3
    record = log.record(ROWS)
    assert record.hours.tolist() == [1, 1, 0]
    assert record.promised.tolist() == [0.01, 0.5, 0]
    assert record.exceeded.tolist() == [0, 1, 0]
    assert record.shift.tolist() == [-0.01, 0.3, 0]


def test_an_hour_nobody_saw_changes_nothing() -> None:
    log = PromiseLog(1)
    log.promise(ROWS[:1], 120, column(100), column(0.2))
    log.close(ROWS[:1], column(np.nan), column(0.7))
    assert [float(value[0]) for value in (log.record(ROWS[:1]).hours, log.record(ROWS[:1]).shift)] == [0, 0]


def test_totals_fade_with_their_time_constant() -> None:
    log = PromiseLog(1)
    row = ROWS[:1]
    for _ in range(20_000):
        log.promise(row, 0, column(1), column(0.1))
        log.close(row, column(0), column(0))
    assert log.record(row).hours[0] == pytest.approx(REMEMBERED_HOURS, rel=0.01)
    assert log.record(row).promised[0] == pytest.approx(0.1 * REMEMBERED_HOURS, rel=0.01)


def test_a_row_that_is_handed_out_again_has_no_record() -> None:
    history = History(Quantity.USAGE, 1)
    row = history.add_rows(1)
    history.promises.promise(row, 0, column(1), column(0.5))
    history.promises.close(row, column(1), column(0.4))
    history.free_rows(row)
    assert history.promises.record(history.add_rows(1)).shift[0] == 0


def test_a_history_that_grows_keeps_records() -> None:
    history = History(Quantity.USAGE, 1)
    row = history.add_rows(1)
    history.promises.promise(row, 7, column(1), column(0.5))
    history.add_rows(10)
    assert history.promises.open(row).bin.tolist() == [7]


def test_a_checkpoint_holds_the_record_and_what_came_since_wins() -> None:
    before, after = History(Quantity.USAGE, 1), History(Quantity.USAGE, 1)
    row = before.add_rows(1)
    after.add_rows(1)
    before.append(row, [300_000.0], [5e8], 300_000.0)
    before.promises.promise(row, 1000, column(1), column(0.25))
    before.promises.close(row, column(1), column(0.15))
    after.append(row, [300_300.0], [5e8], 300_300.0)
    after.restore(0, before.checkpoint(0))
    assert after.promises.packed(0).tolist() == [1, 0.25, 1, 0.15]
    after.restore(0, checkpoint_with_shift(0.6))
    assert after.promises.record(row).shift[0] == 0.15


def checkpoint_with_shift(shift: float) -> bytes:
    other = History(Quantity.USAGE, 1)
    row = other.add_rows(1)
    other.append(row, [300_000.0], [5e8], 300_000.0)
    other.promises.promise(row, 1000, column(1), column(0.1))
    other.promises.close(row, column(1), column(shift))
    return other.checkpoint(0)
