"""The only door to the kernel: reads of cgroupfs and proc under a root, and nothing that writes.

In: paths as the kernel names them (`/sys/fs/cgroup/...`, `/proc/...`), looked up under a root: `/` on a host,
the mounted host in a pod, a directory in a test. Out: text, or an `Absence` that says why there is none.
Files vanish between listing and reading, answer EPERM or EAGAIN, or come torn: all that is an answer here,
never an exception. A cgroup is read through one open directory, so that every value is of the same cgroup
even where its path has been given to another meanwhile.
"""

import errno
import os
from enum import StrEnum
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

READ_BYTES = 65_536  # more than any memory.stat: the kernel renders such a file whole for one read
MOST_BYTES = 1 << 20  # a file that is longer is none of those we know
_FLAGS = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK


class Absence(StrEnum):
    """Why a kernel file gave no text (or none that can be believed)."""

    GONE = "gone"
    DENIED = "denied"
    UNSUPPORTED = "unsupported"
    BUSY = "busy"
    TORN = "torn"
    GARBLED = "garbled"


_ABSENCE_BY_ERRNO = {
    errno.ENOENT: Absence.GONE,
    errno.ENODEV: Absence.GONE,  # cgroupfs: removed after the file was opened
    errno.ENOTDIR: Absence.GONE,
    errno.ESRCH: Absence.GONE,
    errno.EPERM: Absence.DENIED,
    errno.EACCES: Absence.DENIED,
    errno.EOPNOTSUPP: Absence.UNSUPPORTED,  # PSI compiled in but switched off
    errno.EINVAL: Absence.UNSUPPORTED,
    errno.ENOSYS: Absence.UNSUPPORTED,
}


class Entry(NamedTuple):
    """A directory within another; the inode of a cgroup is its id."""

    name: str
    inode: int


class KernelFs:
    """Read-only kernel files under `root`."""

    def __init__(self, root: Path = Path("/")) -> None:
        self.root = root

    def read(self, path: str) -> str | Absence:
        """Return the whole text of a file; it ends with a newline or is empty."""
        return self._whole(self._under(path), None)

    def directories(self, path: str) -> list[Entry] | Absence:
        """Return the directories in a directory, by name."""
        try:
            with os.scandir(self._under(path)) as found:
                names = [
                    Entry(each.name, each.inode()) for each in found if each.is_dir(follow_symlinks=False)
                ]
        except OSError as error:
            return absence(error)
        return sorted(names)

    def open(self, path: str) -> "KernelDirectory | Absence":
        """Open a directory, to read several files of the same one."""
        try:
            descriptor = os.open(self._under(path), _FLAGS | os.O_DIRECTORY)
        except OSError as error:
            return absence(error)
        return KernelDirectory(self, descriptor)

    def contents(self, path: str, directory: int | None) -> bytes:
        """Read a file once, relative to an open directory if one is given. Raises OSError."""
        descriptor = os.open(path, _FLAGS, dir_fd=directory)
        try:
            whole = os.read(descriptor, READ_BYTES)
            while part := os.read(descriptor, READ_BYTES):
                whole += part
                if len(whole) > MOST_BYTES:
                    raise OSError(errno.EFBIG, os.strerror(errno.EFBIG), path)
        finally:
            os.close(descriptor)
        return whole

    def _whole(self, path: str, directory: int | None) -> str | Absence:
        """Every kernel file ends its last line: text that does not is torn, and is read once more."""
        for _ in range(2):
            try:
                text = self.contents(path, directory).decode("ascii", errors="replace")
            except OSError as error:
                return absence(error)
            if not text or text.endswith("\n"):
                return text
        return Absence.TORN

    def _under(self, path: str) -> str:
        return f"{self.root}/{path.lstrip('/')}"


class KernelDirectory:
    """An open directory: what is read through it is of this directory or of none."""

    def __init__(self, fs: KernelFs, descriptor: int) -> None:
        self._fs = fs
        self._descriptor = descriptor

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

    def read(self, name: str) -> str | Absence:
        """Return the whole text of a file in the directory."""
        return self._fs._whole(name, self._descriptor)  # noqa: SLF001 -- one door, two handles


def absence(error: OSError) -> Absence:
    """Say what an error of the kernel means; what is not known may go by (EAGAIN, EBUSY, EIO, ENOMEM)."""
    return _ABSENCE_BY_ERRNO.get(error.errno or 0, Absence.BUSY)
