"""What may be taken on trial: how it grows, what ends it, and how long it then waits."""

import math
from itertools import pairwise

import pytest

from plimsoll.api.effective import Importance
from plimsoll.pages.control_probe import (
    FIRST_REST_SECONDS,
    LONGEST_REST_SECONDS,
    MOST_RATIO,
    SETTLED_SECONDS,
    SLACK_BYTES,
    Probe,
    ReadBackRate,
)

MIB = 1 << 20
USAGE = 1000 * MIB
TICK = 10.0


class Lived:
    """A probe that is used as often as it may be."""

    def __init__(self, doublings: int = 1) -> None:
        self.probe, self.now, self.doublings = Probe(), 0.0, doublings
        self.loans: list[tuple[float, float]] = []

    def live(self, seconds: float, share: float = 1.0) -> list[float]:
        """Sizes of the loans of so many seconds."""
        sizes = []
        for _ in range(round(seconds / TICK)):
            self.now += TICK
            self.probe.see(TICK, 0.0, 0.0, doublings=self.doublings)
            if not self.probe.waits:
                size = self.probe.size_bytes(USAGE, MOST_RATIO[Importance.NORMAL])
                self.probe.took(size, share * size)
                sizes.append(size / MIB)
                self.loans.append((self.now, size))
        return sizes

    def miss(self, bytes_: float = 10 * MIB, age: float = 0.0) -> float:
        """Let too much come back; returns how long nothing is lent."""
        self.now += TICK
        assert self.probe.see(TICK, bytes_, 0.0, age)
        began = self.now
        while not self.live(TICK):
            assert self.now - began <= LONGEST_REST_SECONDS
        return self.now - began


def test_one_stands_out_at_a_time_and_each_clean_window_doubles_the_next_up_to_a_share_of_usage():
    lived = Lived()
    assert lived.live(420) == [10.0, 20.0, 40.0, 80.0, 100.0, 100.0, 100.0]
    gaps = [after[0] - before[0] for before, after in pairwise(lived.loans)]
    assert set(gaps) == {FIRST_REST_SECONDS}


def test_the_bolder_comes_sooner_to_the_same_largest_loan():
    lived = Lived(doublings=3)
    assert lived.live(240) == [10.0, 80.0, 100.0, 100.0]
    lived.miss()
    assert lived.loans[-1][1] == 10.0 * MIB  # whoever is bold begins anew with the first, too


def test_a_small_container_is_asked_for_a_mebibyte_and_never_for_more_than_its_share():
    probe = Probe()
    assert probe.size_bytes(20 * MIB, 0.10) == MIB
    assert probe.size_bytes(4 * MIB, 0.02) == 0.02 * 4 * MIB


def test_who_could_take_only_a_little_has_tried_no_more():
    assert Lived().live(180, share=0.3) == [10.0, 10.0, 10.0]


def test_as_soon_as_more_comes_back_than_was_earned_the_next_is_the_first_again():
    lived = Lived()
    lived.live(300)
    assert not lived.probe.see(1.0, 5.0 * MIB, 5.0 * MIB)
    assert not lived.probe.see(1.0, SLACK_BYTES, 0.0)
    assert lived.probe.see(1.0, SLACK_BYTES, 0.0)
    assert lived.probe.size_bytes(USAGE, MOST_RATIO[Importance.NORMAL]) == 10 * MIB
    assert lived.probe.lent_bytes == 0.0


def test_each_rest_is_twice_as_long_and_as_long_as_what_came_back_had_been_out():
    lived = Lived()
    assert [lived.miss() for _ in range(3)] == [60.0, 120.0, 240.0]
    assert lived.miss(age=1800.0) == 1800.0
    assert lived.miss(age=60.0) == 3600.0
    assert lived.miss(age=math.inf) == LONGEST_REST_SECONDS


def test_after_a_rest_windows_are_as_long_and_each_clean_one_halves_the_next():
    lived = Lived()
    lived.miss(age=960.0)
    lived.live(4 * 960.0)
    times = [seconds for seconds, _ in lived.loans]
    gaps = [after - before for before, after in pairwise(times)]
    assert gaps[:6] == [960.0, 480.0, 240.0, 120.0, 60.0, 60.0]


def test_what_comes_back_in_a_row_is_one_rest():
    lived = Lived()
    for _ in range(49):
        assert lived.probe.see(1.0, MIB, 0.0)
    assert lived.probe.misses_total == 1
    lived.probe.see(FIRST_REST_SECONDS - 48.0, 0.0, 0.0)
    assert not lived.probe.waits


def test_after_a_day_without_a_miss_the_rest_is_a_short_one_again():
    lived = Lived()
    lived.miss(age=7200.0)
    lived.probe.see(SETTLED_SECONDS + 7200.0, 0.0, 0.0)
    assert lived.miss() == FIRST_REST_SECONDS


def test_a_stall_makes_the_next_the_first_again_without_a_rest():
    lived = Lived()
    lived.live(300)
    lived.probe.begin_small()
    assert not lived.probe.waits
    assert lived.probe.size_bytes(USAGE, MOST_RATIO[Importance.NORMAL]) == 10 * MIB


def test_the_rate_of_reading_back_is_what_came_back_for_each_second_stalled():
    rate = ReadBackRate()
    assert rate.bytes_within(1.0) == math.inf
    rate.see(10.0, MIB / 2, 0.1)
    assert rate.bytes_within(1.0) == math.inf  # too little to tell
    rate.see(10.0, 0.0, 5.0)  # nothing was read back: a stall of something else
    rate.see(10.0, 4.5 * MIB, 0.4)
    assert rate.bytes_within(0.6) == pytest.approx(6 * MIB, rel=0.01)


def test_who_never_stalls_for_what_comes_back_is_not_held_up():
    rate = ReadBackRate()
    rate.see(10.0, 100 * MIB, 0.0)
    assert rate.bytes_within(0.6) == math.inf
