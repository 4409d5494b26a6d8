"""One process, held by its pidfd and its open /proc directory, so that a recycled pid is never another one.

In: a pid. Out: `KernelProcess`, through which the process is read and advised; every call says `Answer.GONE`
once it has ended. The pid's number belongs to the process for as long as its /proc directory can be read:
that is asked after the pidfd was opened, and again after calls that take a number and not a pidfd.
"""

import os
from types import TracebackType
from typing import Self

import numpy as np
from numpy.typing import NDArray

from plimsoll_nodeagent.kernelfs.answers import Absence, Answer, absence, answer
from plimsoll_nodeagent.kernelfs.calls import MOST_RANGES, Advice, PageKind, PageRun, Ranges
from plimsoll_nodeagent.kernelfs.directory import KernelDirectory
from plimsoll_nodeagent.kernelfs.entries import Mode
from plimsoll_nodeagent.kernelfs.files import KernelFs

PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
MOST_RUNS = 65_536  # of one scan: what is beyond is left for the next one
_STAT_AFTER_NAME = 20 - 1  # field 22 is the start time; 2 are before and in the name's parentheses


class KernelProcess:
    """A process that was alive when this was made."""

    def __init__(self, fs: KernelFs, pid: int, directory: KernelDirectory, pidfd: int, started: int) -> None:
        self._fs = fs
        self._directory = directory
        self._pidfd = pidfd
        self.pid = pid
        self.started_ticks = started

    @classmethod
    def open(cls, fs: KernelFs, pid: int) -> "KernelProcess | Absence":
        """Open a process; `Absence.GONE` where there is none or it ended meanwhile."""
        directory = fs.open(f"/proc/{pid}")
        if isinstance(directory, Absence):
            return directory
        try:
            pidfd = fs.calls.pidfd_open(pid)
        except OSError as error:
            directory.__exit__(None, None, None)
            return absence(error)
        started = start_ticks(directory.read("stat"))
        if isinstance(started, Absence):
            os.close(pidfd)
            directory.__exit__(None, None, None)
            return started
        return cls(fs, pid, directory, pidfd, started)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._pidfd)
        self._directory.__exit__(kind, error, trace)

    def is_alive(self) -> bool:
        """Whether the number still is this process'."""
        return start_ticks(self._directory.read("stat")) == self.started_ticks

    def read(self, name: str) -> str | Absence:
        """Read a file of /proc/PID."""
        return self._directory.read(name)

    def advise(self, ranges: Ranges, advice: Advice) -> int | Answer:
        """Give advice on ranges, 1024 at a time; returns the bytes the kernel took, or why it took none.

        The kernel stops at the first part that is not mapped and returns less; then the rest of that call is
        passed over. That it took bytes does not say that anything moved: the caller verifies.
        """
        taken = 0
        for first in range(0, len(ranges), MOST_RANGES):
            some = ranges[first : first + MOST_RANGES]
            what, text = f"process_madvise {self.pid}", f"{advice.name} {int(some[:, 1].sum())} bytes"
            if self._fs.mode is not Mode.ACT:
                return self._fs.note(what, text, _instead(self._fs.mode))
            try:
                taken += self._fs.calls.process_madvise(self._pidfd, some, advice)
            except OSError as error:
                how = self._fs.note(what, text, answer(error))
                return taken or how
            self._fs.note(what, text, Answer.DONE)
        return taken

    def numa_nodes_of(self, addresses: NDArray[np.uint64]) -> NDArray[np.int32] | Answer:
        """Ask on which NUMA node each page is; negative is -errno (-ENOENT: not resident)."""
        return self._moved(addresses, None)

    def move(self, addresses: NDArray[np.uint64], numa_node: int) -> NDArray[np.int32] | Answer:
        """Move pages to a NUMA node; returns where each one is now, or -errno."""
        what, text = f"move_pages {self.pid}", f"{len(addresses)} pages to {numa_node}"
        if self._fs.mode is not Mode.ACT:
            return self._fs.note(what, text, _instead(self._fs.mode))
        found = self._moved(addresses, np.full(len(addresses), numa_node, dtype=np.int32))
        self._fs.note(what, text, found if isinstance(found, Answer) else Answer.DONE)
        return found

    def scan(self, start: int, end: int, any_of: PageKind) -> list[PageRun] | Absence:
        """Find pages of a kind with PAGEMAP_SCAN (Linux 6.7), at most `MOST_RUNS` runs."""
        runs: list[PageRun] = []
        try:
            pagemap = os.open("pagemap", os.O_RDONLY | os.O_CLOEXEC, dir_fd=self._directory.fileno())
            try:
                while start < end and len(runs) < MOST_RUNS:
                    found, stopped = self._fs.calls.pagemap_scan(pagemap, start, end, any_of)
                    runs += found
                    if stopped <= start:
                        break
                    start = stopped
            finally:
                os.close(pagemap)
        except OSError as error:
            return absence(error)
        return runs

    def pagemap(self, start: int, pages: int) -> NDArray[np.uint64] | Absence:
        """Read pagemap words: bit 63 present, 62 swapped, 61 file or shared, 55 soft-dirty."""
        found = self.pagemap_of(np.array([[start, pages * PAGE_BYTES]], dtype=np.uint64))
        return found if isinstance(found, Absence) else found[0]

    def pagemap_of(self, ranges: Ranges) -> list[NDArray[np.uint64]] | Absence:
        """Read the pagemap words of several ranges, each as far as the kernel gives them."""
        found = []
        try:
            pagemap = os.open("pagemap", os.O_RDONLY | os.O_CLOEXEC, dir_fd=self._directory.fileno())
            try:
                for start, length in ranges.tolist():
                    data = os.pread(pagemap, length // PAGE_BYTES * 8, start // PAGE_BYTES * 8)
                    found.append(np.frombuffer(data[: len(data) // 8 * 8], dtype=np.uint64))
            finally:
                os.close(pagemap)
        except OSError as error:
            return absence(error)
        return found

    def forget_writes(self) -> Answer:
        """Clear the soft-dirty bits, so that the next look finds what was written to since."""
        return self._directory.write("clear_refs", "4") if self.is_alive() else Answer.GONE

    def _moved(
        self, addresses: NDArray[np.uint64], numa_nodes: NDArray[np.int32] | None
    ) -> NDArray[np.int32] | Answer:
        if not self.is_alive():
            return Answer.GONE
        try:
            found = self._fs.calls.move_pages(self.pid, addresses, numa_nodes)
        except OSError as error:
            return answer(error)
        return found if self.is_alive() else Answer.GONE


def start_ticks(stat: str | Absence) -> int | Absence:
    """Read from /proc/PID/stat when it started, in clock ticks since boot; its name may hold anything."""
    if isinstance(stat, Absence):
        return stat
    fields = stat.rpartition(")")[2].split()
    if len(fields) <= _STAT_AFTER_NAME or not fields[_STAT_AFTER_NAME].isdigit():
        return Absence.GARBLED
    return int(fields[_STAT_AFTER_NAME])


def _instead(mode: Mode) -> Answer:
    return Answer.PLANNED if mode is Mode.DRY_RUN else Answer.REFUSED
