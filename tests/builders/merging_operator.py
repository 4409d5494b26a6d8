"""The part of an operator that merges what nodes have learned, as a process that can be killed in the middle.

In: a file, a Redis, at which step to stand still (0: at none); for each round the words of nodes, the time.
Out: a line for each step of writing, and one when a round is over. `Sharing`, the memory, the file and Redis
are the operator's own; a step is a call that changes a file or Redis, before and after it, so within a
transaction as well. One process loads all of that once; each operator is a fork of it.
"""

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from plimsoll.coordinate.messages import ModelDelta
from plimsoll.pages.survival import prior_hazard
from plimsoll.store.contributions import Contribution
from plimsoll.store.letters import SCHEMA, Delta, delta_payload
from plimsoll.store.levels.file import FileLevel
from plimsoll.store.levels.shared import SharedLevel
from plimsoll.store.memory import open_memory
from plimsoll.store.shared_kinds import PAGES, page_vector
from plimsoll_operator.coordinate.sharing import Sharing
from plimsoll_operator.serve.metrics import Metrics

KEY = "example.org/redis redis"
NODES = tuple(f"n{number}" for number in range(5))
STEPS = (
    (FileLevel, "keep"),
    (FileLevel, "_write"),
    (FileLevel, "mark"),
    (SharedLevel, "put"),
    (SharedLevel, "_hold"),
    (SharedLevel, "_set"),
)


class Stepped:
    """Says each step, and stands still at one of them until it is killed."""

    def __init__(self, stop_at: int) -> None:
        self.stop_at, self.done = stop_at, 0

    def step(self, name: str) -> None:
        self.done += 1
        print(f"step {self.done} {name}", flush=True)
        if self.done == self.stop_at:
            sys.stdin.buffer.raw.read(1 << 30)  # whoever waits here is killed

    def watch(self) -> None:
        for owner, name in STEPS:
            setattr(owner, name, self._watched(getattr(owner, name), name))

    def _watched(self, method, name):
        def stepped(*arguments, **named):
            self.step(f"before {name}")
            found = method(*arguments, **named)
            self.step(f"after {name}")
            return found

        return stepped


def word(kube_node: str, sequence: int, now_seconds: float) -> ModelDelta:
    """What a node has learned by its `sequence`th word: another model for each node and word."""
    factor = 1.5 + 0.1 * NODES.index(kube_node) + 0.01 * sequence
    said = Contribution(sequence, 50, now_seconds, page_vector(prior_hazard() * factor))
    return ModelDelta("", PAGES, KEY, SCHEMA, "", 1, delta_payload(Delta(said)))


async def operate(path: str, url: str, stop_at: int) -> None:
    """Rounds, until somebody says that it is enough."""
    memory, now = open_memory(path, url), [0.0]
    sharing = Sharing(memory, Metrics("test"), lambda *_: True, lambda _: frozenset({KEY}), lambda: now[0])
    sharing.forget(frozenset(NODES))
    stepped = Stepped(stop_at)
    stepped.watch()
    while said := json.loads(sys.stdin.buffer.raw.readline()):
        now[0] = said["now"]
        for kube_node, sequence in said["words"]:
            sharing.hear(kube_node, word(kube_node, sequence, now[0]), now[0])
        await sharing.round()
        memory.send(now[0])
        print(f"done {stepped.done}", flush=True)
    memory.close()


def main() -> None:
    """One operator after the other, each in a process of its own."""
    while line := sys.stdin.buffer.raw.readline():
        path, url, stop_at = json.loads(line)
        child = os.fork()
        if child == 0:
            print(f"pid {os.getpid()}", flush=True)
            asyncio.run(operate(path, url, stop_at))
            os._exit(0)
        os.waitpid(child, 0)
        print("gone", flush=True)


class Operators:
    """The process that becomes operators, seen from the test; one of them at a time."""

    def __init__(self, process: subprocess.Popen) -> None:
        self._process, self._pid = process, 0

    def start(self, path: Path, url: str, stop_at: int = 0) -> None:
        """A new operator on this file and this Redis."""
        self._tell([str(path), url, stop_at])
        self._pid = int(self._line("pid")[1])

    def begin(self, words: Sequence[tuple[str, int]], now_seconds: float) -> None:
        """Let it have a round."""
        self._tell({"words": words, "now": now_seconds})

    def round(self, words: Sequence[tuple[str, int]], now_seconds: float) -> int:
        """A whole round; returns the steps so far."""
        self.begin(words, now_seconds)
        return int(self._line("done")[1])

    def reach(self, step: int) -> str:
        """Wait until it stands still at a step; returns which one that is."""
        return " ".join(self._line("step", str(step))[2:])

    def kill(self) -> None:
        """SIGKILL, and wait until it is gone."""
        os.kill(self._pid, signal.SIGKILL)
        self._line("gone")

    def end(self) -> None:
        """Let it close its memory and go."""
        self._tell(None)
        self._line("gone")

    def _tell(self, what: object) -> None:
        self._process.stdin.write(json.dumps(what).encode() + b"\n")

    def _line(self, *words: str) -> list[str]:
        """The next line that begins so."""
        said = (line.decode().split() for line in self._process.stdout)
        return next(each for each in said if each[: len(words)] == list(words))


@contextmanager
def operators() -> Iterator[Operators]:
    """None of them runs yet; none is left when the block ends."""
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "bufsize": 0}
    tests = Path(__file__).parents[1]
    command = [sys.executable, "-m", "builders.merging_operator"]
    with subprocess.Popen(command, cwd=tests, start_new_session=True, **pipes) as process:
        try:
            yield Operators(process)
        finally:
            os.killpg(process.pid, signal.SIGKILL)  # its operator too: the group is its own


if __name__ == "__main__":
    main()
