"""Refits of the forecast's own weights as bytes for other machines.

In: a `RefitTask` or `RefitAnswer`. Out: bytes, and back; tasks are packed, as lessons are megabytes. Lessons
are features without units and codes of workloads: no names, no bytes of anybody's usage. Own weights of an
answer have the shapes of the networks that ship, and are judged again on the asker's lessons.
"""

import numpy as np

from plimsoll.forecast.features import LOG_LEVELS
from plimsoll.forecast.hazard import shipped_networks
from plimsoll.forecast.own import Lessons, RefitAnswer, RefitTask, confirmed
from plimsoll.recommend.lessons import MOST_LESSONS
from plimsoll.store.content import ContentError, decode, encode
from plimsoll.store.levels.packing import packed, unpacked
from plimsoll.store.record import DamagedError
from plimsoll_operator.forecasters.own_file import own_document, own_of

MOST_BYTES = 24 << 20  # of a task that is unpacked; `MOST_LESSONS` have 14 MiB
MOST_CHARACTERS = 500


def task_bytes(task: RefitTask) -> bytes:
    """Everything of a task but its ticket. Raises `ContentError` for one that is too large."""
    lessons = task.lessons
    if len(lessons) > MOST_LESSONS:
        raise ContentError(f"a refit to {len(lessons)} lessons, at most {MOST_LESSONS} are handed out")
    return packed(
        encode(
            {
                "row": np.asarray(lessons.row, dtype=np.float32),
                "level": np.asarray(lessons.level, dtype=np.float32),
                "need": np.asarray(lessons.need, dtype=np.int64),
                "workload": np.asarray(lessons.workload, dtype=np.int64),
            }
        )
    )


def task_of(payload: bytes) -> RefitTask:
    """The task in a job; its ticket means nothing here. Raises `ContentError`."""
    try:
        said = decode(unpacked(payload, MOST_BYTES), MOST_BYTES)
        row, level = (np.asarray(said[name], dtype=np.float32) for name in ("row", "level"))
        need, workload = (np.asarray(said[name], dtype=np.int64) for name in ("need", "workload"))
    except (KeyError, TypeError, ValueError, DamagedError) as error:
        raise ContentError(f"a task cannot be read: {error}") from error
    count, network = len(need) if need.ndim else 0, shipped_networks()[0]
    shapes = [
        (count, len(network.row_knots)),
        (count, len(LOG_LEVELS), len(network.level_knots)),
        (count,),
        (count,),
    ]
    if count > MOST_LESSONS or [each.shape for each in (row, level, need, workload)] != shapes:
        raise ContentError(f"a refit to lessons of the forms {row.shape} and {level.shape}")
    return RefitTask(0, Lessons(row, level, need, workload))


def answer_bytes(answer: RefitAnswer) -> bytes:
    """Own weights, or why there are none; how they did is judged again where they are used."""
    return encode(
        {
            "own": None if answer.own is None else own_document(answer.own),
            "verdict": answer.verdict,
            "seconds": float(answer.seconds),
            "failure": answer.failure,
        }
    )


def answer_of(data: bytes, task: RefitTask) -> RefitAnswer:
    """The answer to a task, judged; one that cannot be read is a failure that says so."""
    try:
        said = decode(data)
        if said["failure"]:
            return RefitAnswer(task.ticket, failure=str(said["failure"])[:MOST_CHARACTERS])
        own = None if said["own"] is None else own_of(said["own"])
        verdict, seconds = str(said["verdict"])[:MOST_CHARACTERS], max(float(said["seconds"]), 0.0)
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        why = f"a worker's answer cannot be read: {error}"[:MOST_CHARACTERS]
        return RefitAnswer(task.ticket, failure=why)
    return confirmed(RefitAnswer(task.ticket, own, verdict=verdict, seconds=seconds), task)
