"""On which NUMA node's CPUs a container's threads spend their time.

In: pids of containers, looked at every so often. Out: seconds of CPU time by NUMA node between two looks.
What a thread ran is counted for the CPU on which it ran last (/proc/PID/task/TID/stat, fields 14, 15, 39):
right for threads that stay, and of those that roam as good as chance; only what stays is acted on.
"""

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from plimsoll_nodeagent.discover.tracker import ContainerId
from plimsoll_nodeagent.kernelfs import Absence, KernelFs
from plimsoll_nodeagent.sample.formats import FormatError
from plimsoll_nodeagent.sample.numa import NODES, parse_node_list

MOST_THREADS = 512  # of a container: more are a sample of it
TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
# Places in /proc/PID/task/TID/stat after the name in parentheses, which may hold anything.
_USER, _SYSTEM, _PROCESSOR = 14 - 3, 15 - 3, 39 - 3

Threads = dict[tuple[int, int], float]  # (pid, tid) -> seconds it has run
FloatArray = npt.NDArray[np.float64]


def cpus_by_numa_node(fs: KernelFs, numa_nodes: Iterable[int]) -> dict[int, int]:
    """CPU -> place of its NUMA node in `numa_nodes`; CPUs of others are left out."""
    found: dict[int, int] = {}
    for place, numa_node in enumerate(numa_nodes):
        text = fs.read(f"{NODES}/node{numa_node}/cpulist")
        try:
            cpus = () if isinstance(text, Absence) else parse_node_list(text)
        except FormatError:
            cpus = ()
        found |= dict.fromkeys(cpus, place)
    return found


@dataclass
class CpuPlaces:
    """Remembers what each thread had run at the last look."""

    fs: KernelFs
    _before: dict[ContainerId, Threads] = field(default_factory=dict)

    def look(
        self, key: ContainerId, pids: Iterable[int], places: Mapping[int, int], numa_nodes: int
    ) -> FloatArray | None:
        """Seconds [numa_nodes] since the last look at this container; None at the first."""
        spent = np.zeros(numa_nodes)
        before, now = self._before.get(key), dict[tuple[int, int], float]()
        for pid, tid, seconds, cpu in self._threads(pids):
            now[pid, tid] = seconds
            place = places.get(cpu)
            if place is not None:
                spent[place] += max(0.0, seconds - (before or {}).get((pid, tid), 0.0 if before else seconds))
        self._before[key] = now
        return None if before is None else spent

    def keep_only(self, present: frozenset[ContainerId]) -> None:
        """Forget containers that are gone."""
        self._before = {key: each for key, each in self._before.items() if key in present}

    def _threads(self, pids: Iterable[int]) -> Iterable[tuple[int, int, float, int]]:
        left = MOST_THREADS
        for pid in pids:
            entries = self.fs.directories(f"/proc/{pid}/task")
            if isinstance(entries, Absence):
                continue
            for entry in entries[:left]:
                left -= 1
                found = self._thread(pid, entry.name)
                if found is not None:
                    yield found
            if left <= 0:
                return

    def _thread(self, pid: int, name: str) -> tuple[int, int, float, int] | None:
        text = self.fs.read(f"/proc/{pid}/task/{name}/stat")
        if isinstance(text, Absence) or not name.isdecimal():
            return None
        words = text.rpartition(")")[2].split()
        try:
            ticks = int(words[_USER]) + int(words[_SYSTEM])
            return pid, int(name), ticks / TICKS_PER_SECOND, int(words[_PROCESSOR])
        except (IndexError, ValueError):
            return None
