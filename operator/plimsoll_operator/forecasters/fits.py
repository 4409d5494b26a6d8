"""What a worker process does with a task: Prophet's fits, and refits of the forecast's own weights.

In: a task of either kind. Out: its answer; every failure is an answer too.
"""

import time
from dataclasses import replace

from plimsoll.forecast.own import RefitAnswer, RefitTask, refit
from plimsoll.forecast.prophet import FitAnswer, FitTask
from plimsoll_operator.forecasters.prophet_fit import fit as prophet_fit


def fit(task: FitTask | RefitTask) -> FitAnswer | RefitAnswer:
    """Work a task off."""
    if isinstance(task, FitTask):
        return prophet_fit(task)
    begun = time.perf_counter()
    try:
        answer = refit(task)
    except Exception as error:  # noqa: BLE001 - the shipped weights stay, and the verdict says why
        answer = RefitAnswer(task.ticket, failure=f"{type(error).__name__}: {error}"[:300])
    return replace(answer, seconds=time.perf_counter() - begun)


def failed(task: FitTask | RefitTask, why: str) -> FitAnswer | RefitAnswer:
    """The answer to a task that nobody worked off."""
    if isinstance(task, FitTask):
        return FitAnswer(task.ticket, failure=why)
    return RefitAnswer(task.ticket, failure=why)
