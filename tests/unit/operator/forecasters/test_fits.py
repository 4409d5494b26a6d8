"""A task that nobody worked off is answered in its own kind."""

import numpy as np

from plimsoll.forecast.own import Lessons, RefitAnswer, RefitTask
from plimsoll.forecast.prophet import FitAnswer, FitTask
from plimsoll_operator.forecasters.fits import failed


def test_a_failure_is_an_answer_of_the_tasks_own_kind():
    lessons = Lessons(*(np.empty(0) for _ in range(4)))
    assert failed(RefitTask(3, lessons), "gone") == RefitAnswer(3, failure="gone")
    assert failed(FitTask(4, 100, np.zeros(3, dtype=np.float32), ()), "gone").failure == "gone"
    assert isinstance(failed(FitTask(4, 100, np.zeros(3, dtype=np.float32), ()), "gone"), FitAnswer)
