"""Fits for tests of the worker pool. They run in the workers, so they live where those can import them."""

import os
import signal

import numpy as np

from plimsoll.forecast.prophet import SPANS, FitAnswer, FitTask
from plimsoll.forecast.protocol import LEVELS

CRASHES, HANGS = "2000-01-01", "2000-01-02"  # a holiday says what becomes of the task


def fit(task: FitTask) -> FitAnswer:
    """Answer with the process's id and niceness as values, crash or hang."""
    if CRASHES in task.holidays:
        os._exit(3)
    if HANGS in task.holidays:
        signal.pause()
    facts = np.array([[[os.getpid(), os.nice(0)]]], dtype=np.float32)
    return FitAnswer(task.ticket, values_bytes=facts, seconds=0.5)


def doubled(task: FitTask) -> FitAnswer:
    """Twice the last hour's peak: the same wherever it is done."""
    last = task.last_hour
    values = np.full((2, len(SPANS), len(LEVELS)), 2 * task.hourly_bytes[-1], dtype=np.float32)
    return FitAnswer(task.ticket, last + 1, values, np.array([0.1], dtype=np.float32), 0.5, (f"of {last}",))
