"""In: what pods used for weeks. Out: daily peaks of the sum, their trend with an interval, nodes of the weeks
ahead, or why nothing is said."""

import numpy as np
import pytest

from plimsoll.placement.capacity import LEAST_DAYS, daily_peaks, outlook, trend_of

HOURS = np.arange(24)


def of_days(levels, swing=0.0, phase=0.0):
    """One pod's hourly maxima: a level a day, a daily swing."""
    return (np.asarray(levels)[:, None] + swing * np.cos(2 * np.pi * (HOURS - phase) / 24)).ravel()


def test_steady_growth_is_carried_on():
    made = outlook(of_days(100.0 + 5.0 * np.arange(14))[None], 3, filled_nodes=3.3)
    assert made.trend.slope_bytes.middle == pytest.approx(5.0)
    assert [week.peak_bytes.middle for week in made.weeks] == pytest.approx([200.0, 235.0, 270.0])
    # 3.3 nodes hold 165: so many hold 200, 235 and 270.
    assert [week.nodes.middle for week in made.weeks] == [4, 5, 6]
    assert not made.why


def test_a_few_wild_days_do_not_make_a_trend():
    daily = np.full(20, 100.0)
    daily[[3, 17, 18, 19]] = 1000.0
    assert trend_of(daily).slope_bytes.middle == 0.0


def test_nodes_today_are_enough_where_nothing_grows():
    made = outlook(of_days(np.full(10, 64.0))[None], 8, filled_nodes=2.0)
    assert {(week.nodes.low, week.nodes.middle, week.nodes.high) for week in made.weeks} == {(2, 2, 2)}


@pytest.mark.parametrize("alike", [0.0, 0.5])
def test_the_interval_holds_what_comes(alike):
    """A week ahead of three, with noise that is independent or resembles the day before."""
    rng, inside = np.random.default_rng(4), 0
    for _ in range(200):
        noise = rng.normal(0, 5, 28)
        for day in range(1, 28):
            noise[day] += alike * noise[day - 1]
        daily = 200 + 2.0 * np.arange(28) + noise
        ahead = trend_of(daily[:21]).after(7)
        inside += ahead.low <= daily[27] <= ahead.high
    assert inside >= 170


def test_further_ahead_is_less_certain():
    weeks = outlook(of_days(100 + np.random.default_rng(1).normal(0, 5, 14))[None], 6, 1.0).weeks
    widths = [week.peak_bytes.high - week.peak_bytes.low for week in weeks]
    assert widths == sorted(widths)
    assert widths[0] < widths[-1]


@pytest.mark.parametrize("days", [0, 1, LEAST_DAYS - 1])
def test_too_short_a_past_is_called_so(days):
    made = outlook(of_days(np.full(days, 100.0))[None], 4, 1.0)
    assert (made.weeks, made.trend) == ((), None)
    assert made.why == f"at least half of what the pods use is known for {days} whole days, 7 are needed"


def test_nothing_used_has_no_weeks_ahead():
    assert outlook(np.zeros((2, 24 * 9)), 4, 0.0).why


def test_peaks_are_those_of_the_sum():
    day, night = of_days(np.full(8, 10.0), 5.0), of_days(np.full(8, 10.0), 5.0, phase=12)
    assert daily_peaks(np.stack([day, night])) == pytest.approx(np.full(8, 20.0))
    assert daily_peaks(np.stack([day, day])) == pytest.approx(np.full(8, 30.0))


def test_a_pod_that_came_late_is_no_growth():
    late = of_days(np.full(12, 30.0), 10.0)
    late[: 24 * 5] = np.nan
    pods = np.stack([of_days(np.full(12, 100.0)), late])
    assert daily_peaks(pods) == pytest.approx(np.full(12, 140.0))
    assert outlook(pods, 1, 1.0).trend.slope_bytes.middle == pytest.approx(0.0)


def test_an_hour_that_nobody_saw_is_as_the_one_before():
    pod = of_days(100.0 + np.arange(8.0))
    pod[24 * 3 + 4 : 24 * 5 + 4] = np.nan
    assert daily_peaks(pod[None]) == pytest.approx([100, 101, 102, 103, 103, 105, 106, 107])


def test_days_on_which_most_was_not_there_do_not_count():
    large = of_days(np.full(10, 100.0))
    large[: 24 * 6] = np.nan
    assert len(daily_peaks(np.stack([large, of_days(np.full(10, 50.0))]))) == 4


def test_a_pod_that_was_never_seen_is_left_out():
    pods = np.stack([of_days(np.full(9, 7.0)), np.full(24 * 9, np.nan)])
    assert daily_peaks(pods) == pytest.approx(np.full(9, 7.0))
