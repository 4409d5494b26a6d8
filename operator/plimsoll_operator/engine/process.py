"""One worker process and the two pipes to it.

In: questions. Out: their answers, matched by number, so that a caller that was cancelled or ran out of
patience does not shift the others'. A fresh interpreter (no fork, no import of the operator's own main
module), which keeps the worker small and free of the event loop's threads and locks.
"""

import asyncio
import contextlib
import itertools
import sys

from plimsoll_operator.engine.frames import (
    HEADER,
    MAX_FRAME_BYTES,
    START,
    Ask,
    Reply,
    Request,
    decoded,
    encoded,
)
from plimsoll_operator.engine.messages import EngineSettings

WORKER_MODULE = "plimsoll_operator.engine.worker"
# Interpreter and imports take two seconds, and more than a minute on a node that is short of processor: an
# operator that gives up there starts anew, and takes as long. kubelet's startup probe allows ten minutes.
START_TIMEOUT_SECONDS = 300.0
END_SECONDS = 5.0  # how long a worker may take to end by itself once its input is closed


class EngineDownError(RuntimeError):
    """The worker is gone, hangs, or could not do what it was asked; the message says which."""


class WorkerProcess:
    """A running worker."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self._numbers = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[object]] = {}
        self._why = ""
        self._reader = asyncio.create_task(self._read(), name="engine-replies")

    @classmethod
    async def start(cls, settings: EngineSettings) -> "WorkerProcess":
        """Start a worker with these settings."""
        try:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                WORKER_MODULE,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
            )
        except OSError as error:
            raise EngineDownError(f"the engine's process could not be started: {error}") from error
        worker = cls(process)
        try:
            await worker._begin(settings)
        except BaseException:
            worker.kill("the engine did not start")
            await worker.close()
            raise
        return worker

    @property
    def pid(self) -> int:
        """Process id."""
        return self._process.pid

    async def ask(self, ask: Ask, timeout_seconds: float) -> object:
        """Return the answer; a worker that does not answer in time is killed. Raises `EngineDownError`."""
        number = next(self._numbers)
        return await self._exchange(number, Request(number, ask), type(ask).__name__, timeout_seconds)

    async def _begin(self, settings: EngineSettings) -> None:
        await self._exchange(START, settings, "its settings", START_TIMEOUT_SECONDS)

    async def _exchange(self, number: int, message: object, what: str, timeout_seconds: float) -> object:
        if self._reader.done():
            raise EngineDownError(self._why or "the engine's process has ended")
        future: asyncio.Future[object] = asyncio.get_running_loop().create_future()
        self._waiting[number] = future
        try:
            async with asyncio.timeout(timeout_seconds):
                await self._send(encoded(message))
                return await future
        except TimeoutError:
            self.kill(f"the engine did not answer {what} within {timeout_seconds:g} s")
            raise EngineDownError(self._why) from None
        finally:
            self._waiting.pop(number, None)

    def kill(self, why: str) -> None:
        """End the process at once; `ended` tells `why`."""
        self._why = self._why or why
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()

    async def ended(self) -> str:
        """Wait until the process is gone; return why, in words."""
        code = await self._process.wait()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.wait({self._reader})
        return self._why or f"the engine's process ended with code {code}"

    async def close(self) -> None:
        """Close its input, wait for its end, kill it where it does not come."""
        if self._process.stdin is not None:
            self._process.stdin.close()
        try:
            async with asyncio.timeout(END_SECONDS):
                await self._process.wait()
        except TimeoutError:
            self.kill("the engine did not end")
            await self._process.wait()
        self._reader.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._reader

    async def _send(self, frame: bytes) -> None:
        pipe = self._process.stdin
        if pipe is None or pipe.is_closing():
            raise EngineDownError(self._why or "the engine's pipe is closed")
        try:
            pipe.write(frame)
            await pipe.drain()
        except (BrokenPipeError, ConnectionResetError) as error:
            raise EngineDownError(self._why or "the engine's process has ended") from error

    async def _read(self) -> None:
        """Hand answers to those who wait until the pipe ends; then tell all of them that it has."""
        try:
            while True:
                self._settle(await self._read_reply())
        except (asyncio.IncompleteReadError, EngineDownError) as error:
            if isinstance(error, EngineDownError):
                self.kill(str(error))
        finally:
            for future in self._waiting.values():
                if not future.done():
                    future.set_exception(EngineDownError(self._why or "the engine's process has ended"))

    async def _read_reply(self) -> Reply:
        pipe = self._process.stdout
        if pipe is None:
            raise EngineDownError("the engine has no output")
        length = HEADER.unpack(await pipe.readexactly(HEADER.size))[0]
        if length > MAX_FRAME_BYTES:
            raise EngineDownError("the engine's pipe is out of step")
        reply = decoded(await pipe.readexactly(length))
        if not isinstance(reply, Reply):
            raise EngineDownError("the engine sent something that is no reply")
        return reply

    def _settle(self, reply: Reply) -> None:
        future = self._waiting.get(reply.number)
        if future is None or future.done():
            return  # nobody waits any longer
        if reply.error:
            future.set_exception(EngineDownError(f"the engine failed: {reply.error}"))
        else:
            future.set_result(reply.value)
