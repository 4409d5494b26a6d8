"""What is needed is never guessed: without a fresh word that makes sense, all that is used counts."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from builders.histories import MIB
from plimsoll.pipeline import LimitPipeline
from plimsoll.usage.history import History
from plimsoll.usage.needed import (
    ALONE_HOURS,
    EVERYTHING_HOURS,
    FRESH_SECONDS,
    Basis,
    NeededSince,
    Told,
    Word,
    basis_of,
    known,
    needed_of,
)
from plimsoll.usage.sample import DAY_SECONDS, HOUR_SECONDS, Quantity

NOW = 1_790_000_000.0 // 3600 * 3600
ROW = np.array([0], dtype=np.int32)

anything = st.one_of(st.floats(0, 1e12), st.sampled_from([np.nan, np.inf, -1.0]))
times = st.floats(NOW - 2 * DAY_SECONDS, NOW + 2 * DAY_SECONDS) | st.just(np.nan)


def column(*values):
    return np.array(values, dtype=np.float64)


def word(heard=NOW, used=400.0, usage=500.0, needed=200.0):
    return Word(column(heard), *(column(each * MIB) for each in (used, usage, needed)))


def needed(sample_mib, word, at=NOW, now=NOW):
    return float(needed_of(column(sample_mib * MIB), column(at), word, now)[0]) / MIB


@given(sample=st.floats(0, 1e12), at=times, heard=times, used=anything, usage=anything, need=anything)
def test_a_history_is_told_the_word_and_what_grew_after_it_or_the_sample_itself(
    sample, at, heard, used, usage, need
):
    said = Word(column(heard), column(used), column(usage), column(need))
    told = float(needed_of(column(sample), column(at), said, NOW)[0])
    if not known(said, NOW)[0]:
        assert told == sample
        return
    assert abs(NOW - heard) <= FRESH_SECONDS
    assert 0.0 <= need <= usage
    grown = max(sample - used, 0.0) if not at <= heard else 0.0
    assert told == need + grown


@given(sample=st.floats(0, 1e12), need=st.floats(0, 1e12), more=st.floats(0, 1e12), grown=st.floats(0, 1e12))
def test_more_needed_or_more_used_since_is_never_told_as_less(sample, need, more, grown):
    usage = need + more + 1.0
    at, heard = NOW, NOW - 30.0
    low = Word(column(heard), column(sample), column(usage), column(need))
    high = Word(column(heard), column(sample), column(usage), column(min(need + more, usage)))
    seen, later = (needed_of(column(value), column(at), low, NOW)[0] for value in (sample, sample + grown))
    assert seen <= later
    assert seen <= needed_of(column(sample), column(at), high, NOW)[0]


@given(heard=times, used=anything, usage=anything, need=anything, killed=times, awaited=st.booleans())
def test_the_basis_is_need_only_where_a_word_is_known_and_no_kill_is_young(
    heard, used, usage, need, killed, awaited
):
    said = Word(column(heard), column(used), column(usage), column(need))
    code = Basis(int(basis_of(said, column(killed), np.array([awaited]), NOW)[0]))
    young = abs(NOW - killed) <= DAY_SECONDS
    assert (code is Basis.KILLED) == young
    if not young:
        assert code.needed == bool(known(said, NOW)[0])


def test_a_sample_older_than_the_word_shows_no_growth_after_it():
    assert needed(450.0, word(), at=NOW - 60.0) == 200.0
    assert needed(450.0, word(heard=NOW - 60.0)) == 250.0


@pytest.mark.parametrize(
    "said",
    [
        word(heard=NOW - FRESH_SECONDS - 1.0),
        word(heard=NOW + FRESH_SECONDS + 1.0),
        word(needed=501.0),
        word(needed=-1.0),
        word(needed=np.nan),
        word(usage=np.nan),
        word(used=np.nan),
    ],
)
def test_a_word_that_is_old_or_makes_no_sense_leaves_usage(said):
    assert needed(450.0, said) == 450.0
    assert basis_of(said, column(np.nan), np.array([False]), NOW)[0] in (Basis.STALE, Basis.UNTOLD)


def test_who_stalls_or_refaults_needs_all_it_has_and_the_basis_rises_with_it():
    """The agent tells need = usage then (`pages.working_set.need`); nothing here takes that away."""
    assert needed(500.0, word(needed=500.0, used=500.0)) == 500.0


def test_a_word_without_need_leaves_the_one_before_it_to_grow_old():
    told = Told()
    told.take(ROW, word(heard=NOW - 60.0))
    told.take(ROW, word(needed=np.nan))
    assert told.of(ROW).heard_seconds[0] == NOW - 60.0
    told.forget(ROW)
    assert np.isnan(told.of(ROW).needed_bytes[0])


def codes(code):
    return np.array([code], dtype=np.int8)


def test_a_forecast_looks_at_need_alone_once_it_has_been_known_for_a_day():
    past = NeededSince()
    past.observe(ROW, codes(Basis.NEEDED), NOW)
    at = NOW + (ALONE_HOURS - 1) * HOUR_SECONDS
    past.observe(ROW, codes(Basis.NEEDED), at)
    assert past.hours(ROW, at)[0] == EVERYTHING_HOURS
    assert past.hours(ROW, NOW + ALONE_HOURS * HOUR_SECONDS)[0] == ALONE_HOURS - 1


@pytest.mark.parametrize("code", [Basis.UNASKED, Basis.KILLED])
def test_another_policy_or_a_kill_ends_it_at_once(code):
    past = NeededSince()
    past.observe(ROW, codes(Basis.NEEDED), NOW)
    past.observe(ROW, codes(code), NOW + 60.0)
    assert not past.known(ROW)[0]
    assert past.learned(0) == {}


def test_a_day_without_a_word_ends_it_and_less_does_not():
    past = NeededSince()
    past.observe(ROW, codes(Basis.NEEDED), NOW)
    past.observe(ROW, codes(Basis.STALE), NOW + DAY_SECONDS)
    assert past.known(ROW)[0]
    past.observe(ROW, codes(Basis.STALE), NOW + DAY_SECONDS + 1.0)
    assert not past.known(ROW)[0]


def test_a_checkpoint_keeps_since_when_and_nonsense_in_it_is_not_known():
    first, second = (LimitPipeline(History(Quantity.WORKING_SET, 4)) for _ in range(2))
    for each in (first, second):
        each.history.add_rows(1)
        each.history.advance(NOW)
    first.needed.observe(ROW, codes(Basis.NEEDED), NOW)
    second.restore(0, first.checkpoint(0))
    assert second.needed.learned(0) == {"since": NOW, "last": NOW}
    second.needed.forget(ROW)
    for numbers in ({}, {"since": NOW}, {"since": NOW, "last": NOW - 1.0}, {"since": -5.0, "last": NOW}):
        second.needed.relearn(0, numbers)
        assert not second.needed.known(ROW)[0]


def test_without_needed_memory_a_checkpoint_is_as_it_was():
    pipeline = LimitPipeline(History(Quantity.WORKING_SET, 4))
    pipeline.history.add_rows(1)
    pipeline.history.advance(NOW)
    assert pipeline.checkpoint(0) == pipeline.history.checkpoint(0)
