import numpy as np
import pytest

from plimsoll.pages.working_set import IdleAges, need

MIB = 1 << 20
AGES = IdleAges(np.array([0.0, 10.0, 60.0, 300.0, np.inf]), np.array([100.0, 50.0, 40.0, 10.0]))


@pytest.mark.parametrize(
    ("seconds", "idle"), [(0, 200), (10, 100), (35, 50), (60, 50), (180, 10), (300, 10), (301, 0)]
)
def test_a_bin_is_idle_from_its_lower_edge_on_and_in_use_before(seconds: float, idle: float):
    assert AGES.idle_bytes(seconds) == pytest.approx(idle)
    assert AGES.working_set_bytes(seconds) == pytest.approx(200 - idle)


@pytest.mark.parametrize(
    ("edges", "amounts"),
    [([0, 1], [1, 2]), ([1, 2], [1]), ([0, 0], [1]), ([0, 1], [-1]), ([0, 1], [np.nan]), ([0], [])],
)
def test_what_is_no_histogram_is_refused(edges: list[float], amounts: list[float]):
    with pytest.raises(ValueError, match=r"edges|bytes"):
        IdleAges(np.array(edges, float), np.array(amounts, float))


def test_needed_is_what_is_hot_and_what_reclaim_could_not_take():
    found = need(100 * MIB, 60 * MIB, file_bytes=20 * MIB, swap_room_bytes=10 * MIB)
    assert (found.hot_bytes, found.cold_bytes) == (40 * MIB, 60 * MIB)
    assert (found.needed_bytes, found.stuck_bytes) == (70 * MIB, 30 * MIB)


def test_what_the_kernel_did_not_give_is_needed_too():
    assert need(100 * MIB, 60 * MIB, 60 * MIB, 0, yield_ratio=0.5).needed_bytes == 70 * MIB


def test_who_thrashes_needs_all_of_it():
    assert need(100 * MIB, 60 * MIB, 60 * MIB, 0, thrashes=True).needed_bytes == 100 * MIB


def test_more_cold_than_there_is_is_all_of_it():
    assert need(10 * MIB, 60 * MIB, 60 * MIB, 0).needed_bytes == 0
