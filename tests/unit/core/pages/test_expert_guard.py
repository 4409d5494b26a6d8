"""Whom the guard follows."""

import numpy as np
import pytest

from plimsoll.pages.expert_guard import ExpertGuard

EXPERTS = ("lru", "arc", "gam")


def test_begins_with_the_first():
    assert ExpertGuard(EXPERTS, 100).current == "lru"


def test_follows_who_misses_less_by_more_than_the_advantage():
    guard = ExpertGuard(EXPERTS, 1e9, advantage=0.03)
    assert guard.observe(np.array([100, 98, 99]), 1000, 100) == "lru"
    assert guard.observe(np.array([0, 0, 0]), 1000, 0) == "lru"
    assert guard.observe(np.array([100, 95, 99]), 1000, 100) == "arc"
    assert guard.switches == 1


def test_old_misses_fade():
    guard = ExpertGuard(EXPERTS, capacity=1000)
    guard.observe(np.array([500, 100, 400]), 1000, 100)
    assert guard.current == "arc"
    guard.observe(np.array([100, 100, 0]), 15_000, 100)
    assert guard.current == "gam"
    np.testing.assert_allclose(guard.misses, [100 + 500 / 1024, 100 + 100 / 1024, 400 / 1024])


def test_a_memory_that_misses_more_than_lru_is_held_to_lru_until_that_has_worn_off():
    guard = ExpertGuard(EXPERTS, capacity=100)
    assert guard.observe(np.array([100, 50, 100]), 200, 100) == "arc"
    assert guard.observe(np.array([100, 50, 100]), 200, 140) == "lru"
    assert guard.held
    assert guard.observe(np.array([100, 50, 100]), 200, 100) == "lru"
    for _ in range(20):
        guard.observe(np.array([100, 50, 100]), 200, 100)
    assert (guard.held, guard.current) == (False, "arc")


@pytest.mark.parametrize(("experts", "capacity"), [((), 10), (EXPERTS, 0)])
def test_nonsense_is_refused(experts, capacity):
    with pytest.raises(ValueError, match="must be positive"):
        ExpertGuard(experts, capacity)
