"""Loads by row: the newest stand for three hours, and no longer than the row."""

import numpy as np

from plimsoll_operator.engine.messages import RowLoads
from plimsoll_operator.place.book import LoadBook

NOW = 1_800_000_000.0


def loads(*rows, mib=1.0):
    n = len(rows)
    return RowLoads(
        np.array(rows, dtype=np.int32),
        np.full((n, 24), mib, dtype=np.float32),
        np.full(n, 2.0),
        np.full(n, 3.0),
        np.full(n, 0.5),
        np.full(n, 1 << 9, dtype=np.int32),
        np.full(n, 4, dtype=np.int8),
        np.array(rows) % 2 == 0,
    )


def known(book, *rows, now=NOW):
    return np.isfinite(book.of(np.array(rows), now).mean_bytes).all(axis=1).tolist()


def test_what_was_said_is_known_and_nothing_else():
    book = LoadBook()
    book.take(loads(3, 5000), NOW)
    assert known(book, 3, 4, 5000, 9999, -1, 0) == [True, False, True, False, False, False]
    found = book.of(np.array([5000]), NOW)
    assert (found.variance[0, 7], found.third[0, 7]) == (2.0, 3.0)


def test_it_is_renewed_grows_old_and_goes_with_its_row():
    book = LoadBook()
    book.take(loads(1, 2), NOW)
    book.take(loads(2, mib=7.0), NOW + 7200)
    assert book.of(np.array([2]), NOW).mean_bytes[0, 0] == 7.0
    assert known(book, 1, 2, now=NOW + 3 * 3600 + 1) == [False, True]
    book.forget((2, 70_000))
    assert known(book, 1, 2) == [True, False]


def test_who_has_fallen_silent_is_told_from_who_was_never_heard():
    book = LoadBook()
    book.take(loads(1, 2), NOW)
    book.take(loads(2, 4), NOW + 7200)
    book.take(loads(3, mib=np.nan), NOW)
    rows = np.array([1, 2, 3, 0, -1, 9999])
    assert book.faded(rows, NOW + 3 * 3600 + 1).tolist() == [True, False, False, False, False, False]
    assert not book.faded(rows, NOW + 60).any()
    book.forget((1,))
    assert not book.faded(rows, NOW + 3 * 3600 + 1).any()


def test_a_row_that_was_never_seen_has_none():
    book = LoadBook()
    book.take(loads(1, mib=np.nan), NOW)
    assert known(book, 1) == [False]
