"""The columnar history by examples: one fact a test. Times are absolute, as in production."""

import subprocess
import sys

import numpy as np
import pytest

from plimsoll.usage.history import FIVE_MINUTE_BINS, HOURLY_BINS, History
from plimsoll.usage.sample import BIN_SECONDS, HOUR_SECONDS, Quantity, Rejection
from plimsoll.usage.timeline import ClockStep

NOW = 1_700_000_000.0 // HOUR_SECONDS * HOUR_SECONDS + 7 * BIN_SECONDS + 100
DAY = 86_400.0
MIB = float(2**20)


def history(rows: int = 1, now: float = NOW) -> History:
    made = History(Quantity.USAGE, capacity=4)
    made.add_rows(rows)
    made.advance(now)
    return made


def present(window: np.ndarray) -> list[float]:
    return window[~np.isnan(window)].tolist()


def test_a_bin_holds_the_maximum_of_its_samples():
    h = history()
    h.append([0, 0, 0], [NOW - 20, NOW - 10, NOW], [5 * MIB, 9 * MIB, 7 * MIB], NOW)
    assert h.five_minute(0, 3)[0].tolist() == pytest.approx([np.nan, np.nan, 9 * MIB], nan_ok=True)
    assert h.hourly(0, 2)[0].tolist() == pytest.approx([np.nan, 9 * MIB], nan_ok=True)


def test_missing_bins_stay_missing():
    h = history()
    h.append([0, 0], [NOW - 4 * BIN_SECONDS, NOW], [MIB, MIB], NOW)
    assert np.isnan(h.five_minute(0, 6)[0]).tolist() == [True, False, True, True, True, False]


def test_last_column_is_the_present_and_moves_with_the_clock():
    h = history()
    h.append(0, NOW, MIB, NOW)
    for steps in range(1, FIVE_MINUTE_BINS):
        h.advance(NOW + steps * BIN_SECONDS)
        window = h.five_minute(0)[0]
        assert np.flatnonzero(~np.isnan(window)).tolist() == [FIVE_MINUTE_BINS - 1 - steps]
    h.advance(NOW + DAY)
    assert np.isnan(h.five_minute(0)).all()
    assert present(h.hourly(0)) == [MIB]
    h.advance(NOW + 28 * DAY)  # four more steps of a week
    assert h.current_bin == (NOW + DAY) // BIN_SECONDS, "a jump of weeks is doubted"


def test_hours_fall_out_after_28_days():
    h = history()
    h.append(0, NOW, MIB, NOW)
    for hour in range(1, 28 * 24):
        h.advance(NOW + hour * 3600)
        assert present(h.hourly(0)) == [MIB]
    h.advance(NOW + 28 * DAY)
    assert np.isnan(h.hourly(0)).all()


def test_backfill_of_weeks_lands_in_hours_and_the_last_day_in_bins_too():
    h = history()
    seconds = NOW - np.arange(0, 27 * DAY, BIN_SECONDS)
    report = h.append(np.zeros(len(seconds), np.int32), seconds, np.full(len(seconds), MIB), NOW)
    assert report.accepted == len(seconds)
    assert len(present(h.five_minute(0))) == FIVE_MINUTE_BINS
    assert len(present(h.hourly(0))) == 27 * 24 + 1  # the present hour is not over
    assert h.first_seen_seconds(0)[0] == seconds[-1]


@pytest.mark.parametrize(
    ("seconds", "value", "reason"),
    [
        (NOW, np.nan, Rejection.NOT_A_NUMBER),
        (NOW, -1.0, Rejection.NEGATIVE),
        (NOW, np.inf, Rejection.INFINITE),
        (NOW, -np.inf, Rejection.INFINITE),
        (NOW, 1e18, Rejection.IMPLAUSIBLE),
        (np.nan, MIB, Rejection.BAD_TIME),
        (np.inf, MIB, Rejection.BAD_TIME),
        (NOW + 31, MIB, Rejection.FUTURE),
        (NOW - 28 * DAY - HOUR_SECONDS, MIB, Rejection.TOO_OLD),
        (0.0, MIB, Rejection.TOO_OLD),
    ],
)
def test_bad_sample_is_counted_and_dropped(seconds, value, reason):
    h = history()
    report = h.append([0, 0], [seconds, NOW], [value, 3 * MIB], NOW)
    assert report.rejected == {reason: 1}
    assert report.accepted == 1
    assert present(h.five_minute(0)) == [3 * MIB]
    assert present(h.hourly(0)) == [3 * MIB]


@pytest.mark.parametrize("row", [-1, 1, 3, 4, 10**6])
def test_sample_of_an_unknown_row_is_dropped(row):
    h = history()
    assert h.append([row], [NOW], [MIB], NOW).rejected == {Rejection.UNKNOWN_ROW: 1}
    assert np.isnan(h.five_minute(0)).all()


def test_sample_of_a_freed_row_is_dropped_and_reading_it_is_an_error():
    h = history(2)
    h.free_rows([0])
    assert h.append([0], [NOW], [MIB], NOW).rejected == {Rejection.UNKNOWN_ROW: 1}
    with pytest.raises(IndexError, match="row 0 is not in use"):
        h.five_minute([1, 0])


def test_empty_append_changes_nothing():
    h = history()
    assert h.append([], [], [], NOW).accepted == 0


def test_sample_above_the_machines_memory_is_implausible():
    h = history(2)
    report = h.append([0, 1], [NOW, NOW], [2000 * MIB, 2000 * MIB], NOW, ceiling_bytes=[1000 * MIB, np.nan])
    assert report.rejected == {Rejection.IMPLAUSIBLE: 1}
    assert present(h.five_minute([0, 1])) == [2000 * MIB]


def used(h: History, mib: float, at_seconds: float) -> bool:
    return h.append(0, at_seconds, mib * MIB, at_seconds).accepted == 1


def test_a_thousandth_of_what_was_used_is_another_unit_until_the_next_start():
    h = history()
    assert [used(h, 100, NOW), used(h, 100, NOW + 60)] == [True, True]
    assert h.append(0, NOW + 120, 100 * MIB / 1024, NOW + 120).rejected == {Rejection.UNIT: 1}
    assert used(h, 0.0, NOW + 180)
    assert used(h, 0.3, NOW + 240)
    assert not used(h, 0.1, NOW + 300)
    h.record_restart(0, NOW + 310)
    assert used(h, 0.1, NOW + 360)


def test_one_spike_makes_no_unit_mistake_of_what_follows():
    h = history()
    assert all(used(h, mib, NOW + 60 * minute) for minute, mib in enumerate([1, 1000, 1, 1]))


def test_replicas_that_share_a_row_reach_what_the_largest_reaches():
    h = history()
    for minute in range(3):
        at_seconds = NOW + 60 * minute
        assert h.append([0, 0], [at_seconds] * 2, [100 * MIB, 90 * MIB], at_seconds).accepted == 2
    assert not used(h, 0.1, NOW + 240)


def test_a_fall_is_not_believed_for_lasting():
    h = history()
    assert [used(h, 100, NOW), used(h, 100, NOW + 60)] == [True, True]
    assert not any(used(h, 0.1, NOW + 60 + 1800 * half_hour) for half_hour in range(1, 192))


def test_a_start_that_is_told_again_is_no_other_one():
    h = history()
    h.record_restart(0, NOW - 60)
    assert [used(h, 100, NOW), used(h, 100, NOW + 60)] == [True, True]
    h.record_restart(0, NOW - 60)
    assert not used(h, 0.1, NOW + 120)


def test_a_512th_of_the_limit_from_the_first_sample_is_another_unit():
    h = history(2)
    report = h.append([0, 1], NOW, [100 * MIB / 1024] * 2, NOW, limit_bytes=[200 * MIB, np.nan])
    assert (report.doubted.tolist(), report.believed.tolist()) == ([True, False], [False, True])
    assert h.append(0, NOW + 60, 100 * MIB / 1024, NOW + 60, limit_bytes=40 * MIB).accepted == 1


def test_a_past_that_was_read_back_or_restored_shows_the_unit_as_well():
    h, other = history(), history()
    h.append([0] * 3, [NOW - 7200, NOW - 3600, NOW], [100 * MIB] * 3, NOW)
    assert not used(h, 0.1, NOW + 60)
    other.restore(0, h.checkpoint(0))
    assert not used(other, 0.1, NOW + 120)


def test_sample_a_little_ahead_counts_as_now():
    h = history(now=NOW - 100 + 299)
    ahead = NOW - 100 + 310  # eleven seconds, the next bin
    assert h.append(0, ahead, MIB, NOW - 100 + 299).accepted == 1
    assert not np.isnan(h.five_minute(0, 1)[0, 0])
    assert h.last_seen_seconds(0)[0] == NOW - 100 + 299


def test_duplicates_and_order_change_nothing():
    one, other = history(), history()
    seconds, values = NOW - np.array([900.0, 600, 300, 0]), MIB * np.array([4.0, 3, 2, 1])
    for at in range(4):
        one.append(0, seconds[at], values[at], NOW)
    order = [3, 1, 1, 0, 2, 3, 0]
    other.append([0] * 7, seconds[order], values[order], NOW)
    assert one.checkpoint(0) == other.checkpoint(0)


def test_stored_peak_is_never_below_the_true_one():
    h = history()
    value = 2.0**30 + 1  # float32 would round it down by one
    h.append(0, NOW, value, NOW)
    assert h.five_minute(0, 1)[0, 0] >= value


def test_rows_are_recycled_empty_and_others_keep_their_place():
    h = history(3)
    h.append([0, 1, 2], [NOW] * 3, [MIB, 2 * MIB, 3 * MIB], NOW)
    h.record_oom([1], NOW, MIB)
    h.free_rows([1])
    h.free_rows([1])
    assert len(h) == 2
    assert h.add_rows(2).tolist() == [1, 3]
    assert np.isnan(h.hourly([1, 3])).all()
    assert np.isnan(h.first_seen_seconds([1, 3])).all()
    assert h.ooms([1])  # readable
    assert h.ooms([1]).count.tolist() == [0]
    assert present(h.five_minute([0, 2])) == [MIB, 3 * MIB]


def test_growing_keeps_everything():
    h = history(3)
    h.append([0, 1, 2], [NOW] * 3, [MIB, 2 * MIB, 3 * MIB], NOW)
    h.record_oom([2], NOW, MIB)
    h.record_restart([0], NOW)
    before = [h.checkpoint(row) for row in range(3)]
    h.add_rows(100)
    assert h.capacity >= 103
    assert [h.checkpoint(row) for row in range(3)] == before
    assert np.isnan(h.hourly(np.arange(3, 103))).all()


def test_capacity_grows_by_at_least_half_so_that_adding_is_amortised():
    h = History(Quantity.USAGE, capacity=1024)
    h.add_rows(1025)
    assert h.capacity == 1536


def test_restart_does_not_touch_the_history_or_its_age():
    h = history()
    h.append(0, NOW - DAY / 2, MIB, NOW)
    h.record_restart(0, NOW - 60)
    assert h.first_seen_seconds(0)[0] == NOW - DAY / 2
    assert h.restarts(0).seconds[0, -1] == NOW - 60
    assert present(h.five_minute(0)) == [MIB]


def test_ooms_keep_the_last_eight_in_order_and_count_all():
    h = history(2)
    times = NOW + np.array([-9, -7, -8, -6, -5, -4, -3, -1, -2, 0]) * 60.0
    assert h.record_oom([0] * 10, times, (NOW - times) / 60 * MIB, 2 * MIB) == 10
    assert h.record_oom([0], [times[0]], MIB) == 0, "older than all that are kept: seen before"
    ooms = h.ooms([0, 1])
    assert ooms.seconds[0].tolist() == sorted(times)[-8:]
    assert ooms.limit_bytes[0].tolist() == [at * MIB for at in range(7, -1, -1)]
    assert ooms.usage_bytes[0].tolist() == [2 * MIB] * 8
    assert ooms.count.tolist() == [10, 0]
    assert np.isnan(ooms.seconds[1]).all()


def test_an_oom_reported_again_counts_once_and_completes_what_is_known():
    h = history()
    assert h.record_oom(0, NOW) == 1
    assert h.record_oom(0, NOW, MIB, 2 * MIB) == 0
    ooms = h.ooms(0)
    assert (ooms.limit_bytes[0, -1], ooms.usage_bytes[0, -1], ooms.count[0]) == (MIB, 2 * MIB, 1)


def test_events_of_unknown_rows_and_without_a_time_are_dropped():
    h = history()
    assert h.record_oom([5, -1, 0], [NOW, NOW, np.nan], MIB) == 0
    assert h.record_restart([9], NOW) == 0


# -- the clock -------------------------------------------------------------------------------------------


def test_a_clock_that_jumps_back_is_ignored_and_reported():
    h = history()
    h.append(0, NOW, MIB, NOW)
    assert h.advance(NOW - 3600) is ClockStep.BACKWARD_IGNORED
    assert h.now_seconds == NOW
    assert h.append(0, NOW - 3600, 2 * MIB, NOW - 3600).accepted == 1
    assert present(h.five_minute(0)) == [2 * MIB, MIB]
    assert h.advance(NOW + 1) is ClockStep.SAME


def test_a_clock_that_stays_back_is_believed_and_no_peak_is_lost():
    wrong = NOW + 2 * DAY
    h = history()
    h.append(0, NOW, MIB, NOW)
    h.advance(wrong - 600)  # seen twice, ten minutes apart: believed
    h.append(0, wrong, 9 * MIB, wrong)
    steps = [h.advance(NOW + 60 + at) for at in (0, 300, 599, 600)]
    assert steps == [ClockStep.BACKWARD_IGNORED] * 3 + [ClockStep.REWOUND]
    assert h.now_seconds == NOW + 660
    assert h.five_minute(0, 1)[0, 0] == 9 * MIB, "what was measured under the wrong clock counts as now"
    assert present(h.hourly(0)) == [9 * MIB]
    assert h.append(0, NOW + 700, MIB, NOW + 700).accepted == 1


@pytest.mark.parametrize("ahead", [3700, 7 * DAY, 365 * DAY])
def test_a_jump_forward_is_held_until_the_clock_stays_there(ahead):
    h = history()
    h.append(0, NOW, MIB, NOW)
    year = NOW + ahead
    assert h.advance(year) is ClockStep.FORWARD_HELD
    assert h.append(0, year, 5 * MIB, year).rejected == {Rejection.FUTURE: 1}
    assert h.advance(NOW + 60) is ClockStep.SAME
    assert h.advance(year + 60) is ClockStep.FORWARD_HELD, "doubt begins anew"
    assert present(h.five_minute(0)) == [MIB]
    assert h.advance(year + 660) is ClockStep.MOVED
    assert np.isnan(h.five_minute(0, min(int(ahead // BIN_SECONDS), FIVE_MINUTE_BINS))).all()


@pytest.mark.parametrize("reading", [np.nan, np.inf, -1.0])
def test_a_reading_that_is_no_time_changes_nothing(reading):
    h = history()
    assert h.advance(reading) is ClockStep.INVALID
    assert h.now_seconds == NOW


def test_before_any_reading_there_is_no_present():
    h = History(Quantity.USAGE)
    h.add_rows(1)
    assert np.isnan(h.now_seconds)
    assert np.isnan(h.five_minute(0)).all()
    assert h.advance(NOW) is ClockStep.STARTED


def test_an_append_with_an_invalid_clock_stores_nothing():
    h = History(Quantity.USAGE)
    h.add_rows(1)
    report = h.append(0, NOW, MIB, np.nan)
    assert report.accepted == 0
    assert sum(report.rejected.values()) == 1


def test_windows_have_the_documented_shapes():
    h = history(3)
    assert h.five_minute([0, 2]).shape == (2, FIVE_MINUTE_BINS)
    assert h.hourly([2, 0, 1]).shape == (3, HOURLY_BINS)
    assert h.five_minute([], 5).shape == (0, 5)
    assert h.five_minute([0]).dtype == np.float32


IN_A_PROCESS_OF_ITS_OWN = """
import resource
from pathlib import Path
from plimsoll.usage.history import History
from plimsoll.usage.sample import Quantity

def resident_bytes():
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()

before = resident_bytes()
made = History(Quantity.USAGE, capacity=1_000_000)
few = made.add_rows(10)
made.append(few, [1.7e9] * 10, [2.0**20] * 10, 1.7e9)
print(resident_bytes() - before)
"""


def test_memory_is_in_proportion_to_rows_used():
    # What this process holds moves with whatever other tests left running in it.
    found = subprocess.run(
        [sys.executable, "-c", IN_A_PROCESS_OF_ITS_OWN], capture_output=True, text=True, check=True
    )
    assert 0 < int(found.stdout) < 64 * MIB  # all rows together would be 4.5 GiB
