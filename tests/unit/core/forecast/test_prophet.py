"""Answers looked up by row: what is used, for how long, and what `auto` says meanwhile. No package needed."""

from dataclasses import replace

import numpy as np
import pytest

from builders.seasons import MIB, daily
from plimsoll.forecast.prophet import (
    FRESH_HOURS,
    SPANS,
    AnswerBook,
    FitAnswer,
    FitTask,
    ProphetPeak,
    answer_of,
    persistence,
)
from plimsoll.forecast.protocol import LEVELS
from plimsoll.forecast.window import UsageWindow
from plimsoll.forecast.windowed import WindowedPeak

HOUR = 3600.0
FIRST = 490_000  # an absolute hour
ROWS = np.array([4, 7], dtype=np.int32)


def window(rows: np.ndarray | None = ROWS) -> UsageWindow:
    recent, hourly = np.full((2, 288), 100.0 * MIB), np.full((2, 672), 100.0 * MIB)
    return UsageWindow(recent, hourly, rows)


def answer(level_mib: float = 300.0, ticket: int = 1) -> FitAnswer:
    values = level_mib * MIB * np.linspace(1, 2, len(LEVELS)) * np.array([1.0, 1.5])[None, :, None]
    hours = 1 + 0.01 * np.arange(36)[:, None, None]
    return FitAnswer(
        ticket, FIRST, (values * hours).astype(np.float32), np.array([-0.1, 0.1], dtype=np.float32)
    )


def book(hours: float, **answers: FitAnswer) -> AnswerBook:
    made = AnswerBook()
    made.now_seconds = (FIRST + hours) * HOUR
    for row, each in answers.items():
        made.put(int(row.removeprefix("row")), each)
    return made


def test_an_answer_stands_for_its_row_and_auto_for_the_others():
    model = ProphetPeak(WindowedPeak(), book(2, row7=answer()))
    said = model.fit(window()).predict(HOUR, LEVELS).values_bytes
    expected = WindowedPeak().fit(window()).predict(HOUR, LEVELS).values_bytes
    assert np.array_equal(said[0], expected[0])
    assert said[1, 0] == pytest.approx(300 * MIB * 1.02)
    assert said[1, -1] == pytest.approx(600 * MIB * 1.02)


def test_a_horizon_that_reaches_into_another_hour_is_the_peak_of_both():
    model = ProphetPeak(WindowedPeak(), book(2.5, row7=answer()))
    assert model.fit(window()).predict(HOUR, LEVELS).values_bytes[1, 0] == pytest.approx(450 * MIB * 1.02)
    whole = model.fit(window()).predict(0.5 * HOUR, LEVELS).values_bytes
    assert whole[1, 0] == pytest.approx(300 * MIB * 1.02)


def test_a_longer_horizon_than_was_drawn_is_the_stand_in_s():
    fitted = ProphetPeak(WindowedPeak(), book(0, row7=answer())).fit(window())
    expected = WindowedPeak().fit(window()).predict(24 * HOUR, LEVELS).values_bytes
    assert np.array_equal(fitted.predict(24 * HOUR, LEVELS).values_bytes, expected)


@pytest.mark.parametrize("hours", [-1, FRESH_HOURS, 1000])
def test_an_answer_of_another_time_is_not_used(hours: float):
    model = ProphetPeak(WindowedPeak(), book(hours, row7=answer()))
    expected = WindowedPeak().fit(window()).predict(HOUR, LEVELS).values_bytes
    assert np.array_equal(model.fit(window()).predict(HOUR, LEVELS).values_bytes, expected)


def test_a_window_that_knows_no_rows_gets_the_stand_in():
    model = ProphetPeak(WindowedPeak(), book(0, row4=answer(), row7=answer()))
    expected = WindowedPeak().fit(window()).predict(HOUR, LEVELS).values_bytes
    assert np.array_equal(model.fit(window(None)).predict(HOUR, LEVELS).values_bytes, expected)


def test_a_row_that_was_not_seen_stays_unknown_whatever_was_foretold():
    unseen = UsageWindow(np.full((2, 288), np.nan), np.full((2, 672), np.nan), ROWS)
    model = ProphetPeak(WindowedPeak(), book(0, row7=answer()))
    assert not model.fit(unseen).predict(HOUR, LEVELS).ready().any()


def test_the_residuals_of_the_fit_are_the_row_s_past_errors():
    hindcast = ProphetPeak(WindowedPeak(), book(0, row7=answer())).fit(window()).hindcast()
    errors = hindcast.log_error[1]
    assert errors[np.isfinite(errors)] == pytest.approx([0.1])
    assert hindcast.point_bytes[1] == pytest.approx(300 * MIB)
    expected = WindowedPeak().fit(window()).hindcast()
    assert np.isfinite(hindcast.log_error[0]).sum() == np.isfinite(expected.log_error[0]).sum()


def test_an_error_that_lasts_shifts_the_hours_to_come_one_that_does_not_leaves_them():
    steady = np.repeat(0.2 * np.random.default_rng(1).standard_normal(20), 24).astype(np.float32)
    noise = 0.2 * np.random.default_rng(1).standard_normal(480).astype(np.float32)
    assert persistence(steady) > 0.9
    assert persistence(noise) < 0.1
    assert persistence(np.zeros(480)) == persistence(np.array([1.0, 1.0])) == 0.0
    lasting, passing = (replace(answer(150), log_error=each) for each in (steady, noise))
    # In the hour before, 100 MiB came where 151.5 were said.
    said = [
        ProphetPeak(WindowedPeak(), book(2, row7=each)).fit(window()).predict(HOUR, LEVELS).values_bytes[1, 0]
        for each in (lasting, passing)
    ]
    assert said[0] == pytest.approx(153 * MIB * (100 / 151.5) ** persistence(steady), rel=1e-4)
    assert said[1] > 0.95 * 153 * MIB


def test_the_last_error_of_the_fit_counts_for_its_first_hour():
    errors = np.full(480, 0.3, dtype=np.float32)
    fitted = ProphetPeak(WindowedPeak(), book(0, row7=replace(answer(), log_error=errors))).fit(window())
    assert fitted.predict(HOUR, LEVELS).values_bytes[1, 0] == pytest.approx(300 * MIB * np.exp(0.3), rel=1e-4)
    # What the error before foretold is none of the model's any more.
    assert np.nanmax(np.abs(fitted.hindcast().log_error[1])) == pytest.approx(0.0, abs=1e-3)


def test_other_levels_are_read_between_those_that_are_kept():
    fitted = ProphetPeak(WindowedPeak(), book(0, row7=answer())).fit(window())
    said = fitted.predict(HOUR, np.array([0.5, 0.85, 0.9])).values_bytes[1]
    kept = fitted.predict(HOUR, LEVELS).values_bytes[1]
    assert said[0] == pytest.approx(kept[0])
    assert kept[2] < said[1] < kept[3]
    assert said[2] == pytest.approx(kept[3])


def test_a_task_gives_seen_hours_in_units_of_their_median_and_cuts_a_unit_mistake():
    hourly = daily(672).astype(np.float32)
    hourly[10] = np.nan
    hourly[20] *= 1000
    hours, values, scale = FitTask(1, FIRST, hourly).seen()
    assert len(values) == 671
    assert hours[-1] == FIRST
    assert np.median(values) == pytest.approx(0.0, abs=1e-6)
    assert scale == pytest.approx(500 * MIB, rel=0.05)
    assert np.exp(values.max()) < 5


@pytest.mark.parametrize("hourly", [np.full(5, np.nan), np.zeros(5), np.empty(0)])
def test_a_task_of_nothing_or_of_zeros_has_a_scale(hourly: np.ndarray):
    _, values, scale = FitTask(1, FIRST, hourly.astype(np.float32)).seen()
    assert scale == 1.0
    assert np.isfinite(values).all()


def test_futures_become_bytes_and_residuals_logs():
    task = FitTask(3, FIRST, np.array([100.0, 200.0, 300.0], dtype=np.float32), ahead_hours=4)
    assert task.coming_hours().tolist() == [FIRST + 1 + k for k in range(5)]
    futures = np.full((500, 5), np.log(2.0))
    made = answer_of(task, np.log([0.5, 1.0, 1.0]), futures)
    assert made.first_hour == FIRST + 1
    assert made.values_bytes.shape == (4, len(SPANS), len(LEVELS))
    assert made.values_bytes == pytest.approx(400.0)
    assert made.log_error == pytest.approx([0.0, 0.0, np.log(1.5)], abs=0.02)


def test_futures_of_another_world_are_cut_and_no_numbers_are_a_failure():
    task = FitTask(3, FIRST, np.array([100.0, 200.0, 300.0], dtype=np.float32), ahead_hours=4)
    high = answer_of(task, np.zeros(3), np.full((500, 5), 800.0))
    assert high.values_bytes == pytest.approx(200 * np.exp(5.0))
    failed = answer_of(task, np.ones(3), np.full((500, 5), np.nan))
    assert failed.failure == "the fit gave values that are no numbers"
    assert failed.ticket == 3
