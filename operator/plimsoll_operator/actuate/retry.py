"""Trying a call to the API server again where that makes sense, and never where it does not.

In: a call without arguments. Out: its answer, or the last `ApiError`. No answer, 408, 429 and 5xx are tried
again with growing pauses (or what the server asked for); every other refusal is final at once. The pause is
passed in.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from plimsoll_operator.actuate.api import ApiError

Answer = TypeVar("Answer")
Pause = Callable[[float], Awaitable[None]]

FIRST_PAUSE_SECONDS = 0.2
# One write must not hold up the loop: what has not succeeded after about 5 s is left to the next loop.
ATTEMPTS = 5
LONGEST_PAUSE_SECONDS = 3.0


async def persistently(
    call: Callable[[], Awaitable[Answer]], pause: Pause = asyncio.sleep, attempts: int = ATTEMPTS
) -> Answer:
    """Call until it succeeds, is refused for good, or `attempts` are used up."""
    wait_seconds = FIRST_PAUSE_SECONDS
    for _ in range(attempts - 1):
        try:
            return await call()
        except ApiError as error:
            if not error.passing:
                raise
            await pause(min(max(wait_seconds, error.retry_after_seconds), LONGEST_PAUSE_SECONDS))
            wait_seconds *= 2
    return await call()
