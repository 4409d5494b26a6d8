"""The sandbox's API on a loopback port, in a thread with an event loop of its own, for tests that speak HTTP.

In: nothing; its clock stands still. Out: its address, and a call into its loop for what HTTP does not offer.
"""

import asyncio
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from plimsoll_cli.sandbox import objects
from plimsoll_cli.sandbox.api.server import SandboxApi

START_SECONDS = 1_700_000_000.0


@dataclass(frozen=True)
class FakeApi:
    """A served `SandboxApi`; touch `api` only through `call`, from the thread that owns it."""

    url: str
    api: SandboxApi
    loop: asyncio.AbstractEventLoop

    def call(self, function, *arguments):
        """Run `function(*arguments)` in the API's loop and return what it returns."""

        async def run():
            return function(*arguments)

        return asyncio.run_coroutine_threadsafe(run(), self.loop).result(30)

    def kubeconfig(self, directory: Path) -> Path:
        """A kubeconfig without credentials: the sandbox asks for none."""
        path = directory / "sandbox.kubeconfig"
        path.write_text(json.dumps(objects.kubeconfig(self.url)))
        return path


@contextmanager
def running_fake_api() -> Iterator[FakeApi]:
    """Serve a fresh `SandboxApi` until the block ends."""
    loop = asyncio.new_event_loop()
    ready: dict[str, object] = {}
    started = threading.Event()

    async def serve() -> None:
        ready["stop"] = stop = asyncio.Event()
        ready["api"] = api = SandboxApi(lambda: START_SECONDS)
        async with api.listen() as url:
            ready["url"] = url
            started.set()
            await stop.wait()

    def run() -> None:
        asyncio.set_event_loop(loop)
        try:
            loop.run_until_complete(serve())
        finally:
            started.set()
            loop.close()

    thread = threading.Thread(target=run, name="fake-api", daemon=True)
    thread.start()
    started.wait(30)
    try:
        yield FakeApi(ready["url"], ready["api"], loop)
    finally:
        if not loop.is_closed():
            loop.call_soon_threadsafe(ready["stop"].set)
        thread.join(30)
