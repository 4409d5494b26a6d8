"""A row whose processes end early: warm-ups that settle are no leak, growth that goes on is one."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest

from builders.leaks import MIB, NOW_SECONDS, at, look, noisy, window_of
from plimsoll.api.window import Window, parse_window
from plimsoll.forecast.window import BINS_PER_DAY, BINS_PER_HOUR
from plimsoll.leak.death import death_seconds, restart_due
from plimsoll.leak.lives import warms_up
from plimsoll.leak.watch import LeakWatch

HOUR = 3600.0
Shape = Callable[[np.ndarray], np.ndarray]  # hours since a start -> MiB


def warm_up(settles_in_hours: float, rise: float = 300.0) -> Shape:
    """Three times `settles_in_hours` after a start 95 % of the rise is done."""
    return lambda age: 300 + rise * (1 - np.exp(-age / settles_in_hours))


def leak(mib_per_hour: float, start_up: float = 0.0) -> Shape:
    """Steady growth, with a quarter of an hour of start-up before."""
    return lambda age: 300 + start_up * (1 - np.exp(-4 * age)) + mib_per_hour * age


@dataclass(frozen=True, slots=True)
class Lives:
    """Processes of one row that each live as long; `drift` is added from life to life."""

    hours: float
    shape: Shape
    drift: float = 0.0
    days: int = 8
    noise: float = 0.01

    def looks(self) -> list[bool]:
        """What is found at every hour of one life, after all the others."""
        whole = at(24 * self.days)
        usage = noisy(self.shape(whole % self.hours) + self.drift * (whole // self.hours), self.noise)
        starts = np.arange(self.hours, 24 * self.days, self.hours)
        found = []
        for end in range(24 * self.days - int(max(self.hours, 1)), 24 * self.days):
            past = starts[starts < end] * HOUR
            seen = look(usage[: end * BINS_PER_HOUR], past, now_seconds=end * HOUR)
            found.append(bool(seen.leaks[0]))
        return found


HARMLESS = {
    "settles in four hours, restarted every twelve": Lives(12, warm_up(4)),
    "settles in two hours, restarted every twelve": Lives(12, warm_up(2)),
    "settles in two hours and forty minutes, restarted every eight": Lives(8, warm_up(8 / 3)),
    "settles in an hour and twenty minutes, restarted every four": Lives(4, warm_up(4 / 3)),
    "settles in eight hours, deployed every day": Lives(24, warm_up(8)),
    "settles in sixteen hours, deployed every two days": Lives(48, warm_up(16), days=12),
    "a JVM that warms up in ten minutes, deployed every day": Lives(24, warm_up(1 / 6, 900)),
    "a JVM that warms up in half an hour, restarted every hour": Lives(1, warm_up(1 / 6, 900)),
    "a garbage collector's sawtooth, deployed every day": Lives(24, lambda age: 300 + 30 * (age % 7)),
    "flat, deployed every day": Lives(24, lambda age: 300 + 0 * age),
}
LEAKS = {
    "killed after twelve hours, at twice its base": (Lives(12, leak(25)), 1.0),
    "killed after four hours": (Lives(4, leak(75)), 1.0),
    "a start-up peak's worth, then growth, killed after twelve hours": (Lives(12, leak(25, 200)), 1.0),
    # Six hours into a life too little of the last one is left in the window; what was told stays told.
    "replaced by a rollout every day, long before it dies": (Lives(24, leak(12)), 0.6),
    "killed every two days": (Lives(48, leak(10), days=12), 0.6),
    "a warm-up that settles higher from life to life": (Lives(12, warm_up(4), drift=50, days=4), 1.0),
}


@pytest.mark.parametrize("name", HARMLESS)
def test_a_process_that_settles_leaks_in_no_hour_of_its_life(name: str) -> None:
    assert not any(HARMLESS[name].looks())


@pytest.mark.parametrize("name", LEAKS)
def test_a_process_that_goes_on_growing_leaks_in_every_life(name: str) -> None:
    lives, share = LEAKS[name]
    assert np.mean(lives.looks()) >= share


def test_growth_is_told_once_it_is_beyond_what_earlier_processes_settled_at() -> None:
    age = np.concatenate([at(60) % 12, at(32)])
    usage = noisy(np.where(np.arange(len(age)) < 60 * BINS_PER_HOUR, warm_up(3)(age), leak(25)(age)))
    starts = NOW_SECONDS - HOUR * np.array([80, 68, 56, 44, 32])
    told = [look(usage[: (60 + n) * 12], starts, now_seconds=NOW_SECONDS - (32 - n) * HOUR) for n in (11, 32)]
    assert [bool(each.leaks[0]) for each in told] == [False, True]  # at 575 and at 1100 MiB


def test_lives_that_were_cut_short_do_not_outvote_a_long_one_that_settled() -> None:
    age = np.concatenate([at(48), at(16) % 4, at(3)])
    usage = noisy(warm_up(6)(age), 0.002)
    starts = NOW_SECONDS - HOUR * np.array([19, 15, 11, 7, 3])
    assert not look(usage, starts).leaks[0]
    only_short = usage[48 * BINS_PER_HOUR :]
    assert look(only_short, starts).leaks[0]  # nothing shows where it ends


def test_a_first_life_of_four_hours_shows_that_it_settled() -> None:
    age = np.concatenate([at(4), at(2)])
    usage = noisy(warm_up(1)(age), 0.005)
    assert not look(usage, np.array([NOW_SECONDS - 2 * HOUR])).leaks[0]
    growing = noisy(leak(75)(age), 0.005)
    assert look(growing, np.array([NOW_SECONDS - 2 * HOUR])).leaks[0]


@pytest.mark.parametrize(
    "starts",
    [
        np.full((1, 8), np.nan),
        np.full((1, 1), NOW_SECONDS - HOUR),
        NOW_SECONDS + HOUR * np.arange(8.0)[None, :],
        np.full((1, 8), NOW_SECONDS - HOUR),
        NOW_SECONDS - HOUR / 60 * np.arange(8.0, 0.0, -1)[None, :],
    ],
    ids=["none", "one", "in the future", "all the same", "eight in eight minutes"],
)
@pytest.mark.parametrize(
    "usage", [np.full(12 * 48, 400.0), np.full(12 * 48, np.nan)], ids=["flat", "nothing"]
)
def test_starts_of_any_kind_are_survived(starts: np.ndarray, usage: np.ndarray) -> None:
    found = warms_up(window_of(usage), starts, NOW_SECONDS, np.array([1.0]), 0.6, 1.1)
    # Only what came before a row's first start of fewer than eight is a life that ended.
    assert not found[0] or np.isfinite(usage).all()


def restarted(shape: Shape, limit_mib: float, window: Window | None) -> tuple[int, int]:
    """Ten days under `leak.action: Restart`: how often it was restarted, and how often it was killed.

    It was deployed three times, twelve hours apart.
    """
    random, watch, row = np.random.default_rng(5), LeakWatch(1), np.array([0], dtype=np.int32)
    usage, starts, evicted, killed = np.zeros(0), [0.0], 0, 0
    for hour in range(240):
        now = NOW_SECONDS + (hour + 1) * HOUR
        age = hour - starts[-1] + at(1)
        usage = np.append(usage, shape(age) * random.normal(1.0, 0.01, BINS_PER_HOUR))[-28 * BINS_PER_DAY :]
        found = look(usage, NOW_SECONDS + HOUR * np.array(starts[1:]), now_seconds=now)
        told = bool(watch.look(row, found, now).leaks[0])
        present, slope = float(found.present_bytes[0]), float(found.slope[0])
        death = death_seconds(now, present, slope, limit_mib * MIB) if told else None
        if present > limit_mib * MIB:
            killed += 1
        elif restart_due(now, death, window):
            evicted += 1
        elif hour not in (11, 23, 35):
            continue
        starts.append(hour + 1.0)
    return evicted, killed


@pytest.mark.parametrize("window", [None, parse_window("01:00-05:00")], ids=["any time", "by night"])
@pytest.mark.parametrize("settles_in_hours", [1, 2, 4])
def test_a_warm_up_is_not_restarted_again_and_again(settles_in_hours: float, window: Window | None) -> None:
    assert restarted(warm_up(settles_in_hours), 650.0, window) == (0, 0)


def test_a_leak_is_restarted_before_every_death() -> None:
    evicted, killed = restarted(leak(25), 800.0, None)
    assert evicted >= 8
    assert killed <= 1
