"""What the kernel's door does, whichever way a file was named: read it whole, change it, note what was done.

In: a path as the operating system knows it, relative to an open directory or not. Out: text, or an `Absence`
that says why there is none; an `Answer` for every change. Which files may be changed is for the handles to
say, which stand on this one: `KernelFs` (by path) and `KernelDirectory` (of one directory).
"""

import errno
import os
import select
from collections import deque
from collections.abc import Callable

from plimsoll_nodeagent.kernelfs.answers import Absence, Answer, absence, answer
from plimsoll_nodeagent.kernelfs.entries import Mode, Note, Trigger

READ_BYTES = 65_536  # more than any memory.stat: the kernel renders such a file whole for one read
MOST_BYTES = 4 << 20  # a file that is longer is none of those we know, or not worth the time
MOST_NOTES = 1000  # of what was done or would be, the newest
READ_FLAGS = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK
DIRECTORY_FLAGS = READ_FLAGS | os.O_DIRECTORY
WRITE_FLAGS = os.O_WRONLY | os.O_CLOEXEC | os.O_NOFOLLOW


class Door:
    """Reads, changes and notes; `mode` says whether a change is done, only noted, or refused."""

    def __init__(self, mode: Mode) -> None:
        self.mode = mode
        self.notes: deque[Note] = deque(maxlen=MOST_NOTES)

    def note(self, what: str, text: str, how: Answer) -> Answer:
        """Keep what was done, or would have been; returns `how`."""
        self.notes.append(Note(what, text.rstrip("\n"), how))
        return how

    # What the kernel does; a twin puts its own in place of these. They raise OSError.

    def contents(self, path: str, directory: int | None) -> bytes:
        """Read a file once, relative to an open directory if one is given. Raises OSError."""
        descriptor = os.open(path, READ_FLAGS, dir_fd=directory)
        try:
            whole = os.read(descriptor, READ_BYTES)
            while part := os.read(descriptor, READ_BYTES):
                whole += part
                if len(whole) > MOST_BYTES:
                    raise OSError(errno.EFBIG, os.strerror(errno.EFBIG), path)
        finally:
            os.close(descriptor)
        return whole

    def put(self, path: str, data: bytes, directory: int | None, offset: int | None) -> None:
        """Write a file that is there, in one call, as the kernel wants it. Raises OSError.

        None as the offset: the whole file, as a shell's `>` does.
        """
        flags = WRITE_FLAGS | (os.O_TRUNC if offset is None else 0)
        descriptor = os.open(path, flags, dir_fd=directory)
        try:
            written = os.pwrite(descriptor, data, offset) if offset else os.write(descriptor, data)
        finally:
            os.close(descriptor)
        if written != len(data):
            raise OSError(errno.EAGAIN, os.strerror(errno.EAGAIN), path)

    def set_trigger(self, path: str, data: bytes, directory: int | None) -> Trigger:
        """Open a pressure file and write a threshold into it. Raises OSError."""
        descriptor = os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=directory)
        try:
            os.write(descriptor, data)
        except OSError:
            os.close(descriptor)
            raise
        return Trigger(descriptor, select.EPOLLPRI)

    def change(self, what: str, text: str, do: Callable[[], object]) -> Answer:
        """Do what writes `text`, if this door acts; what came of it is noted and returned."""
        if self.mode is not Mode.ACT:
            return self.note(what, text, Answer.PLANNED if self.mode is Mode.DRY_RUN else Answer.REFUSED)
        try:
            do()
        except OSError as error:
            return self.note(what, text, answer(error))
        return self.note(what, text, Answer.DONE)

    def trigger_at(self, what: str, text: str, path: str, directory: int | None) -> Trigger | Answer:
        """Set a PSI trigger on a pressure file; the answer where there is none."""
        made: list[Trigger] = []
        how = self.change(
            what, text, lambda: made.append(self.set_trigger(path, f"{text}\0".encode(), directory))
        )
        return made[0] if made else how

    def whole(self, path: str, directory: int | None) -> str | Absence:
        """Return a file's text, relative to an open directory if one is given.

        Every kernel file ends its last line: text that does not is torn, and is read once more.
        """
        for _ in range(2):
            try:
                text = self.contents(path, directory).decode("ascii", errors="replace")
            except OSError as error:
                return absence(error)
            if not text or text.endswith("\n"):
                return text
        return Absence.TORN
