"""How much may be gathered into huge pages, and what ends it."""

import math
from dataclasses import replace

import numpy as np
import pytest

from builders.addressworld import BLOCK, ProgramWorld
from plimsoll.pages.collapse import (
    CALM_PROBABILITY,
    FIRST_PAUSE_SECONDS,
    HUGE_PAGE_BYTES,
    NODE_STEP_BYTES,
    STEP_BYTES,
    TRIAL_SECONDS,
    CollapseContainer,
    CollapseNode,
    CollapseTrials,
    container_room_bytes,
    node_room_bytes,
)

MIB, GIB = 1 << 20, 1 << 30
NODE = CollapseNode(8 * GIB, 4 * GIB, 1024, 0.2, 0.01)
CONTAINER = CollapseContainer(256 * MIB, math.inf, 0.0, 0.01, 0.01)


def test_a_calm_node_with_whole_blocks_has_room():
    assert node_room_bytes(NODE) == NODE_STEP_BYTES
    assert node_room_bytes(replace(NODE, free_huge_blocks=40)) == 10 * HUGE_PAGE_BYTES


@pytest.mark.parametrize(
    "changed",
    [
        {"free_bytes": GIB // 2},
        {"free_huge_blocks": 3},
        {"splintered_ratio": 0.8},
        {"splintered_ratio": math.nan},
        {"pressure_probability": CALM_PROBABILITY},
        {"pressure_probability": math.nan},
    ],
)
def test_a_node_that_is_short_splintered_pressed_or_unknown_has_none(changed):
    assert node_room_bytes(replace(NODE, **changed)) == 0


def test_a_container_needs_room_for_the_copy():
    assert container_room_bytes(CONTAINER) == STEP_BYTES
    assert container_room_bytes(replace(CONTAINER, limit_bytes=264 * MIB)) == 4 * MIB
    assert container_room_bytes(replace(CONTAINER, limit_bytes=256 * MIB)) == 0
    assert container_room_bytes(replace(CONTAINER, limit_bytes=200 * MIB)) == 0


@pytest.mark.parametrize(
    "changed",
    [{"stalled_ratio": None}, {"stalled_ratio": 0.02}, {"pressure_probability": math.nan}],
)
def test_a_container_that_stalls_or_is_unknown_is_left_alone(changed):
    assert container_room_bytes(replace(CONTAINER, **changed)) == 0


def stepped(trials: CollapseTrials, now: float = 0.0, gained: int = 8 * MIB) -> str:
    return trials.stepped("a", 8 * MIB, gained, 100 * MIB, CONTAINER, now)


def test_what_is_still_there_after_a_minute_goes_on():
    trials = CollapseTrials()
    assert stepped(trials) == ""
    assert not trials.may("a", 30.0)
    assert trials.may("b", 30.0)
    assert not trials.on_trial("a", 30.0)
    assert trials.on_trial("a", TRIAL_SECONDS)
    assert trials.judge("a", 98 * MIB, 0.0, TRIAL_SECONDS) == ""
    assert trials.may("a", TRIAL_SECONDS)


@pytest.mark.parametrize(
    ("huge", "stalled", "why"),
    [
        (94 * MIB, 0.0, "broken up"),
        (100 * MIB, 0.01, "stalls"),
        (None, 0.0, "cannot be told"),
        (100 * MIB, None, "cannot be told"),
    ],
)
def test_what_did_not_pay_is_not_done_again_for_a_while(huge, stalled, why):
    trials = CollapseTrials()
    stepped(trials)
    assert why in trials.judge("a", huge, stalled, TRIAL_SECONDS)
    assert not trials.may("a", TRIAL_SECONDS + FIRST_PAUSE_SECONDS - 1.0)
    assert trials.may("a", TRIAL_SECONDS + FIRST_PAUSE_SECONDS)
    assert trials.stopped_total == 1


def test_a_kernel_that_gathers_little_is_asked_ever_more_seldom():
    trials, now, pauses = CollapseTrials(), 0.0, []
    for _ in range(3):
        assert "gathered" in stepped(trials, now, gained=2 * MIB)
        began = now
        while not trials.may("a", now):
            now += 10.0
        pauses.append(now - began)
    assert pauses == [600.0, 1200.0, 2400.0]
    stepped(trials, now)
    assert trials.judge("a", 100 * MIB, 0.0, now + TRIAL_SECONDS) == ""
    stepped(trials, now, gained=0)
    assert trials.may("a", now + 600.0)


def test_usage_that_grows_by_it_ends_it():
    trials = CollapseTrials()
    stepped(trials)
    assert trials.grew("a", 8 * MIB, 1 * MIB, 0.0) == ""
    assert "grew" in trials.grew("a", 8 * MIB, 4 * MIB, 0.0)
    assert not trials.on_trial("a", 1e6)
    assert not trials.may("a", 1.0)


def test_a_container_that_is_gone_is_forgotten():
    trials = CollapseTrials()
    stepped(trials, gained=0)
    trials.forget(frozenset())
    assert trials.may("a", 0.0)


def test_hot_units_are_those_whose_blocks_were_all_accessed_look_after_look():
    blocks_per_unit = HUGE_PAGE_BYTES // BLOCK
    hot = np.arange(2 * blocks_per_unit + 5)  # two units, and a part of the third

    def touches(epoch: int) -> np.ndarray:
        return hot if epoch != 3 else hot[:blocks_per_unit]

    world = ProgramWorld(4 * blocks_per_unit, touches)
    for _ in range(5):
        world.look()
    (part,) = world.plan.hot(5, HUGE_PAGE_BYTES)
    assert part.bytes_ == HUGE_PAGE_BYTES
    assert int(part.ranges[0, 0]) % HUGE_PAGE_BYTES == 0
    (part,) = world.plan.hot(2, HUGE_PAGE_BYTES)
    assert part.bytes_ == 2 * HUGE_PAGE_BYTES
    assert world.plan.hot(6, HUGE_PAGE_BYTES) == ()
