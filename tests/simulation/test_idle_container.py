"""Idle containers in closed loops: their cold cache really goes, and what comes back is bounded."""

from dataclasses import replace

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from builders.idle_container import MIB, IdleContainer
from plimsoll.api.effective import Importance
from plimsoll.api.reclaim import ReclaimMode
from plimsoll.pages.control_bandit import ARMS
from plimsoll.pages.control_budget import HELD_SECONDS
from plimsoll.pages.control_law import TOUCHED_ONCE_SECONDS
from plimsoll.pages.control_probe import FIRST_RATIO, MOST_RATIO, SLACK_BYTES
from plimsoll.pages.control_types import ReclaimPolicy

MEMORY = 132 * MIB
FIRST = max(MIB, FIRST_RATIO * MEMORY)
AGES = {
    "ages, nothing touched": {},
    "ages, 2 MiB a minute": {"hot_bytes": 2 * MIB},
    "ages, 12 MiB a minute": {"hot_bytes": 12 * MIB},
    "no ages, all of it active": {"knows_ages": False, "working_set_bytes": MEMORY},
    "no ages, all of it inactive": {"knows_ages": False, "working_set_bytes": 4 * MIB},
}


@pytest.mark.parametrize("told", AGES.values(), ids=AGES.keys())
def test_a_cold_cache_is_reclaimed_within_a_quarter_of_an_hour(told: dict[str, object]):
    idle = IdleContainer(**told)
    idle.live(15)
    assert idle.out_bytes > 60 * MIB
    assert max(taken for _, taken in idle.takes) <= MOST_RATIO[Importance.NORMAL] * MEMORY


@pytest.mark.parametrize("told", AGES.values(), ids=AGES.keys())
def test_touched_all_at_once_it_loses_what_had_stayed_out_and_one_probe_and_then_no_more_than_one(
    told: dict[str, object],
):
    idle = IdleContainer(**told)
    idle.live(8)
    unproven = sum(taken for seconds, taken in idle.takes if seconds > idle.now - 60.0)
    assert 0 < unproven <= MOST_RATIO[Importance.NORMAL] * MEMORY
    assert idle.touch_all() > 30 * MIB
    assert idle.law.budget.is_deep_in_debt
    for _ in range(4):
        idle.live(15)
        assert idle.touch_all() <= FIRST


@pytest.mark.parametrize("importance", list(Importance))
def test_the_more_important_it_is_the_less_is_taken_on_trial(importance: Importance):
    idle = IdleContainer(policy=ReclaimPolicy(ReclaimMode.COLD, importance=importance))
    idle.live(15)
    assert max(taken for _, taken in idle.takes) <= max(MOST_RATIO[importance] * MEMORY, FIRST)


@pytest.mark.parametrize("knows_ages", [True, False])
@pytest.mark.parametrize("arm", range(len(ARMS)))
def test_memory_that_returns_every_ten_minutes_converges_to_the_budget_and_goes_when_it_is_left(
    arm: int, knows_ages: bool
):
    idle = IdleContainer(arm=arm, knows_ages=knows_ages)
    losses = []
    for _ in range(144):
        idle.live(10 - 1 / 6)
        losses.append(idle.touch_all())
    late = losses[48:]
    assert losses[0] > 30 * MIB
    assert sum(late) <= idle.policy.refault_budget_ratio * MEMORY * len(late)
    assert max(late) <= MOST_RATIO[Importance.NORMAL] * MEMORY
    idle.live(36 * 60, seconds=60.0)
    assert idle.out_bytes > 60 * MIB


def test_memory_that_returns_every_hour_is_lost_once_and_not_again():
    idle = IdleContainer()
    losses = []
    for _ in range(48):
        idle.live(60 - 1 / 3, seconds=20.0)
        losses.append(idle.touch_all())
    assert losses[0] > 60 * MIB
    assert sum(losses[1:]) <= idle.policy.refault_budget_ratio * MEMORY * len(losses[1:])


def test_without_a_budget_nothing_is_taken_on_trial():
    idle = IdleContainer(policy=ReclaimPolicy(ReclaimMode.COLD, refault_budget_ratio=0.0))
    idle.live(30)
    assert not idle.takes


def test_on_a_slow_device_no_more_is_taken_on_trial_than_can_be_read_back_within_the_bound():
    slow, fast = IdleContainer(), IdleContainer()
    for idle, bytes_per_second in ((slow, 4 * MIB), (fast, 400 * MIB)):
        idle.live(3)
        idle.bring_back(stall_seconds=idle.out_bytes / bytes_per_second)
        idle.step(touched=MEMORY)
        idle.takes.clear()
        idle.live(24 * 60, seconds=60.0)
    bound = slow.policy.max_pressure_ratio * 60.0 * 4 * MIB
    assert 0 < max(taken for _, taken in slow.takes) <= bound + MIB
    assert max(taken for _, taken in fast.takes) > 2 * bound


PHASES = st.lists(
    st.tuples(
        st.integers(1, 90),  # readings in which nothing is touched
        st.floats(0.0, 1.0),  # then of what is out, the share that comes back at once
        st.floats(0.0, 1.0),  # and of all memory, the share that is touched besides
        st.integers(1, 6),  # for so many readings
    ),
    max_size=20,
)


@settings(max_examples=25, deadline=None)
@given(
    phases=PHASES,
    ratio=st.sampled_from([0.01, 0.02, 0.05]),
    arm=st.integers(0, len(ARMS) - 1),
    knows_ages=st.booleans(),
)
@example(phases=[(90, 1.0, 0.0, 1)] * 40, ratio=0.01, arm=3, knows_ages=True)
@example(phases=[(7, 1.0, 1.0, 1)] * 120, ratio=0.02, arm=3, knows_ages=True)
@example(phases=[(1, 0.3, 0.2, 6)] * 120, ratio=0.05, arm=3, knows_ages=False)
def test_whatever_a_program_does_what_comes_back_is_bounded_and_it_is_not_left_alone_for_ever(
    phases: list[tuple[int, float, float, int]], ratio: float, arm: int, knows_ages: bool
):
    policy = replace(ReclaimPolicy(ReclaimMode.COLD), refault_budget_ratio=ratio)
    idle = IdleContainer(policy=policy, arm=arm, knows_ages=knows_ages)

    # Where nobody can tell what is touched, the law believes that memory in use is, every two minutes.
    held_seconds = HELD_SECONDS if knows_ages else TOUCHED_ONCE_SECONDS

    def within_the_bound() -> bool:
        touched = idle.touched_bytes + MEMORY * idle.now / held_seconds
        return idle.returned_bytes <= ratio * touched + MEMORY + SLACK_BYTES

    for readings, returning, touching, times in phases:
        for _ in range(readings):
            idle.step(touched=0.0)
        for _ in range(times):
            back = idle.bring_back(returning)
            idle.step(touched=min(MEMORY, back + touching * MEMORY))
            assert within_the_bound()
    for _ in range(36 * 60):
        idle.step(60.0, touched=0.0)
    assert idle.out_bytes > 60 * MIB
