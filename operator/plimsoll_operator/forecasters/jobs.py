"""Fits as jobs for other machines: tasks and answers as bytes, and what makes two tasks the same.

In: a `FitTask` or `FitAnswer`. Out: a document's bytes, and back. A task's ident is a hash of all but its
ticket: the same row in the same window is the same job whoever asks, so that a second operator, or one that
was started again, gets the first one's answer.
"""

import hashlib

import numpy as np

from plimsoll.forecast.prophet import FitAnswer, FitTask
from plimsoll.store.content import ContentError, decode, encode

MOST_HOURS = 24 * 7 * 10
MOST_SAMPLES = 10_000


def task_bytes(task: FitTask) -> bytes:
    """Everything of a task but its ticket."""
    return encode(
        {
            "last_hour": int(task.last_hour),
            "hourly_bytes": np.asarray(task.hourly_bytes, dtype=np.float32),
            "holidays": list(task.holidays),
            "ahead_hours": int(task.ahead_hours),
            "samples": int(task.samples),
        }
    )


def ident_of(payload: bytes) -> str:
    """What the job is called."""
    return hashlib.sha256(payload).hexdigest()[:32]


def task_of(payload: bytes) -> FitTask:
    """The task in a job; its ticket means nothing here. Raises `ContentError`."""
    said = decode(payload)
    try:
        hours = np.asarray(said["hourly_bytes"], dtype=np.float32)
        ahead, samples = int(said["ahead_hours"]), int(said["samples"])
        if hours.ndim != 1 or len(hours) > MOST_HOURS or not 0 < ahead <= MOST_HOURS:
            raise ContentError(f"a task of {hours.shape} hours, {ahead} ahead")
        if not 0 < samples <= MOST_SAMPLES:
            raise ContentError(f"a task that asks for {samples} samples")
        return FitTask(0, int(said["last_hour"]), hours, tuple(map(str, said["holidays"])), ahead, samples)
    except (KeyError, TypeError, ValueError) as error:
        raise ContentError(f"a task cannot be read: {error}") from error


def answer_bytes(answer: FitAnswer) -> bytes:
    """Everything of an answer but its ticket."""
    return encode(
        {
            "first_hour": int(answer.first_hour),
            "values_bytes": np.asarray(answer.values_bytes, dtype=np.float32),
            "log_error": np.asarray(answer.log_error, dtype=np.float32),
            "seconds": float(answer.seconds),
            "remarks": list(answer.remarks),
            "failure": answer.failure,
        }
    )


def answer_of(data: bytes, ticket: int) -> FitAnswer:
    """The answer for a ticket; one that cannot be read is a failure that says so."""
    try:
        said = decode(data)
        return FitAnswer(
            ticket,
            int(said["first_hour"]),
            np.asarray(said["values_bytes"], dtype=np.float32),
            np.asarray(said["log_error"], dtype=np.float32),
            float(said["seconds"]),
            tuple(map(str, said["remarks"])),
            str(said["failure"]),
        )
    except (KeyError, TypeError, ValueError) as error:
        return FitAnswer(ticket, failure=f"a worker's answer cannot be read: {error}")
