"""What an agent has not tried yet neither raises a limit nor lets it fall; whatever rises counts at once."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from plimsoll.coordinate.sought import (
    FIRST_WORD_SECONDS,
    LONGEST_SECONDS,
    MIB,
    REST_SECONDS,
    Searches,
    unsure_bytes,
    waits_for_need,
)

NOW = 1_790_000_000.0
HERE = np.array([3])
amounts = st.integers(0, 1 << 40)


def begun():
    searches = Searches()
    searches.begin(HERE, NOW)
    return searches


def sees(searches, seconds, most_mib, sample_mib=200.0):
    column = (np.array([each * MIB]) for each in (most_mib, sample_mib))
    return bool(searches.see(HERE, *column, NOW + seconds)[0])


@given(usage=amounts, needed=amounts, cache=amounts | st.none(), suffers=st.booleans())
def test_no_more_is_unsure_than_there_is_cache_and_need_and_nothing_of_who_suffers(
    usage, needed, cache, suffers
):
    needed = min(needed, usage)
    unsure = unsure_bytes(usage, needed, cache, suffers=suffers)
    assert 0 <= unsure <= min(needed, cache or 0)
    if suffers or cache is None:
        assert unsure == 0
    else:
        assert needed - unsure <= max(0, usage - cache)  # what is needed in any case is no cache


def test_it_goes_on_while_less_and_less_is_needed():
    searches = begun()
    for minute in range(1, 20):
        assert sees(searches, 60.0 * minute, 200.0 * 0.9**minute)


@pytest.mark.parametrize(("rise_mib", "goes_on"), [(3.0, True), (5.0, False)])
def test_a_rise_beyond_the_margin_of_every_limit_ends_it(rise_mib, goes_on):
    searches = begun()
    assert sees(searches, 10.0, 150.0)
    assert sees(searches, 20.0, 100.0)
    assert sees(searches, 30.0, 100.0 + rise_mib) is goes_on
    assert searches.going_on(HERE)[0] == goes_on
    assert sees(searches, 40.0, 50.0) is goes_on  # it does not begin again


def test_a_rise_in_small_steps_ends_it_too():
    searches = begun()
    assert [sees(searches, 10.0 * step, 100.0 + step) for step in range(7)].index(False) == 5


def test_it_ends_where_the_need_has_come_to_rest():
    searches = begun()
    sees(searches, 0.0, 100.0)
    assert sees(searches, REST_SECONDS - 1.0, 97.0)  # no fall worth a word
    assert not sees(searches, REST_SECONDS, 97.0)


def test_small_falls_add_up():
    searches = begun()
    assert all(sees(searches, 60.0 * minute, 200.0 - minute) for minute in range(50))


def test_it_lasts_an_hour_at_the_most_and_no_clock_that_leaps_makes_it_longer():
    searches = begun()
    assert not sees(searches, LONGEST_SECONDS, 100.0)
    searches = begun()
    assert not sees(searches, -LONGEST_SECONDS, 100.0)


def test_without_a_word_it_waits_and_what_is_used_tells_of_growth():
    searches = begun()
    assert sees(searches, 0.0, 100.0, 120.0)
    assert sees(searches, 2 * REST_SECONDS, np.nan, 110.0)
    assert sees(searches, 3 * REST_SECONDS, np.nan, 113.0)
    assert not sees(searches, 3 * REST_SECONDS + 60.0, np.nan, 115.0)


def test_an_agent_that_comes_back_goes_on_where_it_was():
    searches = begun()
    sees(searches, 0.0, 100.0)
    sees(searches, REST_SECONDS + 60.0, np.nan)
    assert sees(searches, REST_SECONDS + 70.0, 100.0)
    assert not sees(searches, REST_SECONDS + 80.0, 110.0)


def test_what_is_needed_at_the_most_is_the_word_and_without_one_the_sample():
    searches = begun()
    assert np.isnan(searches.most_bytes(HERE)[0])
    sees(searches, 0.0, np.nan, 150.0)
    assert searches.most_bytes(HERE)[0] == 150.0 * MIB
    sees(searches, 10.0, 160.0, 150.0)
    assert searches.most_bytes(HERE)[0] == 160.0 * MIB
    searches.end(HERE)
    assert np.isnan(searches.most_bytes(HERE)[0])


def test_a_first_word_is_awaited_for_minutes_and_only_where_it_is_sought():
    searches = begun()
    assert searches.awaits(HERE, NOW + FIRST_WORD_SECONDS)[0]
    assert not searches.awaits(HERE, NOW + FIRST_WORD_SECONDS + 1.0)[0]
    assert not searches.awaits(np.array([7]), NOW)[0]


def test_places_do_not_disturb_each_other():
    searches, both = Searches(), np.array([0, 1])
    searches.begin(both, NOW)
    searches.see(both, np.array([100.0, 100.0]) * MIB, np.array([100.0, 100.0]) * MIB, NOW)
    going = searches.see(both, np.array([110.0, 90.0]) * MIB, np.array([100.0, 100.0]) * MIB, NOW + 10.0)
    assert going.tolist() == [False, True]


@pytest.mark.parametrize(
    ("limit_mib", "needed_mib", "waits"), [(112, 120, True), (112, 108, True), (112, 107, False)]
)
def test_a_limit_waits_that_is_bound_by_what_seems_needed(limit_mib, needed_mib, waits):
    assert waits_for_need(limit_mib * MIB, needed_mib * MIB) is waits


def test_not_knowing_waits():
    assert waits_for_need(1 << 40, None)
