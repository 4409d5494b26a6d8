"""The bench of steering: which fleets it replays, and which of their bins count."""

import argparse

import numpy as np
import pytest

from builders.benches import bench_modules
from plimsoll.recommend.steering import Gains
from plimsoll.replay.split import Half

MIB = 2**20


@pytest.fixture(scope="module")
def bench():
    """The bench as `python bench/steering.py` has it."""
    return bench_modules(main="steering").main


def asked(bench, half=None, gain=(), start_factor=()):
    options = argparse.Namespace(half=half, gain=list(gain), start_factor=list(start_factor))
    return list(bench.asked_cases(options))


def test_unasked_it_has_what_ships_on_the_judged_half_and_what_gains_were_chosen_from(bench):
    assert asked(bench) == []
    cases = list(bench.all_cases())
    judged = [case for case in cases if case.half is Half.JUDGED]
    assert {(case.objective, case.gain) for case in judged} == {
        ("slack:0.268", None),
        ("slack:0.268", Gains().slack),
        ("oom:75", None),
        ("oom:75", Gains().kills),
    }
    chosen_from = [case for case in cases if case.half is Half.TRAINING and case.objective == "slack:0.268"]
    assert {case.start_factor for case in chosen_from} == {0.25, 1.0, 4.0}
    assert len({case.name for case in cases}) == len(cases)


def test_what_is_asked_for_is_all_there_is(bench):
    cases = asked(bench, Half.TRAINING, gain=[0.35], start_factor=[0.25, 4.0])
    assert {(case.gain, case.start_factor) for case in cases} == {
        (gain, start) for gain in (None, 0.35) for start in (0.25, 4.0)
    }
    assert {case.half for case in cases} == {Half.TRAINING}
    assert {case.gain for case in asked(bench, Half.JUDGED)} == {None, Gains().slack, Gains().kills}


def test_a_case_is_priced_and_steered_as_it_says(bench):
    brain = bench.Brain(table={"oom_price": [1.0, 9.0], "slack": [0.2, 0.3], "oom_per_1000_cd": [90, 10]})
    wrong = bench.Case(Half.TRAINING, "slack:0.2", 0.35, 4.0)
    made = bench.recommender(None, wrong, brain)
    assert made.policy.oom_price == pytest.approx(4.0)
    assert made.policy.asked == ("slack", 0.2)
    assert made.settings.gains == Gains(slack=0.35)
    kills = bench.recommender(None, bench.Case(Half.TRAINING, "oom:90", 0.3), brain)
    assert kills.settings.gains == Gains(kills=0.3)
    assert bench.recommender(None, bench.Case(Half.TRAINING, "slack:0.2", None), brain).policy.asked is None


def test_only_seen_bins_from_the_first_on_of_series_that_are_scored_count(bench):
    usage = np.full((3, 40), 100.0 * MIB)
    usage[0, 20] = np.nan
    usage[1] = 8 * MIB  # idle
    counted = bench.within(usage, np.array([15, 15, 30]))
    assert counted.sum(axis=1).tolist() == [24, 0, 0]  # the last has too few
    assert not counted[0, :15].any()
