"""Addresses as blocks, and back."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from plimsoll.pages.blocks import (
    AIMED_BLOCKS,
    BLOCKS_OF_ALL,
    LEAST_AIMED_BLOCKS,
    LEAST_BLOCK_BYTES,
    Spans,
    address_of,
    aimed_blocks_for,
    block_bytes_for,
    keys_of,
    overlapping,
    process_of,
    runs_of,
    windows_of,
)

KIB64 = LEAST_BLOCK_BYTES


def spans(*pairs: tuple[int, int]) -> Spans:
    table = np.array(pairs, np.uint64).reshape(-1, 2)
    return Spans(table[:, 0], table[:, 1])


def test_a_block_that_a_span_only_touches_counts() -> None:
    keys = keys_of(spans((KIB64 - 1, KIB64 + 1), (5 * KIB64, 6 * KIB64)), KIB64, 0)
    assert keys.tolist() == [0, 1, 5]


def test_blocks_of_two_processes_never_are_neighbours() -> None:
    last, first = (1 << 57) - KIB64, 0
    one = keys_of(spans((last, last + KIB64)), KIB64, 3)
    two = keys_of(spans((first, KIB64)), KIB64, 4)
    assert process_of(np.concatenate([one, two])).tolist() == [3, 4]
    assert two[0] - one[0] > 1
    assert address_of(one, KIB64).tolist() == [last]


def test_blocks_grow_with_memory() -> None:
    assert block_bytes_for(1) == KIB64
    assert block_bytes_for(KIB64 * AIMED_BLOCKS) == KIB64
    assert block_bytes_for(KIB64 * AIMED_BLOCKS + 1) == 2 * KIB64


def test_all_containers_share_a_number_of_blocks() -> None:
    assert [aimed_blocks_for(each) for each in (0, 1, 8)] == [AIMED_BLOCKS] * 3
    assert aimed_blocks_for(100) == BLOCKS_OF_ALL // 100
    assert aimed_blocks_for(2000) == LEAST_AIMED_BLOCKS


def test_runs_join_what_is_consecutive() -> None:
    assert runs_of(np.array([3, 4, 5, 9, 11, 12])).tolist() == [[3, 3], [9, 1], [11, 2]]
    assert runs_of(np.array([], np.int64)).tolist() == []


@given(st.lists(st.tuples(st.integers(0, 60), st.integers(1, 6)), max_size=6), st.integers(0, 2**32 - 1))
def test_what_overlaps_is_what_both_have(lengths: list[tuple[int, int]], seed: int) -> None:
    rng = np.random.default_rng(seed)

    def drawn() -> tuple[Spans, set[int]]:
        at, pairs = 0, []
        for gap, length in lengths:
            at += gap // 10
            pairs.append((at, at + length + int(rng.integers(3))))
            at = pairs[-1][1]
        return spans(*pairs), {each for begin, end in pairs for each in range(begin, end)}

    (one, of_one), (two, of_two) = drawn(), drawn()
    found = overlapping(one, two)
    covered = [
        each for begin, end in zip(found.starts, found.ends, strict=True) for each in range(begin, end)
    ]
    assert len(covered) == len(set(covered))
    assert set(covered) == of_one & of_two


def test_windows_lie_within_their_blocks_and_mappings_wherever_they_are_drawn():
    block, page = 64 << 10, 4096
    spans = Spans(np.array([3 * page, 40 * page], np.uint64), np.array([37 * page, 41 * page], np.uint64))
    for draw in (np.zeros(1), np.full(3, 0.999999), np.random.default_rng(1).random(97)):
        found = windows_of(spans, block, 4, draw)
        starts, lengths = found.ranges[:, 0], found.ranges[:, 1]
        assert (lengths // page).tolist() == [4, 4, 4, 1]
        assert (starts // block).tolist() == [0, 1, 2, 2]
        assert (starts >= found.wholes[:, 0]).all()
        assert (starts + lengths <= found.wholes.sum(axis=1)).all()
        assert found.wholes.tolist() == [
            [3 * page, 13 * page],
            [16 * page, 16 * page],
            [32 * page, 5 * page],
            [40 * page, page],
        ]


def test_windows_as_large_as_blocks_are_all_of_the_memory():
    spans = Spans(np.array([0], np.uint64), np.array([1 << 20], np.uint64))
    found = windows_of(spans, 64 << 10, 16, np.array([0.5]))
    assert (found.ranges == found.wholes).all()
    assert int(found.ranges[:, 1].sum()) == 1 << 20


def test_no_memory_has_no_windows():
    none = np.zeros(0, np.uint64)
    assert len(windows_of(Spans(none, none), 64 << 10, 4, np.array([0.5])).ranges) == 0
