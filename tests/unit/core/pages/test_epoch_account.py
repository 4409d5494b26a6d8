"""The refault account: what is allowed, what is left, and that it is paid back."""

import pytest

from plimsoll.pages.epoch_account import LEAST_HORIZON_EPOCHS, WINDOW_EPOCHS, RefaultAccount


def booked(target, epochs, accesses=1000, refaults=0):
    account = RefaultAccount(target)
    for _ in range(epochs):
        account.record(accesses, refaults)
    return account


def test_the_window_is_allowed_from_its_beginning() -> None:
    assert booked(0.01, 1).allowance() == pytest.approx(0.01 * 1000 * WINDOW_EPOCHS)
    assert booked(0.01, 100).allowance() == pytest.approx(0.01 * 1000 * WINDOW_EPOCHS)


def test_a_future_that_is_not_relied_upon_allows_less() -> None:
    account = booked(0.01, 100)
    assert account.allowance(0.0) == pytest.approx(0.01 * 100_000)
    assert account.allowance(0.0) < account.allowance(0.5) < account.allowance()


def test_spending_beyond_the_target_stops_further_spending() -> None:
    assert booked(0.01, 100, refaults=10).per_epoch() == pytest.approx(10)
    assert booked(0.01, 100, refaults=41).per_epoch() < 0


def test_debts_are_forgotten_after_the_window_and_not_before() -> None:
    account = booked(0.01, 1, refaults=8000)
    for _ in range(WINDOW_EPOCHS - 1):
        account.record(1000, 0)
    assert account.per_epoch() < 0
    account.record(1000, 0)
    assert account.spent == 0
    assert account.per_epoch() == pytest.approx(0.01 * 1000 * WINDOW_EPOCHS / LEAST_HORIZON_EPOCHS)


def test_nothing_is_allowed_before_anything_is_known() -> None:
    assert RefaultAccount(0.01).per_epoch() == 0


@pytest.mark.parametrize("target", [0.0, 1.0, -0.1, float("nan")])
def test_a_target_outside_its_range_is_refused(target) -> None:
    with pytest.raises(ValueError, match="target"):
        RefaultAccount(target)
