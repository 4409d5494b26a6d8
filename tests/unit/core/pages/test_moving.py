"""Columns carried from one set of pages to the next."""

import numpy as np

from plimsoll.pages.moving import Move


def test_what_both_sets_have_is_kept_and_the_rest_is_fresh() -> None:
    move = Move.between(np.array([2, 5, 9]), np.array([1, 5, 9, 12]))
    assert move.carry(np.array([20.0, 50.0, 90.0]), -1.0).tolist() == [-1.0, 50.0, 90.0, -1.0]
    assert move.row_after(3).tolist() == [-1, 1, 2]


def test_nothing_in_common_carries_nothing() -> None:
    move = Move.between(np.array([1]), np.array([], dtype=np.int64))
    assert move.carry(np.array([True]), fresh=False).tolist() == []
