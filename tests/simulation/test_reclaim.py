"""Control laws in closed loops on a small model of a container's memory."""

import numpy as np
import pytest

from builders.container_model import (
    BLOCK_BYTES,
    ContainerModel,
    cold_heavy,
    lukewarm,
    moving,
    run,
    run_senpai,
    thrashing,
)
from plimsoll.api.effective import Importance
from plimsoll.api.reclaim import ReclaimMode
from plimsoll.pages.control_bandit import ARMS
from plimsoll.pages.control_baselines import OomdSenpai, Tmo
from plimsoll.pages.control_law import ReclaimLaw
from plimsoll.pages.control_probe import MOST_RATIO
from plimsoll.pages.control_types import ReclaimPolicy

BLOCKS = 1024
SECONDS, HOUR = 1500, 3600
POLICY = ReclaimPolicy(ReclaimMode.COLD)


def ours(arm: int = 2) -> ReclaimLaw:
    return ReclaimLaw(POLICY, ARMS[arm])


def test_saves_memory_where_much_is_cold():
    outcome = run(ContainerModel(cold_heavy(BLOCKS), BLOCKS), ours(), SECONDS)
    assert outcome.saved_ratio > 0.3
    assert 1.0 - outcome.resident[-1] > 0.6
    # What is lent while it is learnt is paid off within the hour (below).
    assert outcome.refault_ratio < 2.0 * POLICY.refault_budget_ratio


@pytest.mark.parametrize("arm", range(len(ARMS)))
@pytest.mark.parametrize("load", [cold_heavy, lukewarm, moving, thrashing])
def test_the_refault_budget_is_kept_at_every_boldness_on_every_load_but_for_the_first_loan(load, arm: int):
    model = ContainerModel(load(BLOCKS), BLOCKS)
    law, spent = ours(arm), []
    for _ in range(4):
        before = model.refaulted_blocks, model.touched_blocks
        run(model, law, HOUR, every=10)
        spent.append((model.refaulted_blocks - before[0]) / (model.touched_blocks - before[1]))
    # What had been idle for a quarter of an hour may once come back whole; after that it is known.
    assert spent[0] <= (5.0 if load is moving else 1.5) * POLICY.refault_budget_ratio
    assert max(spent[1:]) <= 1.5 * POLICY.refault_budget_ratio


def test_bolder_arms_save_more_within_minutes_where_much_is_cold():
    """Nothing but the arm differs: the bandit decides something."""
    blocks = 2 * BLOCKS  # so that there is room between the first loan and the largest
    saved = [
        run(ContainerModel(cold_heavy(blocks), blocks), ours(arm), 600, every=10).saved_ratio
        for arm in range(len(ARMS))
    ]
    assert saved[:3] == sorted(set(saved[:3]))
    assert min(saved[2:]) > 1.2 * saved[0]


@pytest.mark.parametrize("arm", range(len(ARMS)))
def test_no_arm_lends_a_critical_container_more_than_its_importance_allows(arm: int):
    model, loans = ContainerModel(cold_heavy(BLOCKS), BLOCKS), []
    law = ReclaimLaw(ReclaimPolicy(ReclaimMode.COLD, importance=Importance.CRITICAL), ARMS[arm])
    for second in range(1200):
        model.second()
        if second % 10:
            continue
        reading = model.reading()
        decision = law.step(reading)
        law.settle(decision.reclaim_bytes, model.take(decision.reclaim_bytes))
        if "on trial" in decision.sentence:
            loans.append(decision.reclaim_bytes / reading.usage_bytes)
    assert len(loans) > 3
    assert max(loans) <= MOST_RATIO[Importance.CRITICAL]


def test_the_law_is_told_what_a_node_can_tell_of_what_is_touched():
    def all_hot(_: float) -> np.ndarray:
        return np.ones(BLOCKS, bool)

    model = ContainerModel(all_hot, BLOCKS)
    told = []
    for _ in range(30):
        for _ in range(10):
            model.second()
        told.append(model.reading().touched_bytes)
    # All of it each second: the agent sees all of it each minute.
    assert sum(told) == pytest.approx(5 * BLOCKS * BLOCK_BYTES)
    assert model.touched_blocks == 5 * BLOCKS


def test_backs_off_in_the_reading_that_shows_pressure():
    model = ContainerModel(cold_heavy(BLOCKS), BLOCKS)
    law = ours(3)
    run(model, law, 600)
    assert law.step(model.reading()).reclaim_bytes >= 0
    model.second()
    model.stall_seconds += 0.05
    assert law.step(model.reading()).holds
    before = model.taken_blocks
    for _ in range(9):
        model.second()
        assert law.step(model.reading()).holds
    assert model.taken_blocks == before


def test_on_a_load_that_thrashes_it_is_hardly_told_from_off():
    off = run(ContainerModel(thrashing(BLOCKS), BLOCKS), None, SECONDS)
    on = run(ContainerModel(thrashing(BLOCKS), BLOCKS), ours(), SECONDS)
    assert on.stalled_ratio - off.stalled_ratio < 0.001
    assert on.resident[-1] > 0.97


def test_without_page_sampling_it_still_keeps_the_budget():
    for load in (cold_heavy, lukewarm, thrashing):
        model = ContainerModel(load(BLOCKS), BLOCKS, sees_idle_age=False)
        assert run(model, ours(), SECONDS).refault_ratio <= POLICY.refault_budget_ratio


def test_without_swap_only_files_go():
    model = ContainerModel(cold_heavy(BLOCKS), BLOCKS, swap_blocks=0, file_ratio=0.25)
    assert 0.15 < 1.0 - run(model, ours(), SECONDS).resident[-1] <= 0.26


def test_beside_the_formulas_of_others_it_keeps_the_budget_and_saves_more_than_tmo_in_the_time():
    tmo = run(ContainerModel(cold_heavy(BLOCKS), BLOCKS), Tmo(), SECONDS)
    mine = run(ContainerModel(cold_heavy(BLOCKS), BLOCKS), ours(), SECONDS)
    assert mine.saved_ratio > 2 * tmo.saved_ratio
    warm = ContainerModel(lukewarm(BLOCKS), BLOCKS)
    for outcome in (
        run(warm, OomdSenpai(), SECONDS),
        run_senpai(ContainerModel(lukewarm(BLOCKS), BLOCKS), SECONDS),
    ):
        assert outcome.refault_ratio > 5 * POLICY.refault_budget_ratio
