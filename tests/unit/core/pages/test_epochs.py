"""A trace is cut into epochs exactly as the replay contract says."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from builders.pagetraces import page_trace
from plimsoll.pages.epochs import EpochView, cut


def test_references_fall_into_the_contracts_epochs() -> None:
    # t = 10, 20, 39 of T = 40: epochs floor(4 t / 40) = 1, 2, 3
    view = cut(page_trace([7, 3, 7], kinds=[1, 2, 2], gaps=[10, 10, 19]), 4)
    assert view.page.tolist() == [3, 7]
    assert view.accessed.tolist() == [[False, False], [False, True], [True, False], [False, True]]
    assert view.written.tolist() == [[False, False], [False, False], [True, False], [False, True]]


@given(
    st.lists(st.tuples(st.integers(0, 9), st.integers(0, 2), st.integers(0, 1 << 31)), min_size=1),
    st.integers(1, 50),
)
def test_bits_agree_with_a_walk_through_the_references(references, epochs) -> None:
    pages, kinds, gaps = zip(*references, strict=True)
    view = cut(page_trace(pages, kinds, gaps), epochs)
    ends = np.cumsum(np.array(gaps, dtype=object))
    bits = {(epochs * int(t) // (int(ends[-1]) + 1), page) for t, page in zip(ends, pages, strict=True)}
    stores = {
        (epochs * int(t) // (int(ends[-1]) + 1), page)
        for t, page, kind in zip(ends, pages, kinds, strict=True)
        if kind == 2
    }
    assert {(e, int(view.page[p])) for e, p in zip(*np.nonzero(view.accessed), strict=True)} == bits
    assert {(e, int(view.page[p])) for e, p in zip(*np.nonzero(view.written), strict=True)} == stores
    assert view.footprint_pages == len(set(pages))
    assert view.epochs == epochs


def test_an_empty_trace_and_no_epochs_are_refused() -> None:
    with pytest.raises(ValueError, match="no references"):
        cut(page_trace([]), 4)
    with pytest.raises(ValueError, match="0 epochs"):
        cut(page_trace([1]), 0)


def test_bits_of_another_shape_are_refused() -> None:
    with pytest.raises(ValueError, match="for 3 pages"):
        EpochView(np.arange(3, dtype=np.uint32), np.zeros((2, 4), np.bool_), np.zeros((2, 4), np.bool_))
