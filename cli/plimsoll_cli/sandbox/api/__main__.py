"""`python -m plimsoll_cli.sandbox.api`: the API in a process of its own, for contract tests and benches.

In: a port, or none for a free one. Out: its URL on the first line of stdout; it serves until its stdin ends
or it is told to stop (SIGTERM, SIGINT).
"""

import argparse
import asyncio
import signal
import sys
import time

from .server import SandboxApi


async def serve(host: str, port: int) -> None:
    """Serve on the wall clock until stdin ends or a signal comes."""
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    loop.run_in_executor(None, sys.stdin.read).add_done_callback(lambda _: stopped.set())
    async with SandboxApi(time.time).listen(host, port) as url:
        print(url, flush=True)
        await stopped.wait()


def main() -> None:
    """Read the arguments and serve."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0)
    arguments = parser.parse_args()
    asyncio.run(serve(arguments.host, arguments.port))


if __name__ == "__main__":
    main()
