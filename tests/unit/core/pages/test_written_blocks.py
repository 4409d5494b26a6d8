"""Pages that were written to, by block: a bound from below."""

import numpy as np

from plimsoll.pages.written_blocks import KEPT_SECONDS, WrittenBlocks

PAGE = 4096


def look(of: WrittenBlocks, blocks: dict[int, int], now: float) -> None:
    of.see(np.array(list(blocks), np.int64), np.array(list(blocks.values()), np.int64), now)


def test_of_each_block_the_look_that_showed_most_counts():
    of = WrittenBlocks()
    look(of, {1: 4, 2: 16}, 100.0)
    look(of, {1: 6, 9: 1}, 160.0)
    assert of.written_bytes(160.0, 120.0) == (6 + 16 + 1) * PAGE
    assert of.written_bytes(160.0, 30.0) == 7 * PAGE
    assert of.written_bytes(500.0, 120.0) == 0


def test_nothing_seen_is_nothing_written():
    of = WrittenBlocks()
    assert of.written_bytes(0.0, 120.0) == 0
    look(of, {}, 10.0)
    assert of.written_bytes(10.0, 120.0) == 0


def test_old_looks_and_those_of_a_clock_that_went_back_are_forgotten():
    of = WrittenBlocks()
    look(of, {1: 1}, 0.0)
    look(of, {2: 1}, KEPT_SECONDS + 1.0)
    assert of.written_bytes(KEPT_SECONDS + 1.0, 1e9) == PAGE
    look(of, {3: 2}, 5.0)
    assert of.written_bytes(5.0, 1e9) == 2 * PAGE
