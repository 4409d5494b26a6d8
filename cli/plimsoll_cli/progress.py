"""A progress bar for anything over a second: nothing is shown before, and nothing where nobody looks.

Drawn on standard error, so that `-o json` stays clean.
"""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

PATIENCE_SECONDS = 1.0


@contextmanager
def progress(what: str) -> Iterator[Callable[[int, int], None]]:
    """Yield `report(done, total)`; call it as often as you like."""
    begun = time.monotonic()
    if not sys.stderr.isatty():
        yield lambda _done, _total: None
        return
    from rich.progress import Progress, TextColumn  # noqa: PLC0415  (keeps `plimsoll --help` fast)

    from plimsoll_cli.console import PlainConsole  # noqa: PLC0415

    _, *others = Progress.get_default_columns()
    described = TextColumn("{task.description}", style="progress.description", markup=False)
    bar = Progress(described, *others, console=PlainConsole(stderr=True), transient=True)
    task = bar.add_task(what, total=None)

    def report(done: int, total: int) -> None:
        if not bar.live.is_started and elapsed_seconds(begun) > PATIENCE_SECONDS:
            bar.start()
        bar.update(task, completed=done, total=total)

    try:
        yield report
    finally:
        bar.stop()


def elapsed_seconds(since: float) -> float:
    """Seconds since a reading of the monotonic clock."""
    return time.monotonic() - since
