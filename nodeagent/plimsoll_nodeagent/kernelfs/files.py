"""Kernel files by their path, under a root, read as they are and written only where that is allowed.

In: paths as the kernel names them (`/sys/fs/cgroup/...`, `/proc/...`), looked up under a root: `/` on a host,
the mounted host in a pod, a directory in a test. Out: text, or an `Absence` that says why there is none; an
`Answer` for every write. Files vanish between listing and reading, answer EPERM or EAGAIN, or come torn: all
that is an answer here, never an exception. A cgroup is read and written through one open directory, so that
everything is of the same cgroup even where its path has been given to another meanwhile.
"""

import os
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np

from plimsoll_nodeagent.kernelfs.allowed import IDLE_BITMAP, may_write
from plimsoll_nodeagent.kernelfs.answers import Absence, Answer, absence, answer
from plimsoll_nodeagent.kernelfs.calls import Advice, Calls, LinuxCalls
from plimsoll_nodeagent.kernelfs.directory import KernelDirectory
from plimsoll_nodeagent.kernelfs.door import DIRECTORY_FLAGS, READ_FLAGS, Door
from plimsoll_nodeagent.kernelfs.entries import Entry, Mode, Trigger, as_line

PAGE_FLAGS = "/proc/kpageflags"
OF_THE_HOST = ("/sys/kernel/mm", "/sys/kernel/debug", "/sys/devices/system/node")


class KernelFs(Door):
    """Kernel files under `root`; `mounts` says where a part of them is instead, None: looks below /host."""

    def __init__(
        self,
        root: Path = Path("/"),
        mode: Mode = Mode.READ,
        calls: Calls | None = None,
        mounts: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(mode)
        self.root = root
        self.calls: Calls = LinuxCalls() if calls is None else calls
        self._mounts = dict(_of_a_pod(root) if mounts is None else mounts)

    def read(self, path: str) -> str | Absence:
        """Return the whole text of a file; it ends with a newline or is empty."""
        return self.whole(self._under(path), None)

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
            descriptor = os.open(self._under(path), DIRECTORY_FLAGS)
        except OSError as error:
            return absence(error)
        return KernelDirectory(self, descriptor, path)

    def write(self, path: str, text: str) -> Answer:
        """Write a file that is not of a cgroup; `Answer.REFUSED` if it is not on the list of those we may."""
        if not may_write(path, text):
            return self.note(path, text, Answer.REFUSED)
        return self.change(path, text, lambda: self.put(self._under(path), as_line(text), None, None))

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
            descriptor = os.open(self._under(path), READ_FLAGS)
            try:
                return [os.pread(descriptor, length, offset) for offset, length in parts]
            finally:
                os.close(descriptor)
        except OSError as error:
            return absence(error)

    def set_idle_bits(self, offset: int, bits: bytes) -> Answer:
        """Mark page frames idle; the kernel clears the mark when one is touched."""
        words = f"{len(bits)} bytes at {offset}"
        return self.change(IDLE_BITMAP, words, lambda: self.put(self._under(IDLE_BITMAP), bits, None, offset))

    def trigger(self, path: str, text: str) -> Trigger | Answer:
        """Set a PSI trigger on the node: `some 150000 1000000` is 150 ms of stall within a second."""
        if not may_write(path, text):
            return self.note(path, text, Answer.REFUSED)
        return self.trigger_at(path, text, self._under(path), None)

    def _under(self, path: str) -> str:
        for kernel_path, here in self._mounts.items():
            if path == kernel_path or path.startswith(f"{kernel_path}/"):
                return f"{here}{path.removeprefix(kernel_path)}"
        return f"{self.root}/{path.lstrip('/')}"


def _of_a_pod(root: Path) -> dict[str, str]:
    """A pod's own /sys is read-only: what the agent's pod may write of the node's is mounted below /host."""
    return {path: f"{root}/host{path}" for path in OF_THE_HOST if Path(f"{root}/host{path}").is_dir()}
