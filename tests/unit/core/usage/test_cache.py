"""Cache that fills the room there is does not count as needed; what a row kept with room to grow does."""

import numpy as np
import pytest

from builders.histories import MIB
from plimsoll.usage.cache import FULL, CacheFloor

ROW = np.array([0], dtype=np.int32)
NOW = 1_790_000_000.0 // 3600 * 3600
HOUR = 3600.0


def column(mib: float) -> np.ndarray:
    return np.array([mib * MIB])


class Row:
    """A container with `anon` MiB that nobody can take back, and a floor that hears of it hour by hour."""

    def __init__(self, anon: float = 100.0) -> None:
        self.floor, self.anon, self.now = CacheFloor(), anon, NOW

    def needs(self, cache: float, limit: float, hours: float = 1.0) -> float:
        self.now += hours * HOUR
        used = column(self.anon + cache)
        return float(self.floor.needed(ROW, used, column(cache), column(limit), self.now)[0] / MIB)


def test_what_is_there_at_first_is_needed():
    assert Row().needs(cache=50, limit=1000) == 150


def test_cache_that_grows_with_the_limit_is_not_needed_however_long_it_lasts():
    row = Row()
    row.needs(cache=50, limit=160)
    for hour in range(100):  # the limit follows, the cache fills it
        limit = 160 + 20 * hour
        assert row.needs(cache=limit - 105, limit=limit) <= 150.01


def test_cache_that_is_kept_for_a_day_with_room_to_grow_is_needed():
    row = Row()
    row.needs(cache=50, limit=1000)
    grown = [row.needs(cache=300, limit=1000) for _ in range(26)]
    assert FULL > (100 + 300) / 1000
    assert grown[0] == pytest.approx(150)
    assert grown[-1] == pytest.approx(400)


def test_anonymous_memory_always_counts():
    row = Row()
    row.needs(cache=50, limit=160)
    row.anon = 140
    assert row.needs(cache=10, limit=160) == pytest.approx(150)


def test_without_a_figure_and_with_an_impossible_one_all_counts():
    floor = CacheFloor()
    floor.needed(ROW, column(100), column(1), column(1000), NOW)
    for cache in (np.nan, -1.0, 200.0):
        assert floor.needed(ROW, column(100), column(cache), column(1000), NOW)[0] == 100 * MIB


def test_a_kill_makes_all_of_it_count_again():
    row = Row()
    row.needs(cache=10, limit=1000)
    assert row.needs(cache=200, limit=1000) == pytest.approx(110)
    row.floor.doubt(ROW)
    assert row.needs(cache=200, limit=1000) == pytest.approx(300)


def test_rows_do_not_mix_and_unknown_containers_are_left_alone():
    floor = CacheFloor()
    rows, used = np.array([3, -1, 7], dtype=np.int32), np.full(3, 500 * MIB)
    limits = np.full(3, np.nan)
    floor.needed(rows, used, np.array([100.0, 10.0, 400.0]) * MIB, limits, NOW)
    again = floor.needed(rows, used, np.full(3, 400 * MIB), limits, NOW)
    assert (again / MIB).tolist() == pytest.approx([200, 500, 500])
