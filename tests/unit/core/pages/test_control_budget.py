import pytest

from plimsoll.pages.control_budget import LEAST_RETURN_RATIO, SAVED_SECONDS, RefaultBudget

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
