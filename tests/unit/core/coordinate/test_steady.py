"""Spans are measured right whatever becomes of the wall clock."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plimsoll.coordinate.steady import LONGEST_STEP_SECONDS, ORDINARY_SECONDS, SteadyClock


@given(steps=st.lists(st.floats(-1e6, 1e6), max_size=30))
def test_it_never_goes_back_and_never_leaps(steps):
    clock, now = SteadyClock(), 1_790_000_000.0
    last = clock.read(now)
    for step in steps:
        now += step
        read = clock.read(now)
        assert 0.0 <= read - last <= LONGEST_STEP_SECONDS
        last = read


@pytest.mark.parametrize("leap", [-600.0, 600.0])
def test_a_clock_that_is_set_costs_one_ordinary_second(leap):
    clock = SteadyClock()
    assert clock.read(1000.0) == 1000.0
    assert clock.read(1002.5) == 1002.5
    assert clock.read(1002.5 + leap) == 1002.5 + ORDINARY_SECONDS
    assert clock.read(1004.5 + leap) == 1004.5 + ORDINARY_SECONDS
    assert clock.leaps_total == 1
