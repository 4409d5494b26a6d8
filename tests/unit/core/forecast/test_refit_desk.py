"""When refits are due, and that the model follows their verdicts and nothing else."""

import numpy as np
import pytest

from builders.histories import steady, window_of
from builders.lessons import lessons_of
from plimsoll.forecast.hazard import HazardPeak
from plimsoll.forecast.own import RefitAnswer, refit
from plimsoll.forecast.protocol import LEVELS
from plimsoll.forecast.refit_desk import REFIT_SECONDS, RefitDesk
from plimsoll.recommend.lessons import LessonBook

NOW = 1_800_000_000.0
WINDOW = window_of(steady(2, noise=0.1))


class Full(LessonBook):
    """A book that was written by the test."""

    def __init__(self, lessons) -> None:
        super().__init__()
        self._given = lessons

    def __len__(self) -> int:
        return len(self._given)

    def lessons(self):
        return self._given


def said(model) -> np.ndarray:
    return model.fit(WINDOW).predict(3600.0, LEVELS).values_bytes


@pytest.fixture(scope="module")
def risky():
    return lessons_of(100, 20, moved=1.5)


def test_it_is_due_once_a_day_with_enough_lessons(risky):
    assert list(RefitDesk(LessonBook()).due(NOW, 8)) == []
    desk = RefitDesk(Full(risky))
    assert list(desk.due(NOW, 0)) == []
    (task,) = desk.due(NOW, 8)
    assert list(desk.due(NOW + 2 * REFIT_SECONDS, 8)) == []  # it is out
    desk.take(RefitAnswer(task.ticket, verdict="no"))
    assert list(desk.due(NOW + REFIT_SECONDS - 60, 8)) == []
    assert len(list(desk.due(NOW + REFIT_SECONDS, 8))) == 1


def test_the_model_follows_the_verdict(risky):
    shipped = said(HazardPeak())
    desk = RefitDesk(Full(risky))
    np.testing.assert_array_equal(said(desk.model), shipped)
    (task,) = desk.due(NOW, 1)
    desk.take(refit(task))
    assert desk.own is not None
    assert desk.own.made_seconds == NOW
    own = said(desk.model)
    assert (own >= shipped).all()
    assert (own > shipped).any()
    (task,) = desk.due(NOW + REFIT_SECONDS, 1)
    desk.take(RefitAnswer(task.ticket, failure="the worker died"))
    np.testing.assert_array_equal(said(desk.model), own)
    (task,) = desk.due(NOW + 2 * REFIT_SECONDS, 1)
    desk.take(RefitAnswer(task.ticket, verdict="shipped weights stay"))
    assert desk.own is None
    np.testing.assert_array_equal(said(desk.model), shipped)


def test_an_answer_that_nobody_waits_for_changes_nothing(risky):
    desk = RefitDesk(Full(risky))
    (task,) = desk.due(NOW, 1)
    desk.take(RefitAnswer(task.ticket + 1, verdict="of somebody else"))
    assert desk.verdict == ""
    assert desk.count() == {}
