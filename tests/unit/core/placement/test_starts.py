"""Room for pods to come: in the hours of their run, on a node that keeps the bound, where it was before."""

import numpy as np

from plimsoll.placement.choose import DEFAULT_BOUND, Chooser
from plimsoll.placement.fit import empty_nodes
from plimsoll.placement.lanes import LANES, Loads
from plimsoll.placement.starts import MOST_NEW, Slot, keep_room, until_its_end, within_run

HOUR = 3600.0
NOW = 500_000 * HOUR + 1200.0
PRESENT = 500_000 % LANES


def loads(mean, deviation=1.0):
    return Loads(
        np.broadcast_to(np.asarray(mean, dtype=np.float64), (1, LANES)).copy(),
        np.full((1, LANES), deviation**2),
        np.zeros((1, LANES)),
    )


def slot(name, mean, start=NOW + 2 * HOUR, stays=2):
    return Slot(name, within_run(loads(mean), [start], stays, NOW), start)


def chooser(*capacity):
    return Chooser(empty_nodes(np.array(capacity, dtype=np.float64), LANES))


def everywhere(nodes):
    return lambda _: np.ones(nodes, dtype=np.bool_)


def test_a_run_counts_in_its_hours_alone():
    found = within_run(loads(100.0), [NOW + 3 * HOUR], 2, NOW)
    hours = [(PRESENT + 3) % LANES, (PRESENT + 4) % LANES]
    assert sorted(np.flatnonzero(found.mean_bytes[0]).tolist()) == sorted(hours)
    assert sorted(np.flatnonzero(found.variance[0]).tolist()) == sorted(hours)


def test_a_run_that_begins_beyond_the_day_or_was_over_before_it_counts_nowhere():
    assert within_run(loads(1.0), [NOW + 25 * HOUR], 2, NOW) is None
    assert within_run(loads(1.0), [NOW - 3 * HOUR], 2, NOW) is None
    assert within_run(loads(1.0), [], 2, NOW) is None


def test_a_run_nobody_has_seen_the_end_of_counts_for_an_hour_and_many_runs_for_all_theirs():
    assert np.count_nonzero(within_run(loads(1.0), [NOW], 0, NOW).mean_bytes) == 1
    every = [NOW + each * HOUR for each in range(0, 24, 6)]
    assert np.count_nonzero(within_run(loads(1.0), every, 2, NOW).mean_bytes) == 8


def test_room_is_kept_where_the_valley_is_and_who_comes_meanwhile_goes_elsewhere():
    nodes = chooser(100.0, 100.0)
    full = np.full(LANES, 90.0)
    valley = full.copy()
    valley[[(PRESENT + 2) % LANES, (PRESENT + 3) % LANES]] = 10.0
    nodes.add(0, loads(full))
    nodes.add(1, loads(valley))
    kept = keep_room(nodes, [slot("job", 70.0)], {}, everywhere(2), DEFAULT_BOUND)
    assert (kept.places, kept.unfit) == ({"job": 1}, ())
    night = loads(np.where(valley < 50.0, 30.0, 0.0))
    assert nodes.rank_within(night, 1, np.array([False, True])) == []


def test_room_stays_where_it_was_while_the_bound_is_kept():
    first = keep_room(chooser(100.0, 100.0), [slot("job", 40.0)], {"job": 1}, everywhere(2), DEFAULT_BOUND)
    assert first.places == {"job": 1}
    nodes = chooser(100.0, 100.0)
    nodes.add(1, loads(80.0))
    moved = keep_room(nodes, [slot("job", 40.0)], {"job": 1}, everywhere(2), DEFAULT_BOUND)
    assert moved.places == {"job": 0}


def test_what_fits_nowhere_is_named_and_counts_nowhere():
    nodes = chooser(100.0)
    nodes.add(0, loads(60.0))
    before = nodes.need_bytes.copy()
    kept = keep_room(nodes, [slot("job", 60.0)], {}, everywhere(1), DEFAULT_BOUND)
    assert (kept.places, [each.name for each in kept.unfit]) == ({}, ["job"])
    np.testing.assert_array_equal(nodes.need_bytes, before)


def test_only_where_the_scheduler_would_let_it_go():
    kept = keep_room(
        chooser(100.0, 100.0), [slot("job", 10.0)], {}, lambda _: np.array([False, True]), DEFAULT_BOUND
    )
    assert kept.places == {"job": 1}


def test_room_does_not_stay_where_the_scheduler_would_not_let_it_go_any_more():
    cordoned = keep_room(
        chooser(100.0, 100.0),
        [slot("job", 10.0)],
        {"job": 0},
        lambda _: np.array([False, True]),
        DEFAULT_BOUND,
    )
    assert cordoned.places == {"job": 1}


def test_what_others_leave_for_a_start_counts_there_before_they_are_gone_and_is_cordoned_like_all_else():
    nodes = chooser(100.0, 100.0)
    nodes.add(0, loads(60.0))
    nodes.add(1, loads(80.0))
    kept = keep_room(nodes, [slot("job", 60.0)], {}, everywhere(2), DEFAULT_BOUND, {"job": 0})
    assert (kept.places, kept.making, [each.name for each in kept.unfit]) == ({}, {"job": 0}, ["job"])
    assert nodes.need_bytes[0] > 120.0
    gone = chooser(100.0, 100.0)
    assert keep_room(gone, [slot("job", 60.0)], {}, everywhere(2), DEFAULT_BOUND, {"job": 0}).places == {
        "job": 0
    }
    barred = chooser(100.0, 100.0)
    barred.add(0, loads(60.0))
    away = keep_room(
        barred, [slot("job", 60.0)], {}, lambda _: np.array([False, True]), DEFAULT_BOUND, {"job": 0}
    )
    assert (away.places, away.making) == ({"job": 1}, {})


def test_the_earlier_start_is_served_first():
    late, soon = slot("a-late", 60.0, NOW + 3 * HOUR), slot("b-soon", 60.0)
    kept = keep_room(chooser(100.0), [late, soon], {}, everywhere(1), DEFAULT_BOUND)
    assert kept.places == {"b-soon": 0}
    assert kept.unfit == (late,)


def test_a_flood_of_new_slots_waits_its_turn():
    many = [slot(f"job-{each}", 1.0) for each in range(MOST_NEW + 5)]
    first = keep_room(chooser(1000.0), many, {}, everywhere(1), DEFAULT_BOUND)
    assert (len(first.places), first.unfit) == (MOST_NEW, ())
    second = keep_room(chooser(1000.0), many, first.places, everywhere(1), DEFAULT_BOUND)
    assert len(second.places) == MOST_NEW + 5


def test_a_pod_that_has_always_ended_counts_until_then_and_one_that_overstays_counts_on():
    started = np.array([NOW - HOUR, NOW - HOUR, NOW - 9 * HOUR, np.nan, NOW])
    stays = np.array([3, 0, 3, 3, LANES])
    runs = until_its_end(started, stays, NOW)
    assert runs.sum(axis=1).tolist() == [2, 24, 24, 24, 24]
    assert runs[0, PRESENT]
    assert runs[0, (PRESENT + 1) % LANES]
