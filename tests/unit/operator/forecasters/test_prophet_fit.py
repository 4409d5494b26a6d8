"""The adapter with the real package: what it learns, that it repeats, and that failures are answers."""

import logging
from dataclasses import replace

import numpy as np
import pytest

from builders.seasons import MIB, daily
from plimsoll.forecast.prophet import FitTask
from plimsoll_operator.forecasters import prophet_fit
from plimsoll_operator.forecasters.prophet_fit import fit, missing_package

MONDAY = 492_168  # the absolute hour in which Monday, 23 February 2026 begins
HOURS = 504
SMALL = {"samples": 300, "ahead_hours": 30}


def task(hourly: np.ndarray, *holidays: str) -> FitTask:
    return FitTask(9, MONDAY + HOURS - 1, hourly.astype(np.float32), holidays, **SMALL)


def test_the_day_is_learned_from_what_was_seen_and_the_peak_s_quantiles_cover_what_comes():
    series = daily(HOURS + 24, noise=0.03)
    seen = np.where(np.random.default_rng(1).random(HOURS) < 0.2, np.nan, series[:HOURS])
    answer = fit(task(seen))
    assert answer.failure == ""
    assert answer.first_hour == MONDAY + HOURS
    assert answer.seconds > 0
    median, high = answer.values_bytes[:24, 0, 0], answer.values_bytes[:24, 0, -1]
    assert median == pytest.approx(series[HOURS:], rel=0.12)
    assert (high > series[HOURS:]).all()
    assert high.max() < 1.4 * series.max()


def test_the_same_task_has_the_same_answer_and_leaves_the_global_generator_alone():
    one = task(daily(HOURS))
    np.random.seed(1)  # noqa: NPY002 - what Prophet draws from
    first = fit(one)
    after = np.random.rand()  # noqa: NPY002
    np.random.seed(1)  # noqa: NPY002 - what Prophet draws from
    assert np.random.rand() == after  # noqa: NPY002
    again = fit(one)
    assert np.array_equal(first.values_bytes, again.values_bytes)
    assert np.array_equal(first.log_error, again.log_error)


def test_a_holiday_that_was_low_before_is_low_again():
    days = np.arange(HOURS) // 24
    low = np.where(np.isin(days, (3, 10)), 0.5, 1.0)  # 26 February and 5 March
    named = ("2026-02-26", "2026-03-05", "2026-03-16")  # and the first day to come, a Monday
    series = daily(HOURS, swing=0.1) * low
    with_days, without = fit(task(series, *named)), fit(task(series))
    coming = slice(0, 24)
    assert with_days.values_bytes[coming, 0, 0].mean() < 0.7 * without.values_bytes[coming, 0, 0].mean()


def test_words_that_are_no_holidays_are_remarks():
    answer = fit(task(daily(HOURS), "XX"))
    assert answer.failure == ""
    assert answer.remarks == ("XX: Country XX not available",)


def test_nothing_to_fit_is_a_failure_not_an_error():
    answer = fit(task(np.full(HOURS, np.nan)))
    assert answer.ticket == 9
    assert answer.failure != ""
    assert not answer.values_bytes.size


def test_the_package_says_nothing_on_the_log(caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture):
    with caplog.at_level(logging.INFO):
        fit(replace(task(100 * MIB * np.ones(HOURS) + daily(HOURS)), ticket=1))
    assert caplog.records == []
    assert capfd.readouterr() == ("", "")


def test_an_absent_package_is_told_in_words(monkeypatch: pytest.MonkeyPatch):
    assert missing_package() == ""
    monkeypatch.setitem(__import__("sys").modules, "prophet", None)
    assert missing_package() == prophet_fit.NOT_INSTALLED
    assert "prophet" in fit(task(daily(HOURS))).failure
