"""Waiting for what an emulated node does: a look costs a process or two, so there is one a second.

In: a question. Out: its first true answer, or a failure that names what was waited for.
"""

from collections.abc import Callable
from typing import TypeVar

from builders import waiting

T = TypeVar("T")
LOOK_SECONDS = 1.0


def wait_for(question: Callable[[], T], what: str, seconds: float = 60.0) -> T:
    """The first true answer of `question()`."""
    return waiting.wait_for(question, what, seconds, LOOK_SECONDS)
