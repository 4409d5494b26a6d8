"""In: calls that fail in known ways, a pause that only notes. Out: how often they are tried, and with which
pauses.
"""

import pytest

from plimsoll_operator.actuate.api import ApiError
from plimsoll_operator.actuate.retry import ATTEMPTS, LONGEST_PAUSE_SECONDS, persistently


async def tried(*errors):
    """Attempts, pauses and the outcome of a call that fails with each error in turn."""
    left, pauses, attempts = list(errors), [], []

    async def call():
        attempts.append(1)
        if left:
            raise left.pop(0)
        return "done"

    async def pause(seconds):
        pauses.append(seconds)

    try:
        outcome = await persistently(call, pause)
    except ApiError as error:
        outcome = error.status
    return len(attempts), pauses, outcome


@pytest.mark.parametrize("status", [0, 408, 429, 500, 503])
async def test_what_passes_is_tried_again(status):
    attempts, pauses, outcome = await tried(ApiError(status, "", ""), ApiError(status, "", ""))
    assert (attempts, outcome) == (3, "done")
    assert pauses == sorted(pauses)


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 410, 422])
async def test_what_is_refused_for_good_is_not(status):
    assert await tried(ApiError(status, "", "")) == (1, [], status)


async def test_the_servers_wish_is_followed_within_bounds():
    _, pauses, _ = await tried(ApiError(429, "", "", 1.5), ApiError(429, "", "", 60.0))
    assert pauses == [1.5, LONGEST_PAUSE_SECONDS]


async def test_it_gives_up():
    attempts, _, outcome = await tried(*(ApiError(503, "", "") for _ in range(20)))
    assert (attempts, outcome) == (ATTEMPTS, 503)
