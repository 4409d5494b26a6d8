"""What relatives did tells a young row how far it may go; an old row, and one unlike them, is left alone."""

import numpy as np
import pytest

from builders.histories import MIB, history_of, steady
from plimsoll.forecast.protocol import LEVELS, PeakDistribution
from plimsoll.pipeline import LimitPipeline
from plimsoll.recommend.relatives import MOST_STEPS, Relatives, steps_of

ROW = np.array([0], dtype=np.int32)


def quiet(hours: int) -> np.ndarray:
    return 100 * MIB * np.ones(hours)


def jumpy(hours: int) -> np.ndarray:
    """Every second hour three times as much as the one before."""
    return 100 * MIB * np.where(np.arange(hours) % 2, 3.0, 1.0)


def target(usage: np.ndarray, *relatives: np.ndarray) -> float:
    history, rows, now = history_of(usage)
    pipeline = LimitPipeline(history)
    if relatives:
        pipeline.observe_relatives({int(rows[0]): steps_of(relatives)})
    return float(pipeline.decide(rows, now).target_bytes[0])


YOUNG = steady(6 / 24)


def test_relatives_that_jump_from_where_a_young_row_is_raise_its_limit():
    assert target(YOUNG, jumpy(400)) > 2 * target(YOUNG)


def test_relatives_that_stay_lower_it_but_never_below_use():
    told, alone = target(YOUNG, quiet(400)), target(YOUNG)
    assert YOUNG.max() < told <= alone


def test_a_row_of_two_days_and_a_row_that_is_unlike_its_relatives_stand_alone():
    old = steady(3)
    assert target(old, jumpy(400)) == target(old)
    assert target(10 * YOUNG, jumpy(400)) == target(10 * YOUNG)


def test_steps_are_pairs_of_neighbouring_hours_that_were_both_seen():
    hours = np.array([1.0, 2.0, np.nan, 4.0, 8.0])
    assert np.exp(steps_of([hours])) == pytest.approx(np.array([[1.0, 2.0], [4.0, 8.0]]))
    assert steps_of([]).shape == (0, 2)
    assert len(steps_of([quiet(900), quiet(900)])) == MOST_STEPS


def test_forgotten_rows_hear_of_nobody():
    relatives = Relatives()
    relatives.tell({0: steps_of([jumpy(400)])})
    said = PeakDistribution(LEVELS, 100 * MIB * np.linspace(1, 2, len(LEVELS))[None, :])
    window = LimitPipeline(history_of(YOUNG)[0]).look(ROW, history_of(YOUNG)[2])
    assert relatives.corrected(said, ROW, window) is not said
    relatives.forget(ROW)
    assert relatives.corrected(said, ROW, window) is said
