"""Whom the guard follows."""

import numpy as np
import pytest

from plimsoll.pages.expert_guard import ExpertGuard

EXPERTS = ("lru", "arc", "gam")


def test_begins_with_the_first():
    assert ExpertGuard(EXPERTS, 100).current == "lru"


def test_follows_who_misses_less_by_more_than_the_advantage():
    guard = ExpertGuard(EXPERTS, 1e9, advantage=0.03)
    assert guard.observe(np.array([100, 98, 99]), 1000) == "lru"
    assert guard.observe(np.array([0, 0, 0]), 1000) == "lru"
    assert guard.observe(np.array([100, 95, 99]), 1000) == "arc"
    assert guard.switches == 1


def test_old_misses_fade():
    guard = ExpertGuard(EXPERTS, half_life=1000)
    guard.observe(np.array([500, 100, 400]), 1000)
    assert guard.current == "arc"
    guard.observe(np.array([100, 100, 0]), 10_000)
    assert guard.current == "gam"
    np.testing.assert_allclose(guard.misses, [100 + 500 / 1024, 100 + 100 / 1024, 400 / 1024])


@pytest.mark.parametrize(("experts", "half_life"), [((), 10), (EXPERTS, 0)])
def test_nonsense_is_refused(experts, half_life):
    with pytest.raises(ValueError, match="must be positive"):
        ExpertGuard(experts, half_life)
