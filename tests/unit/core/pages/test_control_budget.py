import math

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from plimsoll.api.effective import Importance
from plimsoll.api.reclaim import Reclaim
from plimsoll.pages.control_budget import (
    HELD_SECONDS,
    LATELY_SECONDS,
    LEAST_RETURN_RATIO,
    PRIOR_RETURN_RATIO,
    SAVED_SECONDS,
    RefaultBudget,
)
from plimsoll.pages.control_probe import FIRST_BYTES, FIRST_RATIO, MOST_RATIO, SLACK_BYTES

MIB = float(1 << 20)


def fed(seconds: int, touched: float, returned: float = 0.0) -> RefaultBudget:
    budget = RefaultBudget(0.01)
    for _ in range(seconds):
        budget.enter(1.0, touched, returned)
    return budget


def test_what_is_touched_earns_up_to_a_bound():
    assert fed(10, 100 * MIB).balance_bytes == pytest.approx(10 * MIB)
    assert fed(10_000, 100 * MIB).balance_bytes == pytest.approx(SAVED_SECONDS * MIB)


def test_what_comes_back_spends_and_a_debt_allows_nothing():
    budget = fed(10, 100 * MIB)
    budget.enter(1.0, 100 * MIB, 30 * MIB)
    assert budget.balance_bytes == pytest.approx(-19 * MIB)
    assert budget.allowance_bytes() == 0.0
    assert not budget.is_deep_in_debt
    budget.enter(1.0, 100 * MIB, 60 * MIB)
    assert budget.is_deep_in_debt


def test_a_debt_is_forgiven_at_last():
    budget = fed(100, 100 * MIB)
    budget.enter(1.0, 100 * MIB, 1e6 * MIB)
    for _ in range(3600):
        budget.enter(1.0, 100 * MIB, 0.0)
    assert budget.balance_bytes > 0


def test_nobody_is_trusted_before_something_was_seen_and_everyone_after():
    budget = fed(100, 100 * MIB)
    first = budget.allowance_bytes()
    assert first == pytest.approx(100 * MIB / 0.5, rel=0.05)
    for _ in range(200):
        budget.took(20 * MIB)
        budget.enter(10.0, 1000 * MIB, 0.0)
    assert LEAST_RETURN_RATIO <= budget.return_ratio < 0.05
    assert budget.allowance_bytes() > 2 * first


def test_what_was_just_taken_is_reserved_for():
    budget = fed(100, 100 * MIB)
    budget.took(budget.allowance_bytes())
    assert budget.allowance_bytes() < 100 * MIB * 0.2
    assert budget.allowance_bytes(0.25) == 0.0


def test_a_container_that_returns_all_is_allowed_no_more_than_its_balance():
    budget = fed(100, 100 * MIB)
    for _ in range(50):
        budget.took(20 * MIB)
        budget.enter(1.0, 100 * MIB, 20 * MIB)
    assert budget.return_ratio > 0.9
    assert budget.allowance_bytes() <= max(0.0, budget.balance_bytes) / 0.9


def test_nothing_seen_means_half_comes_back_and_what_stays_out_pays_for_the_next_take():
    budget = RefaultBudget(0.01)
    assert budget.return_ratio == pytest.approx(PRIOR_RETURN_RATIO)
    budget.took(100 * MIB)
    said = []
    for _ in range(6):
        for _ in range(6):
            budget.enter(600.0, 0.0, 0.0)
        said.append(budget.return_ratio)
    assert said == sorted(said, reverse=True)
    assert said[0] < 0.02
    assert said[-1] < 0.005


def test_an_idle_container_can_owe_and_its_whole_memory_pays_once_nothing_comes_back():
    budget = RefaultBudget(0.01)
    budget.took(100 * MIB)
    budget.enter(10.0, 0.0, 100 * MIB, usage_bytes=132 * MIB)
    assert budget.balance_bytes == pytest.approx(-100 * MIB, rel=0.01)
    assert budget.is_deep_in_debt
    assert not budget.may_borrow
    assert budget.still_returns
    for _ in range(math.ceil(LATELY_SECONDS / 60.0)):
        budget.enter(60.0, 0.0, 0.0, usage_bytes=132 * MIB)
    assert budget.balance_bytes < -99 * MIB  # not while it may go on
    seconds = 0.0
    while not budget.may_borrow:
        budget.enter(60.0, 0.0, 0.0, usage_bytes=132 * MIB)
        seconds += 60.0
    assert seconds == pytest.approx(100 / 132 * HELD_SECONDS / 0.01, rel=0.1)


def test_an_idle_container_saves_no_more_than_a_little():
    budget = RefaultBudget(0.01)
    budget.took(1000 * MIB)
    for _ in range(1000):
        budget.enter(10.0, 0.0, 0.0)
    assert SLACK_BYTES <= budget.balance_bytes <= 11 * MIB
    rich = RefaultBudget(0.01, balance_bytes=100 * MIB)
    rich.enter(10.0, 0.0, 0.0)
    assert rich.balance_bytes == SLACK_BYTES


def test_depth_ends_where_it_would_come_back_faster_than_it_earns():
    budget = fed(600, 100 * MIB)
    for _ in range(400):
        budget.took(budget.allowance_bytes())
        budget.enter(10.0, 1000 * MIB, budget.out_bytes * -math.expm1(-10.0 / 1200.0))
    returned = budget.out_bytes / 1200.0
    assert 0.3 * MIB <= returned <= 1.05 * MIB  # it earns 1 MiB a second


def test_how_long_what_came_back_had_been_out():
    budget = RefaultBudget(0.01)
    budget.took(100 * MIB)
    for _ in range(60):
        budget.enter(10.0, 0.0, 0.0)
    budget.enter(10.0, 0.0, 10 * MIB)
    assert budget.age_back_seconds == pytest.approx(0.1 * 610.0, rel=0.02)
    budget.enter(10.0, 0.0, 90 * MIB)
    assert budget.age_back_seconds == pytest.approx(620.0, rel=0.02)
    budget.enter(10.0, 0.0, 0.0)
    assert budget.age_back_seconds == 0.0


MEMORY = 128 * MIB


@given(
    steps=st.lists(
        st.tuples(st.floats(1.0, 120.0), st.floats(0.0, 1.0), st.floats(0.0, 1.0), st.booleans()),
        max_size=60,
    ),
    ratio=st.floats(0.001, 0.1),
)
@example(steps=[(10.0, 1.0, 0.0, True), (10.0, 0.0, 1.0, False), (120.0, 0.0, 0.0, False)] * 200, ratio=0.01)
@example(steps=[(10.0, 0.0, 0.0, True), (10.0, 0.0, 1.0, True)] * 200, ratio=0.1)
def test_whoever_takes_all_that_it_is_allowed_what_comes_back_is_bounded(
    steps: list[tuple[float, float, float, bool]], ratio: float
):
    budget, out, touched, returned, seconds = RefaultBudget(ratio), 0.0, 0.0, 0.0, 0.0
    for elapsed, touching, returning, takes in steps:
        back = returning * out
        out -= back
        now_touched = max(back, touching * MEMORY)
        budget.enter(elapsed, now_touched, back, MEMORY - out)
        seconds, touched, returned = seconds + elapsed, touched + now_touched, returned + back
        bound = ratio * (touched + MEMORY * seconds / HELD_SECONDS) + MEMORY + SLACK_BYTES
        assert returned <= bound * (1.0 + 1e-9)
        if takes:
            # What is lent knows no other bound than that nothing is owed: here it is all there is.
            taken = MEMORY - out if budget.may_borrow else min(budget.allowance_bytes(), MEMORY - out)
            budget.took(taken)
            out += taken


def test_a_policys_words_on_its_budget_are_the_accounts_own_figures():
    """What `kubectl explain mempol.spec.reclaim.refaultBudget` says is the bound that is held."""
    said = " ".join(str(Reclaim.model_fields["refault_budget_fraction"].description).split())
    kib = SLACK_BYTES >> 10
    assert (
        f"refaultBudget x (touched + memory x T / {HELD_SECONDS:.0f}) + memory + {kib} KiB come back" in said
    )
    assert f"touched once in {HELD_SECONDS:.0f} s" in said
    assert f"{FIRST_RATIO:.0%} of usage or {FIRST_BYTES >> 20} MiB".replace("%", " %") in said
    shares = {0.10: "a tenth of usage", 0.05: "High a twentieth", 0.02: "Critical a fiftieth"}
    for importance in (Importance.NORMAL, Importance.HIGH, Importance.CRITICAL):
        assert shares[MOST_RATIO[importance]] in said
    nothing = RefaultBudget(0.0)
    nothing.enter(60.0, MEMORY, 0.0, MEMORY)
    assert "With 0 nothing is taken." in said
    assert (nothing.allowance_bytes(), nothing.may_borrow) == (0.0, False)


def test_what_came_back_unseen_is_charged_up_to_what_was_out_and_earns_nothing():
    budget = fed(100, 100 * MIB)
    budget.took(20 * MIB)
    before, ratio = budget.balance_bytes, budget.return_ratio
    assert budget.charge(500 * MIB) == 20 * MIB
    assert (budget.balance_bytes, budget.out_bytes) == (before - 20 * MIB, 0.0)
    assert budget.return_ratio > ratio  # it teaches as any other return does
    assert not budget.still_returns  # when it came back nobody knows
    assert budget.charge(500 * MIB) == 0.0
    assert budget.balance_bytes == before - 20 * MIB
