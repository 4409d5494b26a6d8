"""Two readings in, rates out; what a kernel tells wrongly or not at all is unknown."""

import math
from dataclasses import fields, replace

import pytest

from builders.pressure import GIB, READING
from plimsoll.pressure.sample import PressureReading, sample_between, values_of

LATER = replace(READING, seconds=102.0)


def test_counters_become_rates_and_levels_shares():
    after = replace(
        LATER,
        allocated_bytes=7 * GIB,
        psi_some_seconds=4.5,
        compactions=13.0,
        refaults=50.0,
        free_bytes=GIB / 4,
    )
    made = sample_between(READING, after)
    assert made.allocation_bytes_per_second == GIB
    assert made.psi_some_ratio == 0.25
    assert (made.compactions, made.refaults_per_second, made.free_ratio) == (3.0, 10.0, 0.25)


@pytest.mark.parametrize("seconds", [100.0, 99.0, -1e9, 100.001, 161.0, 1e12, math.nan, math.inf])
def test_a_clock_that_cannot_be_used_gives_no_sample(seconds):
    assert sample_between(READING, replace(READING, seconds=seconds)) is None


def test_a_counter_that_went_back_is_unknown():
    made = sample_between(READING, replace(LATER, refaults=1.0, oom_kills=0.0))
    assert math.isnan(made.refaults_per_second)
    assert math.isnan(made.oom_kills)
    assert made.compactions == 0.0


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf, -1.0])
@pytest.mark.parametrize("name", [each.name for each in fields(PressureReading)][1:])
def test_a_bad_number_never_becomes_a_finite_lie(name, bad):
    made = sample_between(READING, replace(LATER, **{name: bad}))
    numbers = [number for number in values_of(made)[3:] if not math.isnan(number)]
    assert all(0.0 <= number < math.inf for number in numbers)
    assert math.isnan(sum(values_of(made))) or name == "total_bytes"


def test_a_stall_is_never_more_than_the_time_there_was():
    assert sample_between(READING, replace(LATER, psi_some_seconds=9.0)).psi_some_ratio == 1.0
