"""When rows are fitted, and what becomes of answers that come late or not at all."""

import numpy as np
import pytest

from builders.seasons import daily
from plimsoll.forecast.prophet import FitAnswer, FitTask
from plimsoll.forecast.prophet_desk import NO_SEASON, REFIT_SECONDS, TOO_SHORT, WAITING, ProphetDesk
from plimsoll.forecast.protocol import LEVELS
from plimsoll.usage.history import History
from plimsoll.usage.sample import Quantity

HOUR = 3600.0
NOW = 490_000 * HOUR + 300


def history(*series: np.ndarray) -> History:
    """Rows 0, 1, ... whose last whole hour is the one before NOW's."""
    made = History(Quantity.USAGE, max(len(series), 1))
    for row, values in zip(made.add_rows(len(series)).tolist(), series, strict=True):
        made.advance(NOW)
        seconds = NOW - 300 - HOUR * np.arange(len(values), 0, -1) + 60
        made.append(np.full(len(values), row), seconds, values, NOW)
    return made


def desk(*series: np.ndarray) -> ProphetDesk:
    return ProphetDesk(history(*series))


def due(one: ProphetDesk, now: float = NOW, most: int = 10) -> list[FitTask]:
    return list(one.due(now, most))


def done(task: FitTask) -> FitAnswer:
    values = np.ones((36, 2, len(LEVELS)), dtype=np.float32)
    return FitAnswer(task.ticket, task.last_hour + 1, values)


def test_a_row_is_due_at_once_and_then_every_six_hours():
    one = desk(daily(600))
    one.want(0, ("CH",))
    (task,) = due(one)
    assert (task.last_hour, task.holidays) == (489_999, ("CH",))
    assert np.isfinite(task.hourly_bytes).sum() == 600
    assert due(one, NOW + 2 * REFIT_SECONDS) == []  # its answer is still out
    one.take(done(task))
    assert due(one, NOW + REFIT_SECONDS - 1) == []
    assert len(due(one, NOW + REFIT_SECONDS)) == 1


def test_the_hour_that_runs_is_not_fitted():
    one = desk(daily(600))
    one._history.append(np.array([0]), np.array([NOW]), np.array([1e12]), NOW)
    one.want(0)
    assert np.nanmax(due(one)[0].hourly_bytes) < 1e9


@pytest.mark.parametrize(("series", "why"), [(daily(300), TOO_SHORT), (np.full(600, 5e8), NO_SEASON)])
def test_a_row_without_history_or_season_gets_no_task_and_a_reason(series: np.ndarray, why: str):
    one = desk(series)
    one.want(0)
    assert one.state(0).state == WAITING
    assert due(one) == []
    assert one.state(0).state == why
    assert one._rows[0].asked_seconds == NOW  # it is looked at again, but not in every tick


def test_a_policy_s_short_history_counts():
    one = desk(daily(600))
    one.want(0, history_hours=200)
    assert due(one) == []
    assert one.state(0).state == TOO_SHORT


def test_an_answer_is_kept_for_the_row_and_a_failure_is_told():
    one = desk(daily(600), daily(600, swing=0.2))
    one.want(0)
    one.want(1)
    first, second = due(one)
    one.take(done(first))
    one.take(FitAnswer(second.ticket, failure="no convergence"))
    assert one.book.fresh(0) is not None
    assert one.state(0).state == ""
    assert one.book.fresh(1) is None
    assert one.state(1).state == "the fit failed: no convergence; auto stands in"


def test_rows_that_found_no_room_come_first_the_next_time():
    one = desk(daily(600), daily(600), daily(600))
    for row in range(3):
        one.want(row)
    first = due(one, most=2)
    for task in first:
        one.take(done(task))
    (last,) = due(one, NOW + 60)
    assert last.ticket not in {task.ticket for task in first}
    one.take(done(last))
    assert due(one, NOW + 120) == []


def test_an_answer_for_a_row_that_was_forgotten_is_dropped():
    one = desk(daily(600))
    one.want(0)
    (task,) = due(one)
    one.forget(0)
    one.want(0)  # another container's now
    one.take(done(task))
    assert one.book.fresh(0) is None
    assert one.state(0).state == WAITING


def test_other_holidays_make_the_row_due_anew_the_same_do_not():
    one = desk(daily(600))
    one.want(0, ("CH",))
    (task,) = due(one)
    one.take(done(task))
    one.want(0, ("CH",))
    assert due(one, NOW + 60) == []
    one.want(0, ("DE-BY",))
    assert due(one, NOW + 60)[0].holidays == ("DE-BY",)


def test_a_clock_that_was_set_back_makes_rows_due_at_once():
    one = desk(daily(600))
    one.want(0)
    (task,) = due(one)
    one.take(done(task))
    assert one.book.fresh(0) is not None
    assert len(due(one, NOW - 2 * HOUR)) == 1
    assert one.book.fresh(0) is None


def test_where_nothing_can_be_fitted_rows_say_why():
    one = ProphetDesk(history(daily(600)), refusal="no package; auto stands in")
    one.want(0)
    assert due(one) == []
    assert one.state(0).state == "no package; auto stands in"
