"""A page trace checks itself once and numbers its pages without holes."""

import numpy as np
import pytest

from builders.pagetraces import page_trace
from plimsoll.pages.trace import PageTrace


def test_numbers_pages_without_holes() -> None:
    trace = page_trace([900, 5, 900, 7])
    assert trace.footprint_pages == 3
    assert trace.pages.tolist() == [5, 7, 900]
    assert trace.rows.tolist() == [2, 0, 2, 1]


def test_capacity_is_a_floor_of_at_least_eight_pages() -> None:
    trace = page_trace(list(range(103)))
    assert trace.capacity_pages(0.5) == 51
    assert trace.capacity_pages(0.01) == 8


def test_arrays_of_different_lengths_are_refused() -> None:
    with pytest.raises(ValueError, match="gap has 1 references, page 2"):
        PageTrace(np.zeros(2, np.uint32), np.zeros(2, np.uint8), np.zeros(1, np.uint32))


def test_wrong_types_and_kinds_are_refused() -> None:
    with pytest.raises(ValueError, match="page is int64"):
        PageTrace(np.zeros(2, np.int64), np.zeros(2, np.uint8), np.zeros(2, np.uint32))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="kind 7"):
        page_trace([1], kinds=[7])
