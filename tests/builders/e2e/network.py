"""The cluster's private network, and the way back for what has to be fetched.

In: a network namespace. Out: this thread, and what it starts, in it. Nothing outside is reached from there:
programs that a test needs and the cache lacks are fetched in a block of `home_network`.
"""

import ctypes
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

CLONE_NEWNET = 0x40000000
CURRENT = Path("/proc/thread-self/ns/net")
_home: list[int] = []  # open files of the namespaces that were left, so that they can be entered again


def enter_network(namespace: Path) -> None:
    """Move this thread, and what it starts from now on, into a network namespace. Raises OSError."""
    left = os.open(CURRENT, os.O_RDONLY | os.O_CLOEXEC)
    with namespace.open() as file:
        _set(file.fileno())
    _home.append(left)


@contextmanager
def home_network() -> Iterator[None]:
    """What this thread starts within the block is in the network that it was in at first."""
    if not _home:
        yield
        return
    inside = os.open(CURRENT, os.O_RDONLY | os.O_CLOEXEC)
    _set(_home[0])
    try:
        yield
    finally:
        _set(inside)
        os.close(inside)


def _set(namespace: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.setns(namespace, CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "setns: a network namespace cannot be entered")
