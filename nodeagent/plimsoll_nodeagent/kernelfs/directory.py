"""An open directory of the kernel, such as a cgroup: one handle for everything that is to be of the same one.

In: an open descriptor, made by the door. Out: texts and answers, as the door gives them. A cgroup whose path
has been given to another meanwhile answers GONE.
"""

import os
from types import TracebackType
from typing import Self

from plimsoll_nodeagent.kernelfs.allowed import may_write_in
from plimsoll_nodeagent.kernelfs.answers import Absence, Answer, absence
from plimsoll_nodeagent.kernelfs.door import DIRECTORY_FLAGS, READ_FLAGS, Door
from plimsoll_nodeagent.kernelfs.entries import Entry, Trigger, as_line
from plimsoll_nodeagent.kernelfs.held import HeldFile


class KernelDirectory:
    """An open directory: what is read or written through it is of this directory or of none."""

    def __init__(self, door: Door, descriptor: int, path: str) -> None:
        self._door = door
        self._descriptor = descriptor
        self.path = path

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._descriptor)

    @property
    def inode(self) -> int:
        """The directory's inode: of a cgroup, its id."""
        return os.fstat(self._descriptor).st_ino

    def fileno(self) -> int:
        """The open descriptor, for what is opened relative to it."""
        return self._descriptor

    def read(self, name: str) -> str | Absence:
        """Return the whole text of a file in the directory (or below it: `child/cgroup.procs`)."""
        return self._door.whole(name, self._descriptor)

    def hold(self, name: str) -> HeldFile | Absence:
        """Open a file of this directory to be read many times; it is to be closed."""
        try:
            return HeldFile(os.open(name, READ_FLAGS, dir_fd=self._descriptor))
        except OSError as error:
            return absence(error)

    def write(self, name: str, text: str) -> Answer:
        """Write a file of this directory; `Answer.REFUSED` if it is not on the list of those we may."""
        what = f"{self.path}/{name}"
        if not may_write_in(self.path, name, text):
            return self._door.note(what, text, Answer.REFUSED)
        return self._door.change(
            what, text, lambda: self._door.put(name, as_line(text), self._descriptor, None)
        )

    def can_write(self, name: str) -> bool:
        """Whether we have the right to write a file of this cgroup; nothing is written, nor opened."""
        return os.access(name, os.W_OK, dir_fd=self._descriptor, effective_ids=True)

    def trigger(self, text: str) -> Trigger | Answer:
        """Set a PSI trigger on this cgroup's memory.pressure; it ends when its descriptor is closed."""
        what = f"{self.path}/memory.pressure"
        if not may_write_in(self.path, "memory.pressure", text):
            return self._door.note(what, text, Answer.REFUSED)
        return self._door.trigger_at(what, text, "memory.pressure", self._descriptor)

    def directories(self, below: str = "") -> list[Entry] | Absence:
        """Return the directories in this one (or in one below it), by name."""
        try:
            descriptor = os.open(below or ".", DIRECTORY_FLAGS, dir_fd=self._descriptor)
        except OSError as error:
            return absence(error)
        try:
            with os.scandir(descriptor) as found:
                names = [
                    Entry(each.name, each.inode()) for each in found if each.is_dir(follow_symlinks=False)
                ]
        except OSError as error:
            return absence(error)
        finally:
            os.close(descriptor)
        return sorted(names)
