"""Where the memory is: options that every `plimsoll memory` command has, and opening it.

In: `--store`, `--redis`, `--snapshots` or their environment. Out: a `Memory` that is closed again, and
failures of the store as one sentence. Only a command that brings something makes a file: one that asks about
a file that is not there would answer that nothing is known, or forget nothing and prove it. Redis' address
may hold a password: it is never printed.
"""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from plimsoll.api.duration import DurationError, parse_duration
from plimsoll.store.levels.address import RedisAddressError
from plimsoll.store.levels.protocol import LevelError
from plimsoll.store.levels.snapshots import Snapshots
from plimsoll.store.memory import Memory, open_memory
from plimsoll.store.record import DamagedError, RecordError
from plimsoll_cli.failure import CommandError, FileError, OptionError

StoreOption = Annotated[
    Path | None,
    typer.Option(
        "--store",
        envvar="PLIMSOLL_MEMORY",
        help="File of the memory.",
        show_default="memory.db in the state directory",
    ),
]
RedisOption = Annotated[
    str,
    typer.Option(
        "--redis",
        envvar="PLIMSOLL_REDIS",
        help="Address of Redis: redis://, redis+sentinel:// or redis+cluster://.",
        show_default=False,
    ),
]
SnapshotsOption = Annotated[
    str,
    typer.Option(
        "--snapshots",
        envvar="PLIMSOLL_SNAPSHOTS",
        help="Directory of snapshots, or what fsspec understands.",
        show_default=False,
    ),
]


NO_FILE = ":memory:"


class StoreError(CommandError):
    """A level of the store did not do what it was asked; the message names it."""

    status = 2


MENDING = "; `plimsoll memory check --repair` sets it aside and keeps what can be read"


@dataclass(frozen=True, slots=True)
class Opened:
    """The memory, and the present moment."""

    memory: Memory
    now_seconds: float


@contextmanager
def opened(
    store: Path | None,
    redis: str = "",
    snapshots: str = "",
    *,
    set_aside: bool = False,
    make: bool = False,
    gather: bool = False,
) -> Iterator[Opened]:
    """The memory; what waited is offered to Redis before it is closed.

    Who lists what there is (`gather`) has what Redis holds brought into the file first, or is told why not.

    A damaged file is an error: only who asked for a repair (`set_aside`) gets a new one in its place. One
    that is not there is made for who brings something (`make`).
    """
    file = _made(path_of(store)) if make else _there(store)
    with failures():
        memory = open_memory(file, redis, snapshots, time.perf_counter, set_aside=set_aside)
        try:
            if gather and (why := memory.gather(time.time())):
                typer.echo(f"Note: not all that the fleet shares is here: {why}", err=True)
            yield Opened(memory, time.time())
            sent = memory.send(time.time(), lambda: True)
        finally:
            memory.close()
    if sent.failure:
        typer.echo(f"Note: {sent.waiting} records wait for Redis: {sent.failure}", err=True)


@contextmanager
def failures() -> Iterator[None]:
    """What the store raises, as a sentence and an exit status."""
    try:
        yield
    except LevelError as error:
        damaged = error.level == "file" and "is damaged" in str(error)
        raise StoreError(f"{error}{MENDING if damaged else ''}") from error
    except RedisAddressError as error:
        raise OptionError(f"--redis: {error}") from error
    except DamagedError as error:
        raise StoreError(str(error)) from error
    except RecordError as error:
        raise CommandError(str(error)) from error


def snapshots_at(where: str, form: str) -> Snapshots:
    """Snapshots in a directory that a command named."""
    try:
        return Snapshots(where, form)
    except ValueError as error:
        raise OptionError(f"--form: {error}") from error
    except LevelError as error:
        raise StoreError(str(error)) from error


def seconds_of(option: str, text: str) -> int:
    """A duration that was typed."""
    try:
        return parse_duration(text)
    except DurationError as error:
        raise OptionError(f"{option}: {error}") from error


def path_of(store: Path | None) -> Path:
    """The memory's file."""
    return store or _default_path()


def _made(path: Path) -> str:
    """The file, in a directory that is there."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise FileError(f"{path.parent}: cannot be made: {error.strerror or error}") from error
    return str(path)


def _there(store: Path | None) -> str:
    """The file; where nobody named one and there is none yet, an empty memory that leaves nothing behind."""
    path = path_of(store)
    try:
        if path.exists():
            return str(path)
    except OSError as error:
        raise FileError(f"{path}: cannot be read: {error.strerror or error}") from error
    if store is None:
        return NO_FILE
    raise FileError(f"{path}: there is no such memory; `plimsoll memory import` and `learn` make one")


def _default_path() -> Path:
    state = os.environ.get("XDG_STATE_HOME")
    return (Path(state) if state else Path.home() / ".local" / "state") / "plimsoll" / "memory.db"
