"""Ranks among training inputs: those of `np.interp`, column by column, and never beyond -1 and 1."""

import numpy as np
import pytest

from plimsoll.forecast.ranks import ranks_among

KNOTS = [np.array([-2.0, 0.0, 0.5, 3.0]), np.array([1.0, 2.0]), np.array([5.0]), np.array([])]


def test_ranks_are_those_of_straight_lines_between_knots():
    values = np.random.default_rng(3).normal(0, 2, (300, 4)).astype(np.float32)
    ranks = ranks_among(KNOTS).of(values)
    for column in (0, 1):
        expected = np.interp(values[:, column], KNOTS[column], np.linspace(-1, 1, len(KNOTS[column])))
        assert ranks[:, column] == pytest.approx(expected, abs=1e-6)


def test_a_column_without_two_values_tells_nothing():
    ranks = ranks_among(KNOTS).of(np.array([[0, 0, -9, 9], [0, 0, 9, -9]], dtype=np.float32))
    assert (ranks[:, 2:] == 0).all()


def test_nothing_lies_outside_of_what_was_seen():
    ranks = ranks_among(KNOTS).of(np.array([[-1e9, -1e9, 0, 0], [1e9, 1e9, 0, 0]], dtype=np.float32))
    assert ranks[:, :2].tolist() == [[-1, -1], [1, 1]]


def test_a_knot_has_its_own_rank():
    values = np.array([[at, 1.0, 0, 0] for at in KNOTS[0]], dtype=np.float32)
    assert ranks_among(KNOTS).of(values)[:, 0] == pytest.approx([-1, -1 / 3, 1 / 3, 1])


def test_more_knots_than_can_be_counted_are_refused():
    with pytest.raises(ValueError, match="256 knots; there may be 255"):
        ranks_among([np.arange(256.0)])
