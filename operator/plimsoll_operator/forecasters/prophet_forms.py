"""Prophet's fits as bytes for other machines.

In: a `FitTask` or `FitAnswer`. Out: a document's bytes, and back. The same row in the same window is the same
task whoever asks. Whoever may write to Redis may have written an answer: it has the form that a fit gives, or
it is a failure.
"""

import numpy as np
import numpy.typing as npt

from plimsoll.forecast.prophet import SPANS, FitAnswer, FitTask
from plimsoll.forecast.protocol import LEVELS
from plimsoll.store.content import ContentError, decode, encode

MOST_HOURS = 24 * 7 * 10
MOST_SAMPLES = 10_000
MOST_BYTES = float(2**50)  # of a peak; beyond every machine
MOST_REMARKS, MOST_CHARACTERS = 16, 500

Float32Array = npt.NDArray[np.float32]


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
        if said["failure"]:
            return FitAnswer(ticket, failure=str(said["failure"])[:MOST_CHARACTERS])
        return FitAnswer(
            ticket,
            int(said["first_hour"]),
            _values(said["values_bytes"]),
            _errors(said["log_error"]),
            max(float(said["seconds"]), 0.0),
            tuple(str(each)[:MOST_CHARACTERS] for each in said["remarks"][:MOST_REMARKS]),
        )
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        return FitAnswer(ticket, failure=f"a worker's answer cannot be read: {error}")


def _values(said: object) -> Float32Array:
    """Peaks [hours, spans, levels], rising with the level. Raises `ContentError`."""
    values = np.asarray(said, dtype=np.float32)
    if values.ndim != len("hsl") or values.shape[1:] != (len(SPANS), len(LEVELS)):
        raise ContentError(f"values of the form {values.shape}")
    if not 0 < len(values) <= MOST_HOURS:
        raise ContentError(f"values of {len(values)} hours")
    if not (np.isfinite(values).all() and values.min() >= 0.0 and values.max() <= MOST_BYTES):
        raise ContentError("values that are no amounts of memory")
    if (np.diff(values, axis=2) < 0.0).any():
        raise ContentError("quantiles that fall")
    return values


def _errors(said: object) -> Float32Array:
    """Logs of past errors [hours]. Raises `ContentError`."""
    errors = np.asarray(said, dtype=np.float32)
    if errors.ndim != 1 or len(errors) > MOST_HOURS or not np.isfinite(errors).all():
        raise ContentError(f"errors of the form {errors.shape}, or that are no numbers")
    return errors
