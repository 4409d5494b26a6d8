"""Control laws in closed loops on a small model of a container's memory."""

import pytest

from builders.container_model import ContainerModel, cold_heavy, lukewarm, moving, run, run_senpai, thrashing
from plimsoll.api.reclaim import ReclaimMode
from plimsoll.pages.control_bandit import ARMS
from plimsoll.pages.control_baselines import OomdSenpai, Tmo
from plimsoll.pages.control_law import ReclaimLaw
from plimsoll.pages.control_types import ReclaimPolicy

BLOCKS = 1024
SECONDS = 1500
POLICY = ReclaimPolicy(ReclaimMode.COLD)


def ours(arm: int = 2) -> ReclaimLaw:
    return ReclaimLaw(POLICY, ARMS[arm])


def test_saves_memory_where_much_is_cold():
    outcome = run(ContainerModel(cold_heavy(BLOCKS), BLOCKS), ours(), SECONDS)
    assert outcome.saved_ratio > 0.3
    assert 1.0 - outcome.resident[-1] > 0.6
    assert outcome.refault_ratio < POLICY.refault_budget_ratio


@pytest.mark.parametrize("arm", range(len(ARMS)))
@pytest.mark.parametrize("load", [cold_heavy, lukewarm, moving, thrashing])
def test_the_refault_budget_is_obeyed_by_every_arm_on_every_load(load, arm: int):
    outcome = run(ContainerModel(load(BLOCKS), BLOCKS), ours(arm), SECONDS)
    # On the thrashing load what is saved up at first comes back in one round.
    assert outcome.refault_ratio <= 1.5 * POLICY.refault_budget_ratio


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
