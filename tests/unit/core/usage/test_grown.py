"""Columns that become longer as higher row numbers come."""

import numpy as np

from plimsoll.usage.grown import grown, rows_up_to


def test_a_column_that_is_long_enough_is_the_same_one():
    column = np.arange(4)
    assert grown(column, 4, -1) is column


def test_new_rows_say_nothing_and_the_old_ones_stay():
    longer = grown(np.array([5, 6, 7], dtype=np.int16), 4, -1)
    assert longer.tolist() == [5, 6, 7, -1, -1, -1]
    assert longer.dtype == np.int16


def test_a_column_doubles_at_least_so_that_rows_one_by_one_are_rarely_copied():
    column, copies = np.zeros((1, 2)), 0
    for rows in range(1, 1001):
        longer = grown(column, rows, np.nan)
        copies += longer is not column
        column = longer
    assert copies <= 10
    assert column.shape == (1024, 2)


def test_the_highest_row_says_how_long():
    assert rows_up_to(np.array([3, 9, 1], dtype=np.int32)) == 10
    assert rows_up_to(np.array([], dtype=np.int32)) == 0
