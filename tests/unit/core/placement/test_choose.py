"""In: nodes with loads, pods. Out: the node a pod should go to."""

import numpy as np
import pytest

from plimsoll.placement.choose import CANDIDATES, COMFORT, Chooser, own_need_bytes
from plimsoll.placement.fit import deviate, empty_nodes, margin
from plimsoll.placement.lanes import LANES, Loads

HOURS = np.arange(LANES)


def pod(level, swing=0.0, peak=0, deviation=0.0):
    mean = level + swing * np.cos(2 * np.pi * (HOURS - peak) / 24)
    shape = (1, LANES)
    return Loads(mean[None], np.full(shape, deviation**2), np.zeros(shape))


def nodes_of(*pods, capacity=1000.0):
    """One node for each, with that on it (None: nothing)."""
    made = empty_nodes(np.full(len(pods), capacity), LANES)
    for place, each in enumerate(pods):
        if each is not None:
            made.mean_bytes[place], made.variance[place] = each.mean_bytes[0], each.variance[0]
    return made


def test_a_peak_goes_into_the_others_valley():
    chooser = Chooser(nodes_of(pod(500, 200, peak=6), pod(500, 200, peak=18)))
    assert chooser.choose(pod(200, 150, peak=18)).place == 0
    assert chooser.choose(pod(200, 150, peak=6)).place == 1


def test_the_tighter_of_two_is_filled_first_and_an_empty_one_last():
    chooser = Chooser(nodes_of(None, pod(300), pod(600), None))
    assert chooser.choose(pod(200)).place == 2
    assert chooser.choose(pod(500)).place == 1
    assert chooser.choose(pod(900)).place == 0


def test_the_bound_is_kept_where_it_can_be():
    chooser = Chooser(nodes_of(pod(500, deviation=100), pod(100, deviation=100)), bound=0.05)
    choice = chooser.choose(pod(300, deviation=50))
    assert choice.place == 1
    assert choice.short_after <= 0.05
    assert choice.short_before <= choice.short_after


def test_where_no_node_keeps_it_the_widest_margin_is_left():
    chooser = Chooser(nodes_of(pod(900, deviation=50), pod(800, deviation=50)))
    choice = chooser.choose(pod(190))
    assert choice.place == 1
    assert choice.short_after > 0.02


def test_what_the_scheduler_would_not_allow_is_not_chosen():
    chooser = Chooser(nodes_of(pod(300), pod(600)))
    assert chooser.choose(pod(200), np.array([True, False])).place == 0
    assert chooser.choose(pod(200), np.array([False, False])) is None


def test_no_opinion_of_what_is_not_known():
    made = nodes_of(pod(300), pod(600))
    made.mean_bytes[1] = np.nan
    assert Chooser(made).choose(pod(200)).place == 0
    assert Chooser(made).choose(pod(np.nan)) is None
    made.mean_bytes[0] = np.nan
    assert Chooser(made).choose(pod(200)) is None


def test_each_sees_where_the_ones_before_went():
    chooser = Chooser(nodes_of(None, None, None))
    places = []
    for _ in range(4):
        choice = chooser.choose(pod(450))
        chooser.add(choice.place, pod(450))
        places.append(choice.place)
    assert places == [0, 0, 1, 1]
    chooser.add(0, pod(450), -1.0)
    chooser.add(0, pod(450), -1.0)
    assert chooser.need_bytes[0] == 0.0


def test_many_nodes_that_look_roomy_and_are_not():
    # Room in their own worst hour, but none at the pod's peak: more than one batch of candidates.
    full = [pod(600, 350, peak=0) for _ in range(2 * CANDIDATES)]
    chooser = Chooser(nodes_of(*full, pod(100)))
    assert chooser.choose(pod(300, 250, peak=0)).place == 2 * CANDIDATES


def test_several_are_ranked_and_the_first_is_the_choice():
    chooser = Chooser(nodes_of(pod(300), pod(700), pod(500), None, None, pod(950)))
    ranked = chooser.rank(pod(200), 4)
    assert [each.place for each in ranked] == [1, 2, 0, 3]
    assert ranked[0] == chooser.choose(pod(200))
    assert chooser.rank_within(pod(990), 4)[0].place == 3
    full = Chooser(nodes_of(pod(950, deviation=20), pod(900, deviation=20)))
    assert full.rank_within(pod(200), 2) == []
    assert [each.place for each in full.rank(pod(200), 2)] == [1, 0]


def test_while_there_is_room_elsewhere_nodes_are_not_filled_up_to_the_bound():
    """The first would keep 2 % and not 0.05 %; the second keeps both."""
    chooser = Chooser(nodes_of(pod(700, deviation=20), pod(500, deviation=20)), comfort=COMFORT)
    assert [each.place for each in chooser.rank(pod(190), 2)] == [0, 1]
    assert [each.place for each in chooser.prefer(pod(190), 2)] == [1]
    assert Chooser(chooser.nodes).prefer(pod(190), 2) == chooser.rank(pod(190), 2)


def test_where_no_node_is_comfortable_the_widest_margin_is_preferred():
    chooser = Chooser(nodes_of(pod(700, deviation=20), pod(690, deviation=20)), comfort=COMFORT)
    assert [each.place for each in chooser.rank(pod(200), 1)] == [0]
    assert [each.place for each in chooser.prefer(pod(200), 2)] == [1, 0]
    assert [each.place for each in chooser.prefer(pod(200), 2, np.array([True, False]))] == [0]


def test_comfort_sees_where_the_ones_before_went_as_well():
    chooser = Chooser(nodes_of(None, None), comfort=COMFORT)
    for expected in (0, 0, 1, 1):
        (found,) = chooser.prefer(pod(450, deviation=1), 1)
        assert found.place == expected
        chooser.add(found.place, pod(450, deviation=1))
    again = Chooser(chooser.nodes, comfort=COMFORT)
    assert np.allclose(again._comfort.need_bytes, chooser._comfort.need_bytes)


@pytest.mark.parametrize("seed", range(5))
def test_the_need_of_a_node_is_kept_up(seed):
    rng = np.random.default_rng(seed)
    chooser = Chooser(empty_nodes(np.full(6, 1000.0), LANES), bound=0.01)
    for _ in range(30):
        one = pod(rng.uniform(20, 90), rng.uniform(0, 20), rng.integers(24), rng.uniform(1, 10))
        choice = chooser.choose(one)
        chooser.add(choice.place, one)
    again = Chooser(chooser.nodes, bound=0.01)
    assert np.allclose(chooser.need_bytes, again.need_bytes)
    assert (margin(chooser.nodes) >= deviate(0.01)).all()


def test_alone_on_a_node_a_pod_needs_its_own_need():
    assert own_need_bytes(pod(100, deviation=10), 0.05)[0] == pytest.approx(100 + 29.96, abs=0.1)
