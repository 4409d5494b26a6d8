"""The twin: a directory of fixtures that answers as a kernel does, for tests and for recorded trees.

In: a tree of the kernel's files (recorded, or built by a test), processes whose pages are known, errors that
are to come. Out: the same door, with the same answers: memory.reclaim takes file pages, then anonymous ones
as far as swap goes, and says EAGAIN for less than was asked; pages paged out are swapped or gone; DAMON's
slots are in `twin_damon.py`. What it does stands in its files, so that the agent's own readers see it.
"""

import errno
import os
import select
from collections import defaultdict
from collections.abc import Callable, Mapping
from pathlib import Path

from plimsoll_nodeagent.kernelfs.entries import Mode, Trigger
from plimsoll_nodeagent.kernelfs.files import KernelFs
from plimsoll_nodeagent.kernelfs.twin_damon import TwinDamon
from plimsoll_nodeagent.kernelfs.twin_process import TwinCalls, TwinProcess

__all__ = ["TwinKernel", "TwinProcess"]
_KIB, _PAGE_BYTES = 1024, 4096


class TwinKernel(KernelFs):
    """A kernel made of files under `root`."""

    def __init__(self, root: Path, mode: Mode = Mode.ACT, mounts: Mapping[str, str] | None = None) -> None:
        self.processes = TwinCalls(root)
        super().__init__(root, mode, self.processes, mounts)
        self.damon = TwinDamon(root)
        self._errors: dict[str, list[int]] = defaultdict(list)
        self._pressure: dict[str, int] = {}
        self._before: dict[str, Callable[[], None]] = {}

    def fail(self, name: str, error: int, times: int = 1) -> None:
        """Let the next reads or writes of files whose path ends with `name` fail with an errno."""
        self._errors[name] += [error] * times

    def happen_before(self, name: str, do: Callable[[], None]) -> None:
        """Call `do` once, just before a file whose path ends with `name` is read or written."""
        self._before[name] = do

    def stall(self, cgroup_path: str) -> None:
        """Let the trigger on a cgroup (or, with /proc/pressure, on the node) fire."""
        os.eventfd_write(self._pressure[str(self.root / cgroup_path.strip("/"))], 1)

    def contents(self, path: str, directory: int | None) -> bytes:
        """See `KernelFs`."""
        self._happen(path)
        return super().contents(path, directory)

    def put(self, path: str, data: bytes, directory: int | None, offset: int | None) -> None:
        """See `KernelFs`; what a write sets off happens in the tree."""
        self._happen(path)
        where = _resolved(path, directory)
        name, text = where.name, data.decode("ascii", errors="replace").strip()
        if not where.exists():
            raise OSError(errno.ENOENT, os.strerror(errno.ENOENT), str(where))
        if name == "memory.reclaim":
            self._reclaim(where.parent, text)
        elif name == "memory.high":
            where.write_text(f"{text}\n")
            if text != "max":  # the kernel reclaims what is above before it returns
                above = int((where.parent / "memory.current").read_text()) - int(text)
                self._take(where.parent, max(0, above), None, ("pgsteal_direct",))
        elif name == "clear_refs":
            self.processes.clear_soft_dirty(int(where.parent.name))
        elif "damon" in where.parts:
            self.damon.write(where, text)
        elif name == "compact":
            self._compact(int(where.parent.name.removeprefix("node")))
        elif name == "lru_gen":
            self._age(where, text)
        elif name == "bitmap":
            self._mark_idle(where, data, offset or 0)
        else:
            where.write_text(f"{text}\n")

    def set_trigger(self, path: str, data: bytes, directory: int | None) -> Trigger:  # noqa: ARG002
        """See `KernelFs`; an eventfd stands for the pressure file, which `stall` makes readable."""
        self._happen(path)
        where = _resolved(path, directory)
        if not where.exists():
            raise OSError(errno.ENOENT, os.strerror(errno.ENOENT), str(where))
        descriptor = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._pressure[str(where.parent)] = descriptor
        return Trigger(descriptor, select.EPOLLIN | select.EPOLLET)

    def _happen(self, path: str) -> None:
        for name in [each for each in self._before if path.endswith(each)]:
            self._before.pop(name)()
        for name, errors in self._errors.items():
            if errors and path.endswith(name):
                number = errors.pop(0)
                raise OSError(number, os.strerror(number), path)

    def _reclaim(self, cgroup: Path, text: str) -> None:
        """Take file pages, then anonymous ones up to what may be swapped; EAGAIN where that is less."""
        words = text.split()
        asked = int(words[0])
        apart = ("pgsteal_proactive", "pgsteal_direct")
        if self._take(cgroup, asked, _swappiness(words[1:]), apart) < asked:
            raise OSError(errno.EAGAIN, os.strerror(errno.EAGAIN), str(cgroup))

    def _take(self, cgroup: Path, asked: int, swappiness: str | None, counters: tuple[str, ...]) -> int:
        """Bytes that went; counted in `pgsteal`, and in the first of `counters` that this kernel has."""
        stat = _keyed(cgroup / "memory.stat")
        file_ = 0 if swappiness == "max" else min(asked, stat.get("file", 0))
        anon = 0 if swappiness == "0" else min(asked - file_, stat.get("anon", 0), self._swap_room(cgroup))
        stat |= {"file": stat.get("file", 0) - file_, "anon": stat.get("anon", 0) - anon}
        stat["inactive_file"] = min(stat.get("inactive_file", 0), stat["file"])
        stat["file_mapped"] = min(stat.get("file_mapped", 0), stat["file"])
        apart = next((name for name in counters if name in stat), "pgsteal")
        for name in {"pgsteal", apart}:
            stat[name] = stat.get(name, 0) + (file_ + anon) // _PAGE_BYTES
        (cgroup / "memory.stat").write_text("".join(f"{key} {value}\n" for key, value in stat.items()))
        _add(cgroup / "memory.current", -file_ - anon)
        if anon:
            _add(cgroup / "memory.swap.current", anon)
            self._take_swap(anon)
        return file_ + anon

    def _swap_room(self, cgroup: Path) -> int:
        used, most = cgroup / "memory.swap.current", cgroup / "memory.swap.max"
        free = self._meminfo().get("SwapFree", 0) * _KIB
        if not used.exists():
            return 0
        bound = most.read_text().strip() if most.exists() else "max"
        return free if bound == "max" else max(0, min(free, int(bound) - int(used.read_text())))

    def _take_swap(self, taken_bytes: int) -> None:
        path = self.root / "proc/meminfo"
        left = self._meminfo()["SwapFree"] - -(-taken_bytes // _KIB)
        lines = [
            f"SwapFree:        {max(0, left)} kB" if line.startswith("SwapFree:") else line
            for line in path.read_text().splitlines()
        ]
        path.write_text("\n".join(lines) + "\n")

    def _meminfo(self) -> dict[str, int]:
        lines = (self.root / "proc/meminfo").read_text().splitlines()
        return {line.partition(":")[0]: int(line.split()[1]) for line in lines}

    def _mark_idle(self, bitmap: Path, data: bytes, offset: int) -> None:
        """Set bits, and clear none: a zero means that nothing is asked; of a folio only its first page's."""
        whole = bytearray(bitmap.read_bytes())
        asked = int.from_bytes(data, "little")
        frames = [offset * 8 + bit for bit in range(8 * len(data)) if asked >> bit & 1]
        for frame in self.processes.forget_touches(frames):
            whole[frame // 8] |= 1 << frame % 8
        bitmap.write_bytes(whole)

    def _compact(self, numa_node: int) -> None:
        """Free pages of the node become as large blocks as they can."""
        path = self.root / "proc/buddyinfo"
        lines = []
        for line in path.read_text().splitlines():
            head, counts = line[:24], [int(word) for word in line[24:].split()]
            if line.startswith(f"Node {numa_node},"):
                pages = sum(count << order for order, count in enumerate(counts))
                largest = len(counts) - 1
                counts = [pages >> order & 1 for order in range(largest)] + [pages >> largest]
                line = head + "".join(f"{count:7d}" for count in counts)  # noqa: PLW2901
            lines.append(line)
        path.write_text("\n".join(lines) + "\n")

    def _age(self, path: Path, text: str) -> None:
        """A new, empty youngest generation; EINVAL where the number is not the newest's."""
        _, memcg, numa_node, newest, *_ = text.split()
        lines, found = [], False
        here: tuple[str, str] = ("", "")
        for line in path.read_text().splitlines():
            lines.append(line)
            words = line.split()
            if words[0] == "memcg":
                here = (words[1], "")
            elif words[0] == "node":
                here = (here[0], words[1])
            elif here == (memcg, numa_node) and words[0] == newest:
                lines.append(f" {int(newest) + 1:10d} {0:10d} {0:10d} {0:10d}")
                found = True
        if not found:
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL), text)
        path.write_text("\n".join(lines) + "\n")


def _resolved(path: str, directory: int | None) -> Path:
    return Path(path) if directory is None else Path(f"/proc/self/fd/{directory}").readlink() / path


def _swappiness(words: list[str]) -> str | None:
    return next((word.removeprefix("swappiness=") for word in words), None)


def _keyed(path: Path) -> dict[str, int]:
    return {key: int(value) for key, value in (line.split() for line in path.read_text().splitlines())}


def _add(path: Path, more: int) -> None:
    path.write_text(f"{max(0, int(path.read_text()) + more)}\n")
