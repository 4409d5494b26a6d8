"""Replacement policies: against plain ones, optimal where they claim it, causal, and the same every time."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from builders import replacement
from builders.kernels import page_kernels
from builders.pagetraces import mixed_trace, page_trace
from plimsoll.pages.trace import PageTrace

replays = page_kernels()

HEURISTICS = ("lru", "clock", "s3fifo", "arc", "lirs")
CAUSAL = (*HEURISTICS, "plimsoll")
PAGES = st.lists(st.integers(0, 24), min_size=1, max_size=250)
# At least eight pages fit, so this many different ones are needed for a choice.
EIGHT_OF = 8


@pytest.mark.parametrize("policy", HEURISTICS)
@settings(max_examples=60, deadline=None)
@given(pages=PAGES)
def test_does_what_the_plain_one_does(policy, pages):
    replay = replays.replay_pages(page_trace(pages), policy, 0.4)
    victims, misses = getattr(replacement, policy)(pages, replay.capacity_pages)
    assert replay.misses == misses
    assert replay.victims.tolist() == victims


@pytest.mark.parametrize("policy", HEURISTICS)
@pytest.mark.parametrize("fraction", [0.05, 0.3, 0.8])
def test_does_what_the_plain_one_does_at_length(policy, fraction):
    trace = mixed_trace(3, 3000, pages=150)
    replay = replays.replay_pages(trace, policy, fraction)
    victims, misses = getattr(replacement, policy)(trace.page.tolist(), replay.capacity_pages)
    assert (replay.misses, replay.victims.tolist()) == (misses, victims)


@settings(max_examples=40, deadline=None)
@given(pages=st.lists(st.integers(0, 11), min_size=1, max_size=30))
def test_belady_misses_as_little_as_any_choice_of_victims(pages):
    replay = replays.replay_pages(page_trace(pages), "belady", 0.1)
    assert replay.misses == replacement.least_misses(pages, EIGHT_OF)


@pytest.mark.parametrize("policy", [*CAUSAL, "belady"])
@pytest.mark.parametrize("fraction", [0.1, 0.6])
def test_victims_follow_the_contract(policy, fraction):
    trace = mixed_trace(5, 6000)
    replay = replays.replay_pages(trace, policy, fraction)
    assert replay.victims.dtype == np.uint32
    assert replay.capacity_pages == trace.capacity_pages(fraction)
    assert len(replay.victims) == replay.misses - replay.capacity_pages
    assert replays.misses_of(trace, fraction, replay.victims) == (replay.misses, None)


@pytest.mark.parametrize("policy", CAUSAL)
@pytest.mark.parametrize("cut", [3000, 7000, 11_000])
def test_what_comes_later_changes_no_earlier_victim(policy, cut):
    trace = mixed_trace(7, 12_000)
    rng = np.random.default_rng(cut)
    later = rng.permutation(np.arange(cut, len(trace)))
    order = np.concatenate([np.arange(cut), later])
    # Also pages that the trace did not have, as many as leave it: the footprint may be known, the pages not.
    page = trace.page[order].copy()
    page[cut:] += np.uint32(1_000_000) * np.isin(page[cut:], page[:cut], invert=True)
    altered = PageTrace(page, trace.kind[order], trace.gap[order])
    assert altered.footprint_pages == trace.footprint_pages
    before = replays.replay_pages(trace, policy, 0.2)
    victims_by_cut = replays.replay_pages(trace.head(cut), "lru", 0.2)  # only to count misses below
    assert victims_by_cut.misses > 0
    upto = len(victims_upto(trace, before, cut))
    after = replays.replay_pages(altered, policy, 0.2)
    assert upto > 100
    np.testing.assert_array_equal(after.victims[:upto], before.victims[:upto])


def victims_upto(trace, replay, cut):
    """The victims that were named within the first `cut` references."""
    held, named = set(), 0
    for page in trace.page[:cut].tolist():
        if page in held:
            continue
        if len(held) == replay.capacity_pages:
            held.remove(int(replay.victims[named]))
            named += 1
        held.add(page)
    return replay.victims[:named]


@pytest.mark.parametrize("policy", CAUSAL)
def test_the_same_trace_gives_the_same_victims(policy):
    trace = mixed_trace(11, 8000)
    first, second = (replays.replay_pages(trace, policy, 0.15) for _ in range(2))
    np.testing.assert_array_equal(first.victims, second.victims)


def test_a_trace_that_fits_names_no_victim():
    replay = replays.replay_pages(page_trace([1, 2, 3, 1, 2, 3]), "plimsoll", 1.0)
    assert (replay.misses, len(replay.victims)) == (3, 0)


def test_an_unknown_policy_is_told():
    with pytest.raises(ValueError, match="no policy 'fifo'; there are plimsoll, lru"):
        replays.replay_pages(page_trace([1]), "fifo", 0.5)


@pytest.mark.parametrize(
    ("victims", "rule"),
    [
        ([0, 1, 2, 3], None),
        ([0, 1, 2], "victim 3 the victims end there"),
        ([0, 1, 2, 3, 4], "victim 4 and what follows are more"),
        ([0, 1, 99, 3], "victim 2 names a page that the trace does not have"),
        ([0, 0, 2, 3], "victim 1 names a page that is not resident"),
        ([8, 1, 2, 3], "victim 0 names a page that is not resident"),
    ],
)
def test_broken_rules_are_told(victims, rule):
    trace = page_trace(range(12))
    misses, told = replays.misses_of(trace, 0.1, np.array(victims, np.uint32))
    assert (told is None) if rule is None else told.startswith(rule)
    if rule is None:
        assert misses == 12


def adversaries():
    """Traces made against somebody: loops against LRU, what has just changed against whoever learned it."""
    rng = np.random.default_rng(1)
    loop = np.tile(np.arange(60), 150)
    turns = [
        rng.integers(0, 300, 400) if turn % 2 else np.tile(np.arange(turn, turn + 50), 8)
        for turn in range(30)
    ]
    once = np.arange(9000)
    back = np.concatenate([np.concatenate([np.arange(80), np.arange(80)[::-1]]) for _ in range(60)])
    return {"loop": loop, "turns": np.concatenate(turns), "once": once, "back and forth": back}


@pytest.mark.parametrize("name", list(adversaries()))
@pytest.mark.parametrize("fraction", [0.1, 0.5])
def test_the_guard_is_never_much_worse_than_lru(name, fraction):
    trace = page_trace(adversaries()[name].tolist())
    lru = replays.replay_pages(trace, "lru", fraction)
    ours = replays.replay_pages(trace, "plimsoll", fraction)
    # Each change of expert costs at most a memory's worth of misses, and noise some hundredths.
    assert ours.misses <= 1.05 * lru.misses + 2 * lru.capacity_pages


def test_the_guard_gains_where_lru_fails():
    """A loop a fifth longer than memory: LRU misses everything, whoever looks further does not."""
    trace = page_trace(np.tile(np.arange(60), 150).tolist())
    assert replays.replay_pages(trace, "lru", 0.8).misses == len(trace)
    assert replays.replay_pages(trace, "plimsoll", 0.8).misses < 0.6 * len(trace)


def test_learning_shows_as_a_falling_loss():
    found = replays.replay_guarded(mixed_trace(13, 40_000), 80)
    assert found.loss[-3:].mean() < 0.8 * found.loss[0]
    assert found.loss[-3:].mean() < found.age_loss[-3:].mean()
    assert sum(found.followed.values()) == pytest.approx(1.0)
