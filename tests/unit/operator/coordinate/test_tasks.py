import asyncio

import pytest

from plimsoll_operator.coordinate.tasks import first_to_end


async def test_the_first_to_end_ends_the_others_and_says_why():
    async def fails():
        raise ValueError("why")

    waiting = asyncio.create_task(asyncio.Event().wait())
    with pytest.raises(ValueError, match="why"):
        await first_to_end(waiting, asyncio.create_task(fails()))
    assert waiting.cancelled()


async def test_who_waits_for_tasks_and_is_ended_leaves_none_behind():
    task = asyncio.create_task(asyncio.Event().wait())
    waiter = asyncio.create_task(first_to_end(task))
    await asyncio.sleep(0)
    waiter.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiter
    assert task.cancelled()
