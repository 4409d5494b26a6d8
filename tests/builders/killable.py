"""Operators as processes that stand still at a step, to be killed there with SIGKILL.

In: `operate(stepped, *arguments)`, which is the life of an operator, which methods are steps, and at which
one to stand still (0: at none). Out: a line before and after each step. One process loads all that an
operator needs once; each operator is a fork of it.
"""

import asyncio
import inspect
import json
import os
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path


class Stepped:
    """Says each step, and stands still at one of them until it is killed."""

    def __init__(self, stop_at: int) -> None:
        self.stop_at, self.done = stop_at, 0

    def step(self, name: str) -> None:
        self.done += 1
        print(f"step {self.done} {name}", flush=True)
        if self.done == self.stop_at:
            sys.stdin.buffer.raw.read(1 << 30)  # whoever waits here is killed

    def watch(self, steps: Sequence[tuple[type, str]]) -> None:
        """Calls of these methods are steps."""
        for owner, name in steps:
            method = getattr(owner, name)
            watched = self._awaited if inspect.iscoroutinefunction(method) else self._watched
            setattr(owner, name, watched(method, name))

    def _watched(self, method, name):
        def stepped(*arguments, **named):
            self.step(f"before {name}")
            found = method(*arguments, **named)
            self.step(f"after {name}")
            return found

        return stepped

    def _awaited(self, method, name):
        async def stepped(*arguments, **named):
            self.step(f"before {name}")
            found = await method(*arguments, **named)
            self.step(f"after {name}")
            return found

        return stepped


def told() -> object:
    """What the test says next."""
    return json.loads(sys.stdin.buffer.raw.readline())


def one_after_the_other(operate: Callable[..., Awaitable[None]]) -> None:
    """Operators, each in a process of its own, until the test says no more."""
    while line := sys.stdin.buffer.raw.readline():
        *arguments, stop_at = json.loads(line)
        child = os.fork()
        if child == 0:
            print(f"pid {os.getpid()}", flush=True)
            asyncio.run(operate(Stepped(stop_at), *arguments))
            os._exit(0)
        os.waitpid(child, 0)
        print("gone", flush=True)


class Operators:
    """The process that becomes operators, seen from the test; one of them at a time."""

    def __init__(self, process: subprocess.Popen) -> None:
        self._process, self._pid = process, 0

    def start(self, *arguments: object, stop_at: int = 0) -> None:
        """A new operator."""
        self.tell([*arguments, stop_at])
        self._pid = int(self.line("pid")[1])

    def reach(self, step: int) -> str:
        """Wait until it stands still at a step; returns which one that is."""
        return " ".join(self.line("step", str(step))[2:])

    def done(self) -> int:
        """Wait until it has done what it was told; returns the steps so far."""
        return int(self.line("done")[1])

    def gone(self) -> None:
        """Wait until its process has ended."""
        self.line("gone")

    def kill(self) -> None:
        """SIGKILL, and wait until it is gone."""
        os.kill(self._pid, signal.SIGKILL)
        self.gone()

    def tell(self, what: object) -> None:
        """Say something to it."""
        self._process.stdin.write(json.dumps(what).encode() + b"\n")

    def line(self, *words: str) -> list[str]:
        """The next line that begins so."""
        said = (line.decode().split() for line in self._process.stdout)
        return next(each for each in said if each[: len(words)] == list(words))


@contextmanager
def operators(module: str) -> Iterator[Operators]:
    """None of them runs yet; none is left when the block ends."""
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "bufsize": 0}
    tests = Path(__file__).parents[1]
    command = [sys.executable, "-m", module]
    with subprocess.Popen(command, cwd=tests, start_new_session=True, **pipes) as process:
        try:
            yield Operators(process)
        finally:
            os.killpg(process.pid, signal.SIGKILL)  # its operator too: the group is its own
