"""What a failing test stood on is saved while it stands: before a block's end takes it away.

In: how the running test's artifacts are saved (tests/e2e/conftest.py tells it). Out: `undone_by`, for a block
that ends by bringing another release, or by taking a node away: after that their logs are gone.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import pytest

_SAVES: ContextVar[Callable[[], None] | None] = ContextVar("saves", default=None)


@contextmanager
def saved_by(save: Callable[[], None]) -> Iterator[None]:
    """Failures within the block are saved by this."""
    token = _SAVES.set(save)
    try:
        yield
    finally:
        _SAVES.reset(token)


@contextmanager
def undone_by(undo: Callable[[], object]) -> Iterator[None]:
    """`undo` runs at the block's end, come what may; where it fails, what it leaves is saved before."""
    try:
        yield
    except (Exception, pytest.fail.Exception):  # a skipped test, or ^C, leaves nothing to look at
        if save := _SAVES.get():
            save()
        raise
    finally:
        undo()
