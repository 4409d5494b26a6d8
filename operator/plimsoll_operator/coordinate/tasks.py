"""Tasks that live and end together.

In: tasks that run. Out: all of them ended; what ended the first is raised.
"""

import asyncio


async def first_to_end(*tasks: asyncio.Task[None]) -> None:
    """Wait for the first, end the others, and pass on why it ended."""
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for each in tasks:
            each.cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
    for result in results:
        if isinstance(result, Exception):
            raise result
