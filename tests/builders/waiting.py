"""Waiting for something that another process does: look again until it is so, with a deadline.

In: a question. Out: its first true answer, or a failure that names what was waited for.
"""

import threading
import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


class OutOfTimeError(AssertionError):
    """What was waited for did not come: it may be wrong, or the machine may have been too slow."""


WAIT_SECONDS = 30.0
LOOK_SECONDS = 0.02
"""Between two looks; the other side gets the core meanwhile."""


def wait_for(
    question: Callable[[], T], what: str, seconds: float = WAIT_SECONDS, look_seconds: float = LOOK_SECONDS
) -> T:
    """The first true answer of `question()`."""
    deadline = time.monotonic() + seconds
    never = threading.Event()
    while not (answer := question()):
        if time.monotonic() > deadline:
            raise OutOfTimeError(f"waited {seconds:.0f} s for {what}; last answer: {answer!r}")
        never.wait(look_seconds)
    return answer
