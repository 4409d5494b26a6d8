"""Fits as jobs for other machines: tasks and answers as bytes, and what makes two tasks the same.

In: a task or an answer of either kind. Out: bytes, and back. A task's ident is a hash of all but its ticket:
the same task is the same job whoever asks, so that an operator that was started again gets the answer that
was meant for the one before. Prophet's tasks are documents, refits packed documents (`prophet_forms`,
`refit_forms`).
"""

import hashlib

from plimsoll.forecast.own import RefitAnswer, RefitTask
from plimsoll.forecast.prophet import FitAnswer, FitTask
from plimsoll.store.content import is_document
from plimsoll_operator.forecasters import prophet_forms, refit_forms


def task_bytes(task: FitTask | RefitTask) -> bytes:
    """Everything of a task but its ticket. Raises `ContentError` for one that is too large."""
    return prophet_forms.task_bytes(task) if isinstance(task, FitTask) else refit_forms.task_bytes(task)


def ident_of(payload: bytes) -> str:
    """What the job is called."""
    return hashlib.sha256(payload).hexdigest()[:32]


def task_of(payload: bytes) -> FitTask | RefitTask:
    """The task in a job; its ticket means nothing here. Raises `ContentError`."""
    return prophet_forms.task_of(payload) if is_document(payload) else refit_forms.task_of(payload)


def answer_bytes(answer: FitAnswer | RefitAnswer) -> bytes:
    """Everything of an answer but its ticket."""
    if isinstance(answer, FitAnswer):
        return prophet_forms.answer_bytes(answer)
    return refit_forms.answer_bytes(answer)


def answer_of(data: bytes, task: FitTask | RefitTask) -> FitAnswer | RefitAnswer:
    """The answer to a task, with its ticket; one that cannot be read is a failure that says so.

    Whoever may write to Redis may have written it: it has the form that a fit gives, and weights pass the
    guard here as well, or it is none.
    """
    if isinstance(task, FitTask):
        return prophet_forms.answer_of(data, task.ticket)
    return refit_forms.answer_of(data, task)
