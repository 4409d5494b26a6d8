"""In: who runs in which hours. Out: loads until their end, and room for the next start that others leave."""

import numpy as np

from plimsoll.placement.choose import Chooser
from plimsoll.placement.fit import empty_nodes
from plimsoll.placement.lanes import LANES, Loads
from plimsoll.replay.rooms import Clock

BOUND = 0.02


def runs():
    """Pod 0 always, pod 1 from 6 to 9 on each day."""
    hours = np.arange(96)
    return np.stack([np.ones(96, dtype=np.bool_), (hours % 24 >= 6) & (hours % 24 < 9)])


def loads(sizes=(30.0, 80.0)):
    nothing = np.zeros((len(sizes), LANES))
    return Loads(np.repeat(np.array(sizes)[:, None], LANES, axis=1), nothing, nothing)


def fresh(used=0.0):
    made = empty_nodes(np.array([100.0, 100.0]), LANES)
    made.mean_bytes[:] = used
    return lambda: Chooser(made, BOUND)


def everywhere(pod):
    return np.ones(2, dtype=np.bool_)


def test_a_run_counts_until_its_end():
    clock = Clock(runs(), BOUND)
    assert clock.present(48).sum(axis=1).tolist() == [24, 0]
    assert clock.present(55).sum(axis=1).tolist() == [24, 2]
    assert clock.present(54).sum(axis=1).tolist() == [24, 3]
    assert clock.present(90).sum(axis=1).tolist() == [6, 0]


def test_room_is_kept_in_the_hours_of_the_next_run_and_freed_when_it_comes():
    rooms = Clock(runs(), BOUND).keep(48, loads(), fresh(), everywhere)
    assert list(rooms.places) == [1]
    place = rooms.places[1]
    assert np.flatnonzero(rooms.chooser.nodes.mean_bytes[place]).tolist() == [6, 7, 8]
    rooms.take(1)
    assert rooms.chooser.nodes.mean_bytes.sum() == 0.0
    rooms.take(0)  # nothing is kept for who runs always


def test_while_it_runs_room_is_kept_for_its_next_run():
    rooms = Clock(runs(), BOUND).keep(55, loads(), fresh(), everywhere)
    assert np.flatnonzero(rooms.chooser.nodes.mean_bytes[rooms.places[1]]).tolist() == [23]


def test_a_start_that_is_due_and_fits_nowhere_is_told_at_its_hour():
    clock = Clock(runs(), BOUND)
    assert clock.keep(53, loads(), fresh(40.0), everywhere).unfit_now == []
    rooms = clock.keep(54, loads(), fresh(40.0), everywhere)
    assert (rooms.unfit_now, rooms.places) == ([1], {})
    rooms.put(1, 0)
    assert rooms.chooser.nodes.mean_bytes[0, :4].tolist() == [120.0, 120.0, 120.0, 40.0]
