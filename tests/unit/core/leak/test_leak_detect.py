"""What is a leak and what is not: known shapes, restarts, bad input, and what is told of it."""

import numpy as np
import pytest

from builders.leaks import MIB, NOW_SECONDS, at, look, noisy, window_of
from plimsoll.forecast.window import UsageWindow
from plimsoll.leak.detect import Findings, find_leaks
from plimsoll.leak.watch import LeakWatch


def after(values: np.ndarray, start: float) -> np.ndarray:
    return np.maximum(values - start, 0.0)


LEAKS = {
    "5 % an hour for a day": noisy(400 + 20 * after(at(72), 48)),
    "20 % an hour for ten hours": noisy(400 + 80 * after(at(72), 62)),
    "1 % an hour for three days, by day and night": noisy(
        400 + 4 * after(at(144), 72) + 40 * np.sin(at(144) * np.pi / 12)
    ),
    "a young one": noisy(400 + 10 * at(20), 0.002),
}
HARMLESS = {
    "flat": noisy(np.full(len(at(96)), 400.0)),
    "zero": np.zeros(len(at(96))),
    "nothing seen": np.full(len(at(96)), np.nan),
    "one hour": np.full(12, 400.0),
    "a daily pattern, at its height": 400 + 150 * np.sin((at(96) - 2) * np.pi / 12),
    "a daily pattern that climbs all day": 400 + 10 * (at(96) % 24),
    "a spike now": np.where(at(96) > 95, 4000.0, 400.0),
    "a step yesterday": np.where(at(96) > 72, 800.0, 400.0),
    "a warm-up that has levelled off": 800 - 400 * np.exp(-at(96)[: 36 * 12] / 4),
    "a Monday after a weekend": np.where(
        (at(672) // 24) % 7 >= 5, 400.0, 700 + 100 * np.sin(at(672) * np.pi / 12)
    )[: (672 - 8 * 24 + 14) * 12],
    "garbage collection": 400 + 10 * (at(96) % 7),
    "falling": noisy(4000 - 20 * at(96)),
}


@pytest.mark.parametrize("name", LEAKS)
def test_leaks_are_found(name: str) -> None:
    assert look(LEAKS[name]).leaks.tolist() == [True]


@pytest.mark.parametrize("name", HARMLESS)
def test_what_is_no_leak_is_not_found(name: str) -> None:
    assert look(HARMLESS[name]).leaks.tolist() == [False]


def test_the_slope_is_the_leaks_with_an_interval_around_it() -> None:
    found = look(LEAKS["5 % an hour for a day"])
    true = 20 * MIB / 3600
    assert found.slope[0] == pytest.approx(true, rel=0.1)
    assert found.slope_low[0] <= true <= found.slope_high[0]


def test_restarts_reset_the_process_but_not_the_history() -> None:
    usage = noisy(400 + 40 * (at(72) % 8), 0.005)
    starts = NOW_SECONDS - 3600.0 * 8 * np.arange(8, 0, -1)
    assert look(usage, starts).leaks.tolist() == [True]
    assert look(usage).leaks.tolist() == [False]  # without a restart it is a process that gives memory back


def test_a_restart_in_the_future_or_a_clock_that_went_back_changes_nothing() -> None:
    later = NOW_SECONDS + 86_400.0 * np.arange(1, 9)
    assert look(LEAKS["5 % an hour for a day"], later).leaks.tolist() == [True]
    assert look(HARMLESS["flat"], later).leaks.tolist() == [False]


def test_a_longer_window_waits_longer() -> None:
    usage = LEAKS["5 % an hour for a day"]
    assert look(usage, hours=168).leaks.tolist() == [False]
    assert look(noisy(400 + 20 * at(240)), hours=168).leaks.tolist() == [True]


@pytest.mark.parametrize("hours", [1, 2, 5, 24, 47, 672])
def test_every_window_that_a_policy_may_name_is_survived(hours: int) -> None:
    found = look(noisy(np.full(len(at(72)), 400.0)), hours=hours)
    assert found.leaks.tolist() == [False]


def test_rows_are_judged_alone_and_by_their_own_windows() -> None:
    usages = [*LEAKS.values(), *HARMLESS.values()]
    parts = [window_of(usage) for usage in usages]
    whole = UsageWindow(
        np.concatenate([each.recent_bytes for each in parts]),
        np.concatenate([each.hourly_bytes for each in parts]),
    )
    hours = np.full(len(parts), 24, dtype=np.int32)
    hours[0] = 168
    found = find_leaks(whole, np.full((len(parts), 8), np.nan), NOW_SECONDS, hours)
    assert found.leaks.tolist() == [False, *[True] * (len(LEAKS) - 1), *[False] * len(HARMLESS)]


def finding(*, leaks: bool, growing: bool = False) -> Findings:
    some = np.full(1, 1.0)
    return Findings(np.array([leaks]), np.array([growing]), some, some, some, some)


def test_a_leak_is_told_at_the_second_look_and_goes_after_six() -> None:
    watch, rows = LeakWatch(1), np.array([0], dtype=np.int32)
    looks = [False, True, True, *[False] * 6, True]
    told = [
        bool(watch.look(rows, finding(leaks=leaks), 3600.0 * hour).leaks[0])
        for hour, leaks in enumerate(looks)
    ]
    assert told == [False, False, *[True] * 6, False, False]


def test_growth_that_goes_on_keeps_a_leak_told() -> None:
    watch, rows = LeakWatch(1), np.array([0], dtype=np.int32)
    watch.look(rows, finding(leaks=True), 0.0)
    told = [watch.look(rows, finding(leaks=False, growing=True), 3600.0 * hour) for hour in range(1, 12)]
    assert all(each.leaks[0] and each.since_seconds[0] == 0.0 for each in told)


def test_after_a_restart_of_ours_the_first_look_tells_and_a_forgotten_row_is_new() -> None:
    watch, rows = LeakWatch(1), np.array([5], dtype=np.int32)
    assert watch.look(rows, finding(leaks=True), 0.0).leaks[0]
    watch.forget(rows)
    assert not watch.look(rows, finding(leaks=False), 1.0).leaks[0]
