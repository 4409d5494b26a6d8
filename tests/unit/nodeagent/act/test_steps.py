"""In: ranges, a clock that is moved by hand. Out: runs that are small enough, a stop when time is over."""

import numpy as np
import pytest

from builders.twin_node import Clock
from plimsoll_nodeagent.act.steps import over_after, pieces


def ranges(*rows: tuple[int, int]) -> np.ndarray:
    return np.array(rows, np.uint64).reshape(-1, 2)


@pytest.mark.parametrize(
    ("whole", "cut"),
    [
        ([], []),
        ([(0, 4)], [[(0, 4)]]),
        ([(0, 10), (20, 10)], [[(0, 10), (20, 6)], [(26, 4)]]),
        ([(0, 40)], [[(0, 16)], [(16, 16)], [(32, 8)]]),
        ([(0, 16), (50, 16)], [[(0, 16)], [(50, 16)]]),
    ],
)
def test_ranges_are_cut_in_order_and_none_is_lost(whole, cut):
    assert [each.tolist() for each in pieces(ranges(*whole), 16)] == [
        [list(row) for row in each] for each in cut
    ]


def test_a_turn_is_over_when_its_time_has_passed():
    clock = Clock()
    over = over_after(0.25, clock)
    clock.seconds += 0.2
    assert not over()
    clock.seconds += 0.05
    assert over()
