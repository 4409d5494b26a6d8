"""Rows: when they are due, that they outlive pods, that a row given away forgets."""

import numpy as np

from builders.engine import NOW, WORKING_SET, member
from plimsoll.usage.sample import Quantity
from plimsoll_operator.engine.rows import RowTable

KEYS = [member(workload=f"w{i}").key for i in range(600)]


def table_of(count):
    table = RowTable()
    table.assign({row: (KEYS[row], WORKING_SET) for row in range(count)})
    return table, np.arange(count, dtype=np.int32)


def test_every_row_is_due_once_an_hour_and_never_all_together():
    table, rows = table_of(600)
    first = table.due(rows, NOW)
    assert len(first) == 600
    table.decided(first, NOW)
    counts = []
    for minute in range(1, 60):
        due = table.due(rows, NOW + 300 + 60 * minute)
        table.decided(due, NOW + 300 + 60 * minute)
        counts.append(len(due))
    assert sum(counts) == 600
    assert max(counts) < 100


def test_a_missed_hour_makes_everything_due():
    table, rows = table_of(20)
    table.decided(rows, NOW)
    assert len(table.due(rows, NOW + 3600)) == 20


def test_a_decision_of_the_future_does_not_silence_a_row():
    table, rows = table_of(20)
    table.decided(rows, NOW + 86_400)
    assert len(table.due(rows, NOW)) == 20


def test_a_row_given_to_another_container_forgets_the_first():
    table, rows = table_of(1)
    history = table.store(0).history
    history.append(table.places(rows), NOW, 5.0, NOW)
    assert table.assign({0: (KEYS[0], WORKING_SET)}) == []
    assert table.assign({0: (KEYS[1], WORKING_SET)}) == [0]
    assert np.isnan(history.five_minute(table.places(rows))).all()


def test_usage_and_working_sets_never_share_a_history():
    table, _rows = table_of(1)
    table.assign({1: (KEYS[1], Quantity.USAGE)})
    assert table.store(0).history is not table.store(1).history
    both = np.array([0, 1], dtype=np.int32)
    assert table.of_quantity(both, Quantity.USAGE).tolist() == [1]
    assert table.holding(np.array([-1, 0, 1], dtype=np.int32), Quantity.USAGE).tolist() == [
        False,
        False,
        True,
    ]


def test_forgetting_frees_and_an_unknown_row_is_harmless():
    table, _ = table_of(3)
    table.forget((1, 99))
    assert not table.known(1)
    assert len(table.store(0).history) == 2


def test_row_ids_may_be_any():
    table = RowTable()
    table.assign({50_000: (KEYS[0], WORKING_SET)})
    assert len(table) > 50_000
    assert table.known(50_000)
