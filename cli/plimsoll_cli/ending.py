"""Being told to end: SIGTERM ends a command as Ctrl-C does, by an exception that lets it tidy up.

In: a signal. Out: `SystemExit` with the shell's status for it. Children are ended and directories removed
where they were made; without this SIGTERM would leave both behind.
"""

import signal
from types import FrameType
from typing import NoReturn


def told_to_end(number: int, _frame: FrameType | None) -> NoReturn:
    """A handler for `signal.signal`; a second signal does not disturb the tidying up."""
    signal.signal(number, signal.SIG_IGN)
    raise SystemExit(128 + number)
