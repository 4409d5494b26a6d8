"""Reductions over windows: missing bins never count, and never become a number."""

import numpy as np
import pytest

from builders.histories import MIB, window_of
from plimsoll.forecast.window import (
    chunks,
    last_hour_peak,
    mean,
    peak,
    peak_of_seen_hours,
    present_bytes,
    quantile_of_seen,
    seen_hours,
    trailing_peak,
    trough,
)

NAN = np.nan


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([1.0, 3.0, 2.0], (3.0, 1.0, 2.0)),
        ([NAN, 3.0, NAN], (3.0, 3.0, 3.0)),
        ([NAN, NAN], (NAN, NAN, NAN)),
        ([], (NAN,) * 3),
    ],
)
def test_reductions_skip_what_is_missing(values: list[float], expected: tuple[float, float, float]):
    got = [f(np.array([values]))[0] for f in (peak, trough, mean)]
    assert got == pytest.approx(expected, nan_ok=True)


@pytest.mark.parametrize("hours", [1, 2, 3, 5, 8, 24])
def test_trailing_peak_is_the_maximum_of_so_many_hours(hours: int):
    values = np.random.default_rng(hours).normal(size=(3, 40))
    values[1, 10:20] = NAN
    expected = [[np.fmax.reduce(row[max(0, i - hours + 1) : i + 1]) for i in range(40)] for row in values]
    assert np.array_equal(trailing_peak(values, hours), np.array(expected), equal_nan=True)


def test_the_floor_counts_hours_in_which_something_was_seen():
    nan = np.nan
    hourly = np.array(
        [
            [9.0, 8.0, 1.0, 2.0, 3.0, 1.0],  # no gap: the three hours before the present one
            [9.0, 8.0, nan, nan, 3.0, 1.0],  # an outage: a peak does not fall out meanwhile
            [9.0, nan, nan, nan, nan, 1.0],
            [nan, nan, nan, nan, nan, 5.0],
            [nan, nan, nan, nan, nan, nan],
        ]
    )
    assert peak_of_seen_hours(hourly, 3).tolist() == pytest.approx([3.0, 9.0, 9.0, 5.0, nan], nan_ok=True)
    assert peak_of_seen_hours(hourly, 2).tolist() == pytest.approx([3.0, 8.0, 9.0, 5.0, nan], nan_ok=True)


def test_a_walk_begins_where_any_row_was_seen():
    hourly = np.array([[NAN, NAN, 1.0, NAN], [NAN, 2.0, NAN, NAN]])
    assert list(seen_hours(hourly)) == [1, 2, 3]
    assert list(seen_hours(hourly[:1])) == [2, 3]
    assert list(seen_hours(hourly[:, :1])) == []


def test_chunks_cover_everything_once():
    assert [list(range(10))[part] for part in chunks(10, 4)] == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]
    assert list(chunks(0)) == []


def test_the_present_is_the_running_bin_and_the_one_before():
    usage = np.array([5, 9, 3, 7]) * MIB
    assert present_bytes(window_of(usage))[0] == pytest.approx(7 * MIB)
    assert last_hour_peak(window_of(usage))[0] == pytest.approx(9 * MIB)


def test_usage_that_stopped_an_hour_ago_is_not_the_last_hours():
    usage = np.concatenate([np.full(20, MIB), np.full(13, NAN)])
    assert np.isnan(last_hour_peak(window_of(usage))[0])
    assert np.isnan(present_bytes(window_of(usage))[0])


@pytest.mark.parametrize(
    ("seen", "expected"),
    [
        ([], np.nan),
        ([5], 5),
        ([1, 2, 3, 4, 5, 6, 7, 8, 9, 10], 9),
        ([10, np.nan, 1, np.nan], 10),
        ([1] * 9 + [100], 1),
        ([1] * 8 + [100] * 2, 100),
    ],
)
def test_a_quantile_of_what_was_seen(seen: list[float], expected: float):
    values = np.full((1, 12), np.nan)
    values[0, : len(seen)] = seen
    assert quantile_of_seen(values, 0.9)[0] == pytest.approx(expected, nan_ok=True)
