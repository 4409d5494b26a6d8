"""The table of live containers: names taken over, samples of strangers, ages of replicas."""

import numpy as np
import pytest

from builders.engine import MIB, NOW, member
from plimsoll_operator.engine.members import UNKNOWN, MemberTable


def observe(table, now, **used):
    names = [("shop", pod.replace("_", "-"), "app") for pod in used]
    values = np.array([float(value) for value in used.values()])
    return table.observe(table.locate(names), np.full(len(names), now), values, now)


def table_of(*members, now=NOW):
    table = MemberTable()
    for each in members:
        table.add(each)
    table.begin(now)
    return table


def test_a_row_shows_the_largest_of_its_pods_and_the_age_of_the_least_known():
    table = table_of(member(0, "a"), member(0, "b"), member(3, "c", "other"))
    observe(table, NOW, a=5, b=9)
    observe(table, NOW + 60, a=4, c=1)
    usage = table.usage(NOW + 60)
    assert usage.rows.tolist() == [0, 3]
    assert usage.current_bytes.tolist() == [9, 1]
    assert usage.age_seconds.tolist() == [60, 0]


def test_a_pod_without_a_sample_ages_from_the_tick_it_came_with():
    table = table_of(member(0, "a"))
    assert table.usage(NOW + 30).age_seconds.tolist() == [30]
    assert table.stale(NOW + 200, 120) == 1
    observe(table, NOW + 200, a=1)
    assert table.stale(NOW + 200, 120) == 0


def test_strangers_are_harmless():
    table = table_of(member(0, "a"))
    assert observe(table, NOW, a=1, stranger=7).tolist() == [True, False]
    table.remove(("uid-nobody", "app"))
    assert len(table) == 1


def test_two_pods_with_the_same_container_name_are_two():
    table = table_of(member(0, "a"), member(1, "b", "other"))
    observe(table, NOW, a=1, b=2)
    assert table.usage(NOW).current_bytes.tolist() == [1, 2]


def test_a_pod_recreated_under_its_name_keeps_the_name_when_the_old_one_goes():
    table = table_of(member(0, "db-0", pod_uid="old"))
    table.add(member(0, "db-0", pod_uid="new"))
    table.remove(("old", "app"))
    table.begin(NOW)
    observe(table, NOW, db_0=3)
    assert len(table) == 1
    assert table.usage(NOW).current_bytes.tolist() == [3]
    table.remove(("new", "app"))
    assert table.locate([("shop", "db-0", "app")]).tolist() == [UNKNOWN]


def test_a_freed_slot_remembers_nothing_of_its_last_owner():
    table = table_of(member(0, "a"))
    observe(table, NOW, a=99)
    table.remove(("uid-a", "app"))
    table.add(member(1, "b", "other"))
    table.begin(NOW + 60)
    usage = table.usage(NOW + 60)
    assert np.isnan(usage.current_bytes[0])
    assert usage.age_seconds.tolist() == [0]


@pytest.mark.parametrize("value", [np.nan, -1.0, np.inf, 2.0**60])
def test_a_value_that_cannot_be_is_not_taken(value):
    table = table_of(member(0, "a"))
    observe(table, NOW, a=5)
    assert observe(table, NOW + 60, a=value).tolist() == [False]
    assert table.usage(NOW + 60).current_bytes.tolist() == [5]
    assert table.usage(NOW + 60).age_seconds.tolist() == [60]


@pytest.mark.parametrize("at", [NOW + 10_000, np.nan, np.inf])
def test_a_time_that_cannot_be_is_not_taken(at):
    table = table_of(member(0, "a"))
    assert table.observe(np.array([0]), np.array([at]), np.array([5.0]), NOW).tolist() == [False]


def test_an_older_sample_changes_nothing_and_of_equals_the_highest_counts():
    table = table_of(member(0, "a"))
    slots = np.zeros(4, dtype=np.int64)
    at = np.array([NOW, NOW, NOW - 60, NOW])
    table.observe(slots, at, np.array([3.0, 7.0, 99.0, 5.0]), NOW)
    assert table.usage(NOW).current_bytes.tolist() == [7]
    table.observe(slots[:1], np.array([NOW - 1]), np.array([50.0]), NOW)
    assert table.usage(NOW).current_bytes.tolist() == [7]
    table.observe(slots[:1], np.array([NOW]), np.array([8.0]), NOW)
    assert table.usage(NOW).current_bytes.tolist() == [8]
    table.observe(slots[:1], np.array([NOW + 60]), np.array([1.0]), NOW + 60)
    assert table.usage(NOW + 60).current_bytes.tolist() == [1]


def test_the_limit_of_a_row_is_its_lowest():
    table = table_of(
        member(0, "a", limit=9 * MIB), member(0, "b", limit=5 * MIB), member(1, "c", "x", limit=None)
    )
    assert table.row_limits(2)[0] == 5 * MIB
    assert np.isnan(table.row_limits(2)[1])


def test_pods_are_found_by_row_and_more_fit_than_there_was_room_for():
    table = table_of(*(member(i % 3, f"p{i}") for i in range(3000)))
    assert len(table.pods_of([1])[1]) == 1000
    assert len(table.live()) == 3000


def test_what_histories_are_told_is_what_kube_nodes_use_and_what_peaks_are_of():
    table = table_of(member(0, "a"), member(0, "b"))
    slots, when = table.live(), np.full(2, NOW)
    table.observe(slots, when, np.array([50.0, 70.0]), NOW, np.array([30.0, 70.0]))
    table.observe(slots, when + 60, np.array([40.0, 60.0]), NOW + 60, np.array([20.0, 60.0]))
    assert table.node_use(NOW + 60, 120).used_bytes.tolist() == [80.0]
    assert table.usage(NOW + 60).current_bytes.tolist() == [60.0]  # that is of limits, which cache counts in
    assert table.peak_bytes(slots).tolist() == [30.0, 70.0]
    table.peaks_from_now_on()
    table.observe(slots, when + 120, np.array([40.0, 60.0]), NOW + 120, np.array([np.nan, 60.0]))
    assert np.isnan(table.node_use(NOW + 120, 120).used_bytes).tolist() == [True]
    assert np.isnan(table.peak_bytes(slots)).tolist() == [True, False]
