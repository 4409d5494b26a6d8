"""Fast and slow NUMA nodes: what goes down, what comes up, and who is left alone."""

import pytest

from plimsoll.pages.tiering import (
    FIRST_PAUSE_SECONDS,
    MEMORY_SECONDS,
    STEP_BYTES,
    DemotionTrials,
    TierNode,
    Tiers,
    tiers_of,
)

GIB, MIB = 1 << 30, 1 << 20


def node(number: int, *, free: int = 4 * GIB, cpus: bool = True, **of: int) -> TierNode:
    return TierNode(number, 8 * GIB, free, cpus, **of)


def numbers(tiers: Tiers) -> tuple[list[int], list[int]]:
    return [each.numa_node for each in tiers.fast], [each.numa_node for each in tiers.slow]


@pytest.mark.parametrize(
    ("nodes", "fast", "slow"),
    [
        ([node(0, tier=4), node(1, tier=4), node(2, tier=22, cpus=False)], [0, 1], [2]),
        ([node(0), node(1, cpus=False)], [0], [1]),
        # One tier for all: processors decide. A tier that is not known of all of them says nothing.
        ([node(0, tier=4), node(1, tier=4, cpus=False)], [0], [1]),
        ([node(0, tier=4), node(1, tier=22), node(2)], [0, 1, 2], []),
        ([node(0, cpus=False), node(1, cpus=False)], [0, 1], []),
        ([node(0, tier=4), node(1, tier=22)], [0], [1]),
        ([], [], []),
    ],
)
def test_slow_nodes_are_told_by_tiers_or_by_processors(nodes, fast, slow):
    assert numbers(tiers_of(nodes)) == (fast, slow)


def test_of_slow_nodes_the_fastest_with_room_takes_what_goes_down():
    tiers = tiers_of(
        [
            node(0),
            node(1, cpus=False, read_latency_ns=400),
            node(2, cpus=False, read_latency_ns=250),
        ]
    )
    assert numbers(tiers) == ([0], [2, 1])
    assert tiers.target(slow=True) == 2
    full = tiers_of(
        [
            node(0),
            node(1, cpus=False, read_latency_ns=400),
            node(2, cpus=False, read_latency_ns=250, free=GIB // 2),
        ]
    )
    assert full.target(slow=True) == 1
    assert full.target(slow=False) == 0
    assert tiers_of([node(0, free=0), node(1, cpus=False, free=0)]).target(slow=True) is None


def test_nothing_goes_down_while_fast_memory_is_free():
    assert tiers_of([node(0, free=3 * GIB), node(1, cpus=False)]).demotable_bytes() == 0


def test_what_the_fast_nodes_lack_goes_down_as_far_as_there_is_room():
    assert tiers_of([node(0, free=GIB), node(1, cpus=False)]).demotable_bytes() == STEP_BYTES
    nearly = tiers_of([node(0, free=2 * GIB - 5 * MIB), node(1, cpus=False)])
    assert nearly.demotable_bytes() == 5 * MIB
    assert tiers_of([node(0, free=GIB), node(1, cpus=False, free=GIB // 2)]).demotable_bytes() == 0


def test_what_comes_up_leaves_room():
    assert tiers_of([node(0, free=4 * GIB), node(1, cpus=False)]).promotable_bytes() == STEP_BYTES
    assert tiers_of([node(0, free=GIB // 2), node(1, cpus=False)]).promotable_bytes() == 0


def test_a_container_of_which_too_much_comes_up_again_is_left_alone_ever_longer():
    trials, now = DemotionTrials(), 0.0
    pauses = []
    for _ in range(3):
        trials.demoted("a", 100 * MIB, now)
        assert trials.promoted("a", 5 * MIB, now + 1.0) == ""
        assert "came up again" in trials.promoted("a", 10 * MIB, now + 2.0)
        began = now + 2.0
        assert trials.may("b", began)
        while not trials.may("a", now):
            now += 10.0
        pauses.append(now - began)
    assert pauses[0] == pytest.approx(FIRST_PAUSE_SECONDS, abs=10.0)
    assert pauses[2] == pytest.approx(4 * FIRST_PAUSE_SECONDS, abs=10.0)
    assert trials.stopped_total == 3


def test_what_came_up_long_ago_counts_no_more():
    trials = DemotionTrials()
    trials.demoted("a", 100 * MIB, 0.0)
    for step in range(20):
        now = step * MEMORY_SECONDS
        trials.demoted("a", 100 * MIB, now)
        assert trials.promoted("a", 8 * MIB, now) == ""


def test_what_was_never_demoted_by_us_is_nobody_s_fault():
    trials = DemotionTrials()
    assert trials.promoted("a", 100 * MIB, 0.0) == ""
    assert trials.may("a", 0.0)
    trials.forget(frozenset())
