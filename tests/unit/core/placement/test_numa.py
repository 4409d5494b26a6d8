"""In: where memory is and CPUs are. Out: what should move between NUMA nodes, or why not; trials that end."""

import numpy as np
import pytest

from plimsoll.placement.numa import (
    COMMITTED_BYTES,
    FIRST_PAUSE_SECONDS,
    PAGE_BYTES,
    PAGE_MOVE_SECONDS,
    RESERVE,
    TRIAL_SECONDS,
    NumaContainer,
    NumaMachine,
    NumaTrials,
    PageCost,
    Standing,
    local_share,
    plan_numa,
    remote_share_on,
)

GIB = 2.0**30


def machine(*free_gib, total_gib=64):
    total = np.full(len(free_gib), total_gib * GIB)
    return NumaMachine(total, np.array(free_gib) * GIB)


def container(on_gib, cpus, steady=3600.0, cores=1.0, **fields):
    of = {"bound": False} | fields
    return NumaContainer(np.array(on_gib) * GIB, np.array(cpus, dtype=float), cores, steady, **of)


def moved(plan):
    return [(each.from_numa_node, each.to_numa_node, round(each.size_bytes / GIB, 2)) for each in plan.moves]


def test_memory_goes_where_the_cpus_are():
    plan = plan_numa(machine(30, 30), container([4, 0], [0, 10]))
    assert plan.standing is Standing.MOVE
    assert moved(plan) == [(0, 1, 4.0)]
    assert (plan.local_before, plan.local_after) == (0.0, 1.0)
    assert plan.gain_seconds > 2 * plan.cost_seconds > 0


def test_one_that_is_local_already_stays():
    plan = plan_numa(machine(30, 30), container([0.1, 4], [0, 10]))
    assert plan.standing is Standing.STAY
    assert plan.moves == ()
    assert "2%" in plan.why


def test_cpus_that_have_just_moved_are_not_run_after():
    assert plan_numa(machine(30, 30), container([4, 0], [0, 10], steady=5.0)).moves == ()
    assert "would gain" in plan_numa(machine(30, 30), container([4, 0], [0, 10], steady=5.0)).why


def test_a_page_costs_what_moves_have_taken_here():
    cost = PageCost()
    assert cost.page_seconds == PAGE_MOVE_SECONDS
    for _ in range(100):
        cost.took(16_384 * 50e-6, 16_384)
        cost.took(float("nan"), 5)
        cost.took(1.0, 0)
    assert cost.page_seconds == pytest.approx(50e-6, rel=0.05)
    for _ in range(400):
        cost.took(16_384 * 1e-6, 16_384)
    assert cost.page_seconds < 3e-6  # what was long ago is forgotten


def test_what_a_page_costs_here_decides():
    short = container([4, 0], [0, 10], steady=120.0)
    assert plan_numa(machine(30, 30), short, 1e-6).moves != ()
    assert plan_numa(machine(30, 30), short, 50e-6).moves == ()


def test_what_is_under_way_is_finished_unless_much_is_left_that_is_not_worth_its_cost():
    here, dear = machine(30, 30), 50e-6
    little = container([COMMITTED_BYTES / GIB, 0], [0, 10], steady=1.0)
    assert plan_numa(here, little, dear).moves == ()
    assert moved(plan_numa(here, little, dear, under_way=True)) == [(0, 1, 0.25)]
    much = container([4, 0], [0, 10], steady=150.0)  # 39 s of CPU time are gained, and it costs 52 s
    assert plan_numa(here, much, dear, under_way=True).moves == ()
    longer = container([4, 0], [0, 10], steady=250.0)  # 65 s are more than it costs, and less than twice that
    assert plan_numa(here, longer, dear).moves == ()
    assert moved(plan_numa(here, longer, dear, under_way=True)) == [(0, 1, 4.0)]


def test_what_is_under_way_goes_to_its_last_page_and_stays_where_it_is_bound():
    nearly = container([0.1, 4], [0, 10])
    assert moved(plan_numa(machine(30, 30), nearly, under_way=True)) == [(0, 1, 0.1)]
    bound = container([0.1, 4], [0, 10], bound=True)
    assert plan_numa(machine(30, 30), bound, under_way=True).moves == ()


def test_an_idle_container_is_not_worth_its_move():
    assert plan_numa(machine(30, 30), container([4, 0], [0, 0.01], cores=0.001)).moves == ()


def test_only_what_there_is_room_for_moves():
    plan = plan_numa(machine(30, 5), container([4, 0], [0, 10]))
    assert moved(plan) == [(0, 1, round(5 - 64 * RESERVE, 2))]
    assert plan_numa(machine(30, 3), container([4, 0], [0, 10])).moves == ()


def test_one_that_spans_is_interleaved_by_its_cpu_time():
    plan = plan_numa(machine(30, 30, 30), container([9, 0, 0], [2, 2, 2], cores=8.0))
    assert plan.moves == ()  # equal shares: no access becomes local by it
    plan = plan_numa(machine(30, 30), container([0, 8], [6, 4], cores=8.0))
    assert plan.standing is Standing.INTERLEAVE
    assert moved(plan) == [(1, 0, 4.8)]
    assert plan.local_after > plan.local_before


@pytest.mark.parametrize(
    ("given", "word"),
    [
        (container([4, 0], [0, 10], bound=True), "bound"),
        (container([0, 0], [0, 10]), "holds nothing"),
        (container([4, 0], [0, 0]), "has not run"),
        (container([np.nan, 0], [0, 10]), "holds nothing"),
    ],
)
def test_what_is_left_alone_says_why(given, word):
    plan = plan_numa(machine(30, 30), given)
    assert (plan.standing, plan.moves) == (Standing.STAY, ())
    assert word in plan.why


def test_other_numa_nodes_than_the_machines_are_an_error():
    with pytest.raises(ValueError, match="same NUMA nodes"):
        plan_numa(machine(30, 30), container([4, 0, 0], [0, 10, 0]))


@pytest.mark.parametrize("seed", range(20))
def test_nothing_is_lost_and_no_numa_node_is_overfilled(seed):
    rng = np.random.default_rng(seed)
    nodes = int(rng.integers(2, 5))
    where = machine(*rng.uniform(0, 20, nodes))
    one = container(rng.uniform(0, 10, nodes), rng.uniform(0, 5, nodes) ** 3, cores=16.0, steady=86_400.0)
    plan = plan_numa(where, one)
    left = one.bytes_on.copy()
    for each in plan.moves:
        left[each.from_numa_node] -= each.size_bytes
        left[each.to_numa_node] += each.size_bytes
        assert each.size_bytes % PAGE_BYTES == 0
    assert left.sum() == pytest.approx(one.bytes_on.sum())
    assert (left >= -1).all()
    arrived = np.maximum(left - one.bytes_on, 0)
    assert (arrived <= np.maximum(where.available_bytes - RESERVE * where.total_bytes, 0) + 1).all()
    assert plan.local_after >= plan.local_before
    share = one.cpu_seconds_on / one.cpu_seconds_on.sum()
    assert local_share(left, share) == pytest.approx(plan.local_after, abs=1e-6)


def test_a_move_that_made_it_worse_is_taken_back_and_pauses_double():
    trials, now = NumaTrials(), 0.0
    pauses = []
    for _ in range(3):
        assert trials.may_move("c", now)
        trials.moved("c", [4 * GIB, 0.0], 0.02, now)
        assert not trials.may_move("c", now)
        assert trials.judge("c", np.array([0.0, 4 * GIB]), 0.5, now + TRIAL_SECONDS / 2) == ()
        now += TRIAL_SECONDS
        back = trials.judge("c", np.array([0.0, 4 * GIB]), 0.5, now)
        assert [(each.from_numa_node, each.to_numa_node, each.size_bytes) for each in back] == [
            (1, 0, 4 * GIB)
        ]
        began = now
        while not trials.may_move("c", now):
            now += 60.0
        pauses.append(now - began)
    assert pauses == [FIRST_PAUSE_SECONDS, 2 * FIRST_PAUSE_SECONDS, 4 * FIRST_PAUSE_SECONDS]


def test_a_move_that_made_nothing_worse_stays_and_forgives():
    trials = NumaTrials()
    trials.moved("c", [GIB, 0.0], 0.02, 0.0)
    assert trials.judge("c", np.array([0.0, GIB]), 0.021, TRIAL_SECONDS) == ()
    assert trials.may_move("c", TRIAL_SECONDS)
    trials.moved("c", [GIB, 0.0], 0.0, 100.0)
    trials.forget(frozenset())
    assert trials.may_move("c", 100.0)


def test_how_much_of_what_reaches_a_numa_node_is_remote_is_weighed_by_what_is_there():
    held = np.array([[3.0, 0.0], [1.0, 4.0]])
    ran = np.array([[10.0, 0.0], [0.0, 5.0]])
    assert remote_share_on(held, ran).tolist() == [0.25, 0.0]  # the second one's first part alone
    spanning = np.array([[10.0, 0.0], [3.0, 1.0]])
    assert remote_share_on(held, spanning).tolist() == pytest.approx([0.0625, 0.75])


def test_who_does_not_run_reaches_nothing_and_of_an_empty_numa_node_nothing_is_known():
    held, ran = np.array([[4.0, 0.0], [4.0, 4.0]]), np.array([[1.0, 1.0], [0.0, 0.0]])
    found = remote_share_on(held, ran)
    assert found[0] == 0.5
    assert np.isnan(found[1])
    assert np.isnan(remote_share_on(held, np.zeros_like(ran))).all()
