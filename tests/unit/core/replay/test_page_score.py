"""The contract's three figures."""

import math

import pytest

from plimsoll.replay.page_score import PageCase, pool


def test_the_gap_is_the_share_of_what_belady_saves():
    case = PageCase(misses=80, lru_misses=100, belady_misses=60)
    assert case.gap_closed_percent == pytest.approx(50)
    assert case.misses_over_lru == pytest.approx(0.8)


def test_a_gap_is_clipped_and_left_out_where_belady_saves_a_tenth_or_less():
    assert PageCase(900, 100, 60).gap_closed_percent == -100
    assert PageCase(95, 100, 90).gap_closed_percent is None
    assert PageCase(0, 0, 0).gap_closed_percent is None


def test_pools_cases():
    pooled = pool([PageCase(80, 100, 60), PageCase(125, 100, 95), PageCase(0, 0, 0)])
    assert pooled.cases == 3
    assert pooled.mean_gap_percent == pytest.approx(50)
    assert pooled.geomean_misses_over_lru == pytest.approx(math.sqrt(0.8 * 1.25))
    assert pooled.worst_misses_over_lru == pytest.approx(1.25)


def test_nothing_is_no_number():
    assert math.isnan(pool([]).mean_gap_percent)
