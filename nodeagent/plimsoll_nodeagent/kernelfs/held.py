"""A kernel file held open to be read again and again: one system call a time in place of six.

In: an open descriptor, made by the door. Out: the whole text as it is now, or why not. The file stays the one
that was opened: of a cgroup that was removed it answers GONE, whoever has its path by then.
"""

import os

from plimsoll_nodeagent.kernelfs.answers import Absence, absence

MOST_BYTES = 65_536  # longer ones are for `KernelDirectory.read`


class HeldFile:
    """An open file; close it."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def read(self) -> str | Absence:
        """Return the text; text that does not end its last line is torn, and is read once more."""
        text = ""
        for _ in range(2):
            try:
                text = os.pread(self._descriptor, MOST_BYTES, 0).decode("ascii", errors="replace")
            except OSError as error:
                return absence(error)
            if text.endswith("\n"):
                return text
        return Absence.TORN if text else Absence.GONE

    def close(self) -> None:
        """Give it back."""
        os.close(self._descriptor)
