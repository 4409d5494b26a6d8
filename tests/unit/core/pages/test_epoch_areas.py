"""The activity of a page's area."""

import numpy as np
import pytest

from plimsoll.pages.epoch_areas import AREA_PAGES_LOG2, LEAST_ACTIVITY, AreaActivity

FAR = 1 << AREA_PAGES_LOG2


def test_a_busy_area_counts_for_its_pages_only() -> None:
    areas = AreaActivity(np.array([0, 1, FAR, FAR + 1], np.uint32))
    touched = np.ones(4, np.bool_)
    for _ in range(300):
        areas.step(np.array([True, True, False, False]), touched)
    busy, still = areas.octaves()[[0, 2]]
    assert busy == pytest.approx(0, abs=0.01)
    assert still == pytest.approx(np.log2(LEAST_ACTIVITY))


def test_pages_never_touched_do_not_make_an_area_quiet() -> None:
    page = np.array([0, 1, 2, 3], np.uint32)
    some, all_touched = AreaActivity(page), AreaActivity(page)
    accessed = np.array([True, False, False, False])
    some.step(accessed, accessed)
    all_touched.step(accessed, np.ones(4, np.bool_))
    assert some.octaves()[0] > all_touched.octaves()[0]
