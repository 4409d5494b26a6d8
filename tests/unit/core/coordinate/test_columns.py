"""Columns come back as they were, cost little, and nonsense is told from them."""

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from plimsoll.coordinate.columns import (
    LARGEST,
    MOST_ROWS,
    MOST_SHIFT_BITS,
    NOTHING,
    CodedColumn,
    ColumnError,
    decode_table,
    encode_column,
)

NUMBERS = st.one_of(st.just(float("nan")), st.integers(-LARGEST, LARGEST).map(float))
ROWS = st.integers(0, 70)


@settings(deadline=None)
@given(arrays(np.float64, ROWS, elements=NUMBERS))
def test_a_column_comes_back_as_it_was(values):
    coded = encode_column(values)
    np.testing.assert_array_equal(decode_table([coded], len(values))[0], values)


@settings(deadline=None)
@given(arrays(np.int64, ROWS, elements=st.integers(0, 2**40)))
def test_whole_pages_cost_no_more_than_pages(pages):
    # No more zero bits are cut than MOST_SHIFT_BITS: all of a column would have to be whole terabytes.
    together = int(np.bitwise_or.reduce(pages)) if len(pages) else 0
    assume((together & -together).bit_length() + 12 <= MOST_SHIFT_BITS)
    by_page, by_byte = encode_column(pages.astype(float)), encode_column(pages * 4096.0)
    assert list(by_byte.scaled_deltas) == list(by_page.scaled_deltas)


@settings(deadline=None)
@given(
    st.integers(-5, 80),
    st.lists(st.integers(-(2**63), 2**63 - 1), max_size=80),
    st.binary(max_size=12),
    st.integers(-3, 80),
)
def test_nonsense_is_a_column_error_and_never_another(shift, deltas, bitmap, rows):
    try:
        values = decode_table([CodedColumn(shift, deltas, bitmap)], rows)[0]
    except ColumnError:
        return
    assert len(values) == rows
    assert np.all(np.isnan(values) | (np.abs(values) <= LARGEST))


def test_a_column_where_nothing_is_known_is_empty():
    assert encode_column(np.array([np.nan, np.inf])) is NOTHING
    assert np.isnan(decode_table([NOTHING], 3)).all()


def test_more_rows_than_a_batch_holds_are_refused():
    with pytest.raises(ColumnError, match="4097 rows"):
        encode_column(np.zeros(MOST_ROWS + 1))
    with pytest.raises(ColumnError, match="4097 rows"):
        decode_table([NOTHING], MOST_ROWS + 1)


def test_a_value_that_float64_cannot_hold_is_refused():
    with pytest.raises(ColumnError, match="more than a column holds"):
        encode_column(np.array([1e17]))
