"""The door itself: kernel files under a root, read as they are and written only where that is allowed.

In: paths as the kernel names them (`/sys/fs/cgroup/...`, `/proc/...`), looked up under a root: `/` on a host,
the mounted host in a pod, a directory in a test. Out: text, or an `Absence` that says why there is none; an
`Answer` for every write. Files vanish between listing and reading, answer EPERM or EAGAIN, or come torn: all
that is an answer here, never an exception. A cgroup is read and written through one open directory, so that
everything is of the same cgroup even where its path has been given to another meanwhile.
"""

import errno
import os
import select
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import numpy as np

from plimsoll_nodeagent.kernelfs.allowed import IDLE_BITMAP, may_write
from plimsoll_nodeagent.kernelfs.answers import Absence, Answer, absence, answer
from plimsoll_nodeagent.kernelfs.calls import Advice, Calls, LinuxCalls
from plimsoll_nodeagent.kernelfs.directory import KernelDirectory
from plimsoll_nodeagent.kernelfs.entries import Entry, Mode, Note, Trigger, as_line

READ_BYTES = 65_536  # more than any memory.stat: the kernel renders such a file whole for one read
MOST_BYTES = 4 << 20  # a file that is longer is none of those we know, or not worth the time
PAGE_FLAGS = "/proc/kpageflags"
OF_THE_HOST = ("/sys/kernel/mm", "/sys/kernel/debug", "/sys/devices/system/node")
MOST_NOTES = 1000  # of what was done or would be, the newest
_FLAGS = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK
_WRITE_FLAGS = os.O_WRONLY | os.O_CLOEXEC | os.O_NOFOLLOW


class KernelFs:
    """Kernel files under `root`; `mounts` says where a part of them is instead, None: looks below /host."""

    def __init__(
        self,
        root: Path = Path("/"),
        mode: Mode = Mode.READ,
        calls: Calls | None = None,
        mounts: Mapping[str, str] | None = None,
    ) -> None:
        self.root = root
        self.mode = mode
        self.calls: Calls = LinuxCalls() if calls is None else calls
        self.notes: deque[Note] = deque(maxlen=MOST_NOTES)
        self._mounts = dict(_of_a_pod(root) if mounts is None else mounts)

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

    def open(self, path: str) -> KernelDirectory | Absence:
        """Open a directory, to read several files of the same one."""
        try:
            descriptor = os.open(self._under(path), _FLAGS | os.O_DIRECTORY)
        except OSError as error:
            return absence(error)
        return KernelDirectory(self, descriptor, path)

    def write(self, path: str, text: str) -> Answer:
        """Write a file that is not of a cgroup; `Answer.REFUSED` if it is not on the list of those we may."""
        if not may_write(path, text):
            return self.note(path, text, Answer.REFUSED)
        return self._change(path, text, lambda: self.put(self._under(path), as_line(text), None, None))

    def can_write(self, path: str) -> bool:
        """Whether we have the right to write a file that is there; nothing is written, nor opened."""
        return os.access(self._under(path), os.W_OK, effective_ids=True)

    def advice_missing(self) -> str:
        """Say why `process_madvise` cannot be called, "" where it can: asked of this very process."""
        try:
            own = self.calls.pidfd_open(os.getpid())
        except OSError as error:
            return f"pidfd_open is {answer(error)}"
        try:
            self.calls.process_madvise(own, np.zeros((0, 2), dtype=np.uint64), Advice.COLD)
        except OSError as error:
            return f"process_madvise is {answer(error)}"
        finally:
            os.close(own)
        return ""

    def read_idle_bits(self, offset: int, length: int) -> bytes | Absence:
        """Read the idle page bitmap: 8 bytes for 64 page frames; offset and length are multiples of 8."""
        found = self._parts(IDLE_BITMAP, ((offset, length),))
        return found if isinstance(found, Absence) else found[0]

    def read_idle_bits_of(self, parts: Iterable[tuple[int, int]]) -> list[bytes] | Absence:
        """Read several parts (offset, length) of it."""
        return self._parts(IDLE_BITMAP, parts)

    def read_page_flags_of(self, parts: Iterable[tuple[int, int]]) -> list[bytes] | Absence:
        """Read flags of page frames, 8 bytes for each (`KPF_*`), in several parts (offset, length)."""
        return self._parts(PAGE_FLAGS, parts)

    def _parts(self, path: str, parts: Iterable[tuple[int, int]]) -> list[bytes] | Absence:
        """Opened once; each part as far as there is something."""
        try:
            descriptor = os.open(self._under(path), _FLAGS)
            try:
                return [os.pread(descriptor, length, offset) for offset, length in parts]
            finally:
                os.close(descriptor)
        except OSError as error:
            return absence(error)

    def set_idle_bits(self, offset: int, bits: bytes) -> Answer:
        """Mark page frames idle; the kernel clears the mark when one is touched."""
        words = f"{len(bits)} bytes at {offset}"
        return self._change(
            IDLE_BITMAP, words, lambda: self.put(self._under(IDLE_BITMAP), bits, None, offset)
        )

    def trigger(self, path: str, text: str) -> Trigger | Answer:
        """Set a PSI trigger on the node: `some 150000 1000000` is 150 ms of stall within a second."""
        if not may_write(path, text):
            return self.note(path, text, Answer.REFUSED)
        return self._trigger(path, text, self._under(path), None)

    def note(self, what: str, text: str, how: Answer) -> Answer:
        """Keep what was done, or would have been; returns `how`."""
        self.notes.append(Note(what, text.rstrip("\n"), how))
        return how

    # What the kernel does; a twin puts its own in place of these four. They raise OSError.

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

    def put(self, path: str, data: bytes, directory: int | None, offset: int | None) -> None:
        """Write a file that is there, in one call, as the kernel wants it. Raises OSError.

        None as the offset: the whole file, as a shell's `>` does.
        """
        flags = _WRITE_FLAGS | (os.O_TRUNC if offset is None else 0)
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

    def _change(self, what: str, text: str, do: Callable[[], object]) -> Answer:
        if self.mode is not Mode.ACT:
            return self.note(what, text, Answer.PLANNED if self.mode is Mode.DRY_RUN else Answer.REFUSED)
        try:
            do()
        except OSError as error:
            return self.note(what, text, answer(error))
        return self.note(what, text, Answer.DONE)

    def _trigger(self, what: str, text: str, path: str, directory: int | None) -> Trigger | Answer:
        made: list[Trigger] = []
        how = self._change(
            what, text, lambda: made.append(self.set_trigger(path, f"{text}\0".encode(), directory))
        )
        return made[0] if made else how

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
        for kernel_path, here in self._mounts.items():
            if path == kernel_path or path.startswith(f"{kernel_path}/"):
                return f"{here}{path.removeprefix(kernel_path)}"
        return f"{self.root}/{path.lstrip('/')}"


def _of_a_pod(root: Path) -> dict[str, str]:
    """A pod's own /sys is read-only: what the agent's pod may write of the node's is mounted below /host."""
    return {path: f"{root}/host{path}" for path in OF_THE_HOST if Path(f"{root}/host{path}").is_dir()}
