"""Order statistics of rows with gaps: values of ranks, held within what was seen."""

import numpy as np
import pytest

from plimsoll.forecast.ordered import ordered

NAN = np.nan
ROWS = ordered(np.array([[3.0, NAN, 1.0, 2.0], [NAN] * 4, [7.0, NAN, NAN, NAN]]))


def test_a_rank_counts_only_what_was_seen():
    assert ROWS.count.tolist() == [3, 0, 1]
    assert ROWS.nth(np.array([1, 1, 1])) == pytest.approx([2.0, NAN, 7.0], nan_ok=True)


@pytest.mark.parametrize(("rank", "value"), [(-5.0, 1.0), (0.4, 1.0), (0.5, 1.0), (0.6, 2.0), (99.0, 3.0)])
def test_ranks_are_rounded_and_held_within_the_row(rank: float, value: float):
    assert ROWS.nth(np.full(3, rank))[0] == value


def test_several_ranks_a_row_give_as_many_values():
    assert ROWS.nth(np.array([[0, 2], [0, 2], [0, 2]]))[0].tolist() == [1.0, 3.0]


def test_the_nearest_value_to_a_share_of_the_way():
    assert [ROWS.nearest(share)[0] for share in (0.0, 0.3, 0.7, 1.0)] == [1.0, 2.0, 2.0, 3.0]


def test_rows_without_a_column_have_no_value():
    assert np.isnan(ordered(np.empty((2, 0))).nth(np.zeros((2, 3)))).all()


def test_single_precision_stays_single():
    assert ordered(np.zeros((1, 2), dtype=np.float32)).nearest(0.5).dtype == np.float32
