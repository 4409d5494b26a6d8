"""How sure false alarms are (siblings are alarmed together, so they are drawn together), and what is told."""

import numpy as np
import pytest

from builders.benches import bench_modules
from plimsoll.replay.series import batch_of
from plimsoll.replay.split import Half


def test_siblings_are_drawn_together():
    bench = bench_modules(main="leak").main
    kinds, days = np.full(40, "flat"), np.ones(40)
    alarms = np.repeat([1.0, 0.0], 20)
    alone = bench.Alarms(alarms, days, kinds, np.arange(40).astype(str))
    siblings = bench.Alarms(alarms, days, kinds, np.repeat(["a", "b"], 20))
    by_series, by_group = (bench.alarm_row("leak.x", each, "make bench-leak") for each in (alone, siblings))
    assert by_series.value == by_group.value == 500.0
    assert by_group.low == 0.0
    assert by_group.high == 1000.0
    assert by_series.low > 250.0


def test_no_alarm_is_no_certainty_and_one_group_has_no_interval():
    bench = bench_modules(main="leak").main
    kinds, days = np.full(4, "flat"), np.ones(4)
    none = bench.alarm_row(
        "x", bench.Alarms(np.zeros(4), days, kinds, np.array(list("abcd"))), "make bench-leak"
    )
    assert (none.value, none.low) == (0.0, 0.0)
    assert 740 < none.high < 760  # three over four container-days
    alone = bench.alarm_row("x", bench.Alarms(np.ones(4), days, kinds, np.full(4, "a")), "make bench-leak")
    assert (alone.low, alone.high, alone.groups) == (None, None, 1)


def test_no_more_starts_are_told_than_there_were_and_only_the_last_eight():
    starts = bench_modules(main="leak_starts").main
    all_of_them = np.stack([np.arange(0.0, 1200.0, 100.0), np.full(12, np.nan)])
    known = starts.last_starts(all_of_them, 950.0)
    assert known.shape == (2, 8)
    assert known[0].tolist() == [200.0, 300.0, 400.0, 500.0, 600.0, 700.0, 800.0, 900.0]
    assert np.isnan(known[1]).all()
    assert np.isnan(starts.last_starts(all_of_them, 250.0)[0]).tolist() == [True] * 5 + [False] * 3


def test_a_fall_to_less_than_half_and_a_kill_are_starts_of_their_series_alone():
    starts = bench_modules(main="leak_starts").main
    usage = np.full((2, 400), 4e8)
    usage[0, 200:] = 1e8
    usage[1, 300] = 4e10
    batch = batch_of("made", {"a": usage[0], "b": usage[1]})
    fallen = starts.falls(batch)
    assert fallen[0, 0] == 200 * 300.0
    assert fallen[1, 0] == 301 * 300.0
    killed = starts.kills(batch)
    assert np.isnan(killed[0]).all()
    assert killed[1, 0] == 300 * 300.0


@pytest.mark.parametrize("name", ["settles", "leaks"])
def test_what_thresholds_are_chosen_from_is_not_what_is_judged(name):
    lives, leak = bench_modules(main="leak_lives").main, bench_modules(main="leak").main
    training, judged = (lives.lived(name, 7, half) for half in (Half.TRAINING, Half.JUDGED))
    assert not np.array_equal(training.batch.usage_bytes, judged.batch.usage_bytes)
    again = lives.lived(name, 7, Half.JUDGED)
    assert np.array_equal(again.batch.usage_bytes, judged.batch.usage_bytes)
    both = (leak.made(0.05, half).usage_bytes for half in (Half.TRAINING, Half.JUDGED))
    assert not np.array_equal(*both)


def test_usage_falls_where_a_made_process_starts():
    lived = bench_modules(main="leak_lives").main.lived("leaks", 7, Half.JUDGED)
    for usage, starts in zip(lived.batch.usage_bytes, lived.starts_seconds, strict=True):
        bins = np.ceil(starts[np.isfinite(starts)] / 300.0).astype(int)
        assert len(bins) >= 3
        assert (usage[bins] < usage[bins - 1]).all()
