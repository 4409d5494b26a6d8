"""Recorded usage as memory: each series is a container whose history is remembered as if it had been watched.

In: trace files. Out: records of kind `history`. A recording's own dates are not kept: it is moved by whole
weeks, so that days and hours stay what they are, to end within the week before now.
"""

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from plimsoll.store.memory import Memory
from plimsoll.store.outlook import history_document
from plimsoll.usage.history import History
from plimsoll_cli.advice.subject import Subject
from plimsoll_cli.advice.traces import NOW_SECONDS, subjects_in_traces
from plimsoll_cli.traces.parquet import read_traces

WEEK_SECONDS = 7 * 86_400


def remember(memory: Memory, traces: Sequence[Path], now_seconds: float) -> int:
    """Remember every series; returns how many."""
    count = 0
    for subject in subjects_in_traces(read_traces(traces)):
        document = history_document(_checkpoint(subject, now_seconds), subject.quantity)
        key = str(subject.key).removesuffix(":")
        memory.store("history", key, document, now_seconds, samples=len(subject.past.seconds))
        count += 1
    return count


def _checkpoint(subject: Subject, now_seconds: float) -> bytes:
    later = math.floor((now_seconds - NOW_SECONDS) / WEEK_SECONDS) * WEEK_SECONDS
    end = NOW_SECONDS + later
    history = History(subject.quantity, 1)
    (row,) = history.add_rows(1)
    history.advance(end)
    past = subject.past
    history.append(np.full(len(past.seconds), row), past.seconds + later, past.bytes_, end)
    return history.checkpoint(int(row))
