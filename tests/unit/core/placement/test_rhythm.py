"""Rows that come and go by the clock: at which hours they begin, how long they stay."""

import numpy as np

from plimsoll.placement.rhythm import bits_of, hours_of, rhythms_of

HOUR = 500_000  # of the present column; its hour of the day is HOUR % 24
DAYS = 8


def ran(*stretches, hours=DAYS * 24):
    """One row that ran in these stretches (hours back from the present one: first, last)."""
    row = np.full(hours, np.nan)
    for first, last in stretches:
        row[hours - 1 - first : hours - last] = 100.0
    return row


def daily(at, stays, days):
    """Began `at` hours of the day, stayed so long, on days so long ago."""
    ago = (HOUR - at) % 24
    return ran(*((24 * day + ago, 24 * day + ago - stays + 1) for day in days))


def looked(*rows):
    return rhythms_of(np.stack(rows), HOUR)


def test_a_job_at_three_every_night_begins_at_three_and_stays_as_long_as_the_longest():
    found = looked(daily(3, 2, range(1, 8)))
    assert np.flatnonzero(found.begins[0]).tolist() == [3]
    assert (found.stays_hours[0], found.ends[0]) == (2, True)


def test_three_days_of_seven_make_a_known_start_and_two_do_not():
    found = looked(daily(9, 4, (1, 3, 5)), daily(9, 4, (1, 3)))
    assert found.begins.any(axis=1).tolist() == [True, False]
    assert found.ends.tolist() == [True, False]
    assert found.stays_hours.tolist() == [4, 4]


def test_what_always_runs_begins_at_no_hour_and_has_no_end():
    found = looked(ran((DAYS * 24 - 1, 0)), ran())
    assert not found.begins.any()
    assert found.stays_hours.tolist() == [0, 0]
    assert not found.ends.any()


def test_a_sample_that_was_missed_is_no_start():
    row = ran((DAYS * 24 - 1, 0))
    row[[-20, -44, -68, -92]] = np.nan
    assert not looked(row).begins.any()


def test_the_run_under_way_has_not_ended():
    found = looked(ran((60, 58), (36, 33), (12, 0)))
    assert found.stays_hours[0] == 4
    assert not found.ends[0]


def test_a_run_beyond_a_day_stays_a_day():
    assert looked(ran((100, 40))).stays_hours[0] == 24


def test_hours_go_through_bits_and_back():
    begins = np.zeros((2, 24), dtype=np.bool_)
    begins[1, [0, 7, 23]] = True
    assert [hours_of(int(each)) for each in bits_of(begins)] == [[], [0, 7, 23]]
