"""How sure false alarms are: siblings are alarmed together, so they are drawn together."""

import numpy as np

from builders.benches import bench_modules


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
