"""What goes through the door besides text: how it is opened, what is found in a directory, what is noted.

In: nothing. Out: the small types that the door and its handles share.
"""

from enum import StrEnum
from typing import NamedTuple

from plimsoll_nodeagent.kernelfs.answers import Answer


class Mode(StrEnum):
    """What the door does with a write or a call that changes something."""

    READ = "read"  # refuses it
    DRY_RUN = "dry-run"  # notes it
    ACT = "act"


class Entry(NamedTuple):
    """A directory within another; the inode of a cgroup is its id."""

    name: str
    inode: int


class Note(NamedTuple):
    """One write or call: what, with which text, and how it ended."""

    what: str
    text: str
    answer: Answer


class Trigger(NamedTuple):
    """A descriptor that has `events` (of epoll) once pressure passed its threshold; close it to end it."""

    descriptor: int
    events: int


def as_line(text: str) -> bytes:
    """Return a text as one line, which is what a kernel file is written with."""
    return f"{text.rstrip()}\n".encode("ascii")
