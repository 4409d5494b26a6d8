"""What is tried is what is said: whose shift is given to whom, and when a raise looks further ahead."""

from types import SimpleNamespace

import numpy as np
import pytest

from builders.benches import bench_modules
from plimsoll.forecast.protocol import LEVELS, PeakDistribution
from plimsoll.forecast.workload_class import WorkloadClass
from plimsoll.recommend.buffer import MOST_SHIFT, SHIFT_STEP

FLAT, BURSTY = WorkloadClass.FLAT, WorkloadClass.BURSTY


@pytest.fixture(scope="module")
def bench():
    return bench_modules(tried="tried")


def came(bench, shift, hours, surplus, code):
    columns = (np.array(each, dtype=np.float64) for each in (shift, hours, surplus))
    return bench.tried.Came(*columns, np.array(code, dtype=np.int8))


def test_a_class_is_given_what_its_rows_came_to_by_their_hours(bench):
    two = [
        came(bench, [0.3, -0.1], [100, 300], [2, -0.2], [BURSTY, FLAT]),
        came(bench, [0.1], [200], [1], [BURSTY]),
    ]
    shifts = bench.tried.class_shifts(two, "mean")
    assert shifts[BURSTY] == pytest.approx((0.3 * 100 + 0.1 * 200) / (300 + bench.tried.PRIOR_HOURS))
    assert shifts[FLAT] == pytest.approx(-0.1 * 300 / (300 + bench.tried.PRIOR_HOURS))
    assert shifts[WorkloadClass.UNKNOWN] == pytest.approx(20 / (600 + bench.tried.PRIOR_HOURS))
    assert shifts[WorkloadClass.DIURNAL] == 0.0


def test_a_class_as_one_row_has_moved_by_all_its_surplus_within_the_bounds(bench):
    one = [came(bench, [0, 0, 0], [9, 9, 9], [1.5, 0.5, 9.0], [FLAT, FLAT, BURSTY])]
    shifts = bench.tried.class_shifts(one, "one row")
    assert shifts[FLAT] == pytest.approx(2 * SHIFT_STEP)
    assert shifts[BURSTY] == MOST_SHIFT


def test_every_level_of_a_row_is_moved_by_what_the_row_was_given(bench):
    said = SimpleNamespace(
        predict=lambda _horizon, levels: PeakDistribution(levels, np.full((2, len(levels)), 100.0))
    )
    model = SimpleNamespace(name="made", fit=lambda _window: said)
    given = np.array([0.0, 0.2, 0.1])
    fitted = bench.tried.Shifted(model, given).fit(SimpleNamespace(rows=np.array([1, 0])))
    values = fitted.predict(3600.0, LEVELS).values_bytes
    assert values[0] == pytest.approx(100 * np.exp(0.2))
    assert values[1] == pytest.approx(100.0)


def test_a_slope_is_one_that_both_halves_of_the_half_hour_agree_on(bench):
    rows = np.array(
        [
            [0, 0, 10, 20, 30, 40, 50, 60],  # rises by ten a bin
            [0, 0, 0, 0, 0, 0, 0, 60],  # rose once
            [0, 60, 50, 40, 30, 20, 10, 0],  # falls
            [np.nan, np.nan, np.nan, np.nan, np.nan, np.nan, 10, 20],  # nobody saw
        ],
        dtype=np.float64,
    )
    assert bench.tried.slope_of(rows).tolist() == [10.0, 10.0, 0.0, 0.0]


def test_a_limit_is_raised_where_the_rise_reaches_it_and_holds_it(bench):
    used, limit = np.full(4, 100.0), np.array([120.0, 120.0, 120.0, np.nan])
    raised = bench.tried.ahead(used, np.array([30.0, 10.0, np.nan, 30.0]), limit)
    assert raised[0] == pytest.approx(142.0)
    assert np.isnan(raised[1:]).all()
