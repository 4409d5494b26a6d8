"""Reclaim within a refault budget: safety first, then its account."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from builders.epochviews import program, turncoat, view_of
from plimsoll.pages.epochs import EpochBits, EpochView
from plimsoll.pages.plan import GRACE_EPOCHS, BudgetedReclaim, coldness
from plimsoll.replay.epochs import replay_epochs
from plimsoll.replay.epochs_score import score_epochs, violations


def replayed(view, target=0.01):
    return replay_epochs(view, BudgetedReclaim(view.page, target))


def test_reclaims_what_was_touched_once() -> None:
    view = turncoat(lull=1000)
    score = score_epochs(view, replayed(view))
    assert score.refaults == 0
    assert score.reclaimed > 0.2


@pytest.mark.parametrize("target", [0.005, 0.01, 0.05])
@pytest.mark.parametrize("lull", [50, 80, 130])
def test_a_trace_that_turns_against_it_costs_no_more_than_the_budget_allows(lull, target) -> None:
    view = turncoat(lull)
    score = score_epochs(view, replayed(view, target))
    assert 0 < score.refault_rate <= 1.5 * target


def test_memory_of_one_age_goes_in_parts_and_not_only_once_all_of_it_may() -> None:
    """A hot tenth, and nine tenths that nobody touches after the start: no level is older than another."""
    accessed = np.zeros((120, 1000), np.bool_)
    accessed[0] = True
    accessed[:, :100] = True
    view = view_of(accessed)
    replay = replayed(view)
    gone = np.bincount(replay.epoch, minlength=120)
    assert 0 < gone[:60].sum() < 900
    # What may come back at once stays within what the account overdraws, at the chance that is left for it.
    assert (replay.at >= 100).all()
    assert gone.cumsum()[40] <= 1.5 * 0.01 * 100 * 400


@pytest.mark.parametrize("target", [0.001, 0.002])
def test_stops_while_the_account_is_overdrawn(target) -> None:
    view = turncoat(80)
    policy = BudgetedReclaim(view.page, target)
    resident = np.zeros(len(view.page), np.bool_)
    overdrawn = taken = 0
    for accessed, written in zip(view.accessed, view.written, strict=True):
        resident |= accessed
        chosen = policy.step(EpochBits(accessed, written, resident.copy()))
        resident[chosen] = False
        taken += len(chosen)
        if policy.account.per_epoch() <= 0:
            overdrawn += 1
            assert not len(chosen)
    assert taken
    assert overdrawn


def test_a_missing_or_empty_epoch_holds_and_changes_nothing() -> None:
    view = program(1)
    plain, gapped = (BudgetedReclaim(view.page, 0.05) for _ in range(2))
    out = np.zeros(300, np.bool_)
    touched = out.copy()
    for accessed, written in zip(view.accessed, view.written, strict=True):
        out &= ~accessed
        touched |= accessed
        bits = EpochBits(accessed, written, touched & ~out)
        assert not len(gapped.step(None))
        assert not len(gapped.step(EpochBits(accessed & False, written & False, touched & ~out)))
        chosen = plain.step(bits)
        assert gapped.step(bits).tolist() == chosen.tolist()
        out[chosen] = True
    assert out.any()


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 119), st.sampled_from([0.005, 0.02, 0.2]))
def test_later_epochs_and_pages_change_nothing_earlier(seed, at, target) -> None:
    view = program(seed)
    rng = np.random.default_rng(seed + 1)
    accessed, page = view.accessed.copy(), view.page.astype(np.int64)
    accessed[at:] = rng.random(accessed[at:].shape) < 0.3
    unseen = ~accessed[:at].any(axis=0)
    page[unseen] = 30_000 + np.arange(unseen.sum())
    order = np.argsort(page)
    other = EpochView(page[order].astype(np.uint32), accessed[:, order], view.written[:, order])
    before, after = replayed(view, target), replayed(other, target)
    assert decided(view, before, at) == decided(other, after, at)


def decided(view, replay, before):
    rows = zip(replay.epoch.tolist(), view.page[replay.at].tolist(), strict=True)
    return sorted((epoch, page) for epoch, page in rows if epoch < before)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from([0.005, 0.02, 0.2]))
def test_keeps_to_the_contract(seed, target) -> None:
    view = program(seed)
    assert violations(view, replayed(view, target)) == []


def test_a_page_that_came_back_untouched_is_left_alone_for_a_while() -> None:
    view = turncoat(lull=1000, epochs=200)
    policy = BudgetedReclaim(view.page, 0.05)
    resident = np.ones(1000, np.bool_)
    for accessed in view.accessed:
        chosen = policy.step(EpochBits(accessed, accessed, resident))
        if len(chosen):
            break
    assert len(chosen)
    for _ in range(GRACE_EPOCHS + 1):  # resident all the same: the page-out failed, or was undone
        again = policy.step(EpochBits(view.accessed[1], view.accessed[1], resident))
        assert not np.isin(chosen, again).any()
    assert policy.account.spent == 0


def test_age_makes_cold_and_use_and_busy_areas_make_warm() -> None:
    age, count, busy = np.array([10, 80]), np.array([1, 1]), np.zeros(2)
    assert np.diff(coldness(age, count, busy)) > 0
    assert (coldness(age, count * 50, busy) < coldness(age, count, busy)).all()
    assert (coldness(age, count, busy - 8) > coldness(age, count, busy)).all()


def test_nothing_goes_out_where_every_page_is_needed() -> None:
    assert not len(replayed(view_of(np.ones((100, 50), np.bool_))).at)


def test_a_process_that_grows_and_shrinks_is_followed_page_by_page() -> None:
    view = turncoat(lull=1000, epochs=120)
    grown, alone = BudgetedReclaim(view.page[::2], 0.05), BudgetedReclaim(view.page[::2], 0.05)
    half = np.zeros(len(view.page), np.bool_)
    half[::2] = True
    for epoch, accessed in enumerate(view.accessed):
        if epoch == 60:
            grown.follow(view.page, np.zeros(len(view.page), np.bool_))
        if epoch == 90:
            grown.follow(view.page[::2], np.zeros(half.sum(), np.bool_))
        seen = accessed[half]
        expected = alone.step(EpochBits(seen, seen, ~alone.out | seen))
        if 60 <= epoch < 90:  # the other half is mapped, and neither resident nor touched
            whole = accessed & half
            found = grown.step(EpochBits(whole, whole, (~grown.out | whole) & half))
            assert half[found].all()
            assert (found // 2).tolist() == expected.tolist()
        else:
            assert grown.step(EpochBits(seen, seen, ~grown.out | seen)).tolist() == expected.tolist()
    assert grown.out.any()


def test_what_is_in_memory_when_it_is_first_seen_counts_as_touched_then() -> None:
    view = turncoat(lull=1000, epochs=200)
    pages = len(view.page)
    policy = BudgetedReclaim(view.page, 0.05)
    page = np.append(view.page, view.page[-1] + np.arange(1, 101, dtype=view.page.dtype))
    policy.step(EpochBits(view.accessed[0], view.accessed[0], np.ones(pages, np.bool_)))
    policy.follow(page, np.ones(pages + 100, np.bool_))
    assert policy.touched[pages:].all()
    taken = np.zeros(pages + 100, np.bool_)
    for accessed in view.accessed[1:]:
        bits = np.append(accessed, np.zeros(100, np.bool_))
        taken[policy.step(EpochBits(bits, bits, ~taken | bits))] = True
    assert taken[pages:].all()


def test_what_was_not_taken_after_all_is_offered_again() -> None:
    view = turncoat(lull=1000, epochs=200)
    policy = BudgetedReclaim(view.page, 0.05)
    offers = [policy.decide(EpochBits(each, each, np.ones(1000, np.bool_))) for each in view.accessed]
    first = next(each for each in offers if len(each))
    assert np.isin(first, offers[-1]).all()
    assert not policy.out.any()


def test_the_target_may_change_while_it_runs() -> None:
    policy = BudgetedReclaim(np.arange(10, dtype=np.uint32), 0.01)
    policy.account.record(1000, 5)
    before = policy.account.allowance()
    policy.account.aim_at(0.02)
    assert policy.account.allowance() == pytest.approx(2 * before)
    assert policy.account.spent == 5
    with pytest.raises(ValueError, match="not between 0 and 1"):
        policy.account.aim_at(0.0)
