"""Simulated agents in as many processes as their open files and their work want.

In: flags. Out: the `Part` of each process. A process is started anew (`spawn`: gRPC does not outlive a fork),
says when it is ready, and is told when all begin; one whose parent is gone ends. Each process raises its own
limit of open files as far as it may; where that is too low for what was asked, nothing is started.
"""

import argparse
import asyncio
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess

from plimsoll_cli.loadgen.share import Part, attend
from plimsoll_operator.coordinate.open_files import raised_open_files

FILES_OF_AGENT = 4  # its connection, and those of tries that were given up and are not closed yet
FILES_OF_PROCESS = 100
AGENTS_OF_PROCESS = 1000  # more in one are late with what they say
MOST_PROCESSES = 32


class TooManyError(ValueError):
    """More agents than this machine lets so many processes have."""


class LostError(RuntimeError):
    """A process of agents has ended before its time."""


def shares(agents: int, processes: int, most_files: int) -> list[range]:
    """Which agents each process has. `processes`: 0 for as many as they take. Raises TooManyError."""
    room = max(0, (most_files - FILES_OF_PROCESS) // FILES_OF_AGENT)
    fewest = math.ceil(agents / room) if room else agents + 1
    wanted = processes or max(fewest, math.ceil(agents / AGENTS_OF_PROCESS))
    if fewest > wanted or wanted > max(processes, MOST_PROCESSES):
        more = f", or ask for --processes {fewest} or more" if room else ""
        raise TooManyError(
            f"{agents} agents take {FILES_OF_AGENT} open files each, and a process may have {most_files}"
            f" (`ulimit -Hn`, RLIMIT_NOFILE): {room} agents in one. Raise that limit{more}"
        )
    return [range(place, agents, wanted) for place in range(wanted)]  # all come in at about the same time


@dataclass(frozen=True, slots=True)
class _Child:
    process: BaseProcess
    pipe: Connection

    def said(self) -> Part | None:
        """The next that it says: None when it is ready, then its part. Raises LostError."""
        try:
            said: Part | None = self.pipe.recv()
        except EOFError:
            self.process.join()
            raise LostError(
                f"a process of agents has ended with code {self.process.exitcode}: what the others saw is not"
                " the whole"
            ) from None
        return said


def attended(options: argparse.Namespace) -> list[Part]:
    """Attend with all agents; returns each process's part. Raises TooManyError and LostError."""
    each_has = shares(options.agents, options.processes, raised_open_files())
    if len(each_has) == 1:
        return [asyncio.run(attend(options, each_has[0], time.monotonic()))]
    context = get_context("spawn")
    children = []
    try:
        for numbers in each_has:
            pipe, theirs = context.Pipe()
            process = context.Process(target=_child, args=(theirs, options, numbers), daemon=True)
            process.start()
            theirs.close()
            children.append(_Child(process, pipe))
        _of_all(children)
        began = time.monotonic()
        for each in children:
            each.pipe.send(began)
        return [part for part in _of_all(children) if part is not None]
    finally:
        for each in children:
            each.pipe.close()  # who is still there ends
        for each in children:
            each.process.join()


def _of_all(children: Sequence[_Child]) -> list[Part | None]:
    """What each says next; the first that has ended instead ends the waiting. Raises LostError."""
    found: dict[int, Part | None] = {}
    while len(found) < len(children):
        waiting = {place: each.pipe for place, each in enumerate(children) if place not in found}
        ready = wait(list(waiting.values()))
        found |= {place: children[place].said() for place, pipe in waiting.items() if pipe in ready}
    return [found[place] for place in range(len(children))]


def _child(pipe: Connection, options: argparse.Namespace, numbers: range) -> None:
    raised_open_files()
    try:
        pipe.send(None)
        part = asyncio.run(_attend_while_wanted(pipe, options, numbers, pipe.recv()))
        if part is not None:
            pipe.send(part)
    except (EOFError, BrokenPipeError):  # the parent is gone
        return


async def _attend_while_wanted(
    pipe: Connection, options: argparse.Namespace, numbers: range, began: float
) -> Part | None:
    """None: the parent is gone, of whom nothing more comes than the end of the pipe."""
    task, gone = asyncio.create_task(attend(options, numbers, began)), asyncio.Event()
    asyncio.get_running_loop().add_reader(pipe.fileno(), gone.set)
    waiting = asyncio.create_task(gone.wait())
    await asyncio.wait((task, waiting), return_when=asyncio.FIRST_COMPLETED)
    if not task.done():
        task.cancel()
        return None
    waiting.cancel()
    return task.result()
