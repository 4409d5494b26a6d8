"""Waiting for what a node does: a look costs a process or two, so there is one a second, fewer on slow nodes.

In: a question. Out: its first true answer, or a failure that names what was waited for. Seconds are those of
a node with a processor of its own; on emulated ones each counts as many times as `cluster.json` says
(`slowness`), so that a node which stalls for a minute is waited for, and what never happens still fails. An
API server that says, of itself or of a pod whose metrics it is asked for, that nobody is there for now has
given no answer yet: that is looked at again, within the same seconds. Outside a wait it fails at once.
"""

import functools
import json
from collections.abc import Callable
from typing import TypeVar, cast

from builders import waiting
from builders.e2e.cluster import UnavailableError, state_directory
from builders.waiting import OutOfTimeError

T = TypeVar("T")
LOOK_SECONDS = 1.0
SLOWEST_FOR_A_LOOK_A_SECOND = 3.0  # beyond, looks themselves are what an emulated machine is busy with


def wait_for(question: Callable[[], T], what: str, seconds: float = 60.0) -> T:
    """The first true answer of `question()`."""
    look_seconds = LOOK_SECONDS * max(1.0, slowness() / SLOWEST_FOR_A_LOOK_A_SECOND)
    unavailable: list[UnavailableError] = []

    def asked() -> T | None:
        unavailable.clear()
        try:
            return question()
        except UnavailableError as error:
            unavailable.append(error)
            return None

    try:
        answer = waiting.wait_for(asked, what, seconds * slowness(), look_seconds)
    except OutOfTimeError as late:
        raise late from (unavailable[0] if unavailable else late.__cause__)
    return cast("T", answer)


@functools.cache
def slowness() -> float:
    """How many times longer things take here than on a node with a processor of its own."""
    return float(json.loads((state_directory() / "cluster.json").read_text()).get("slowness", 1.0))
