"""The processes of a container: the pids in its cgroup and in those below it, as many as are worth a look.

In: a container's open cgroup. Out: pids, sorted, and whether there were more. Bounded in pids and in cgroups,
so that a fork bomb costs one read and not a walk over all of it. A pid of 0 is a process that this pid
namespace cannot see (a pod without hostPID): it is counted as unseen.
"""

from dataclasses import dataclass

from plimsoll_nodeagent.discover.tracker import Container
from plimsoll_nodeagent.kernelfs import Absence, KernelDirectory, KernelFs
from plimsoll_nodeagent.kernelfs.process import start_ticks

MOST_PIDS = 1024
MOST_CGROUPS = 64  # a container with systemd inside has some tens


@dataclass(frozen=True, slots=True)
class Members:
    """Pids of a container; `cut` where there were more, `unseen` those of no number here."""

    pids: tuple[int, ...]
    unseen: int = 0
    cut: bool = False
    absence: Absence | None = None


def member_pids(cgroup: KernelDirectory, most: int = MOST_PIDS) -> Members:
    """Return the pids of the cgroup and of those below it, breadth first."""
    found: set[int] = set()
    unseen, cut, absence = 0, False, None
    waiting, looked = [""], 0
    while waiting and not cut:
        below = waiting.pop(0)
        text = cgroup.read(f"{below}cgroup.procs")
        looked += 1
        if isinstance(text, Absence):
            absence = absence if below else text
            continue
        pids, more = _pids(text, most - len(found))
        unseen += pids.count(0)
        found.update(pid for pid in pids if pid)
        waiting += [f"{below}{each}/" for each in _children(cgroup, below)]
        cut = more or looked + len(waiting) > MOST_CGROUPS
    return Members(tuple(sorted(found)), unseen, cut, absence)


def largest_processes(fs: KernelFs, container: Container, most: int) -> dict[int, int]:
    """Return the container's processes with the most resident memory, and when each started, in ticks."""
    cgroup = fs.open(container.path)
    if isinstance(cgroup, Absence):
        return {}
    with cgroup:
        same = cgroup.inode == container.cgroup_inode
        pids = member_pids(cgroup).pids if same else ()
    largest = sorted(pids, key=lambda pid: resident_pages(fs, pid), reverse=True)[:most]
    started = {pid: start_ticks(fs.read(f"/proc/{pid}/stat")) for pid in largest}
    return {pid: ticks for pid, ticks in started.items() if not isinstance(ticks, Absence)}


def resident_pages(fs: KernelFs, pid: int) -> int:
    """Return how many pages of a process are resident; 0 where it is not told."""
    text = fs.read(f"/proc/{pid}/statm")
    words = [] if isinstance(text, Absence) else text.split()
    return int(words[1]) if len(words) > 1 and words[1].isdecimal() else 0


def _pids(text: str, most: int) -> tuple[list[int], bool]:
    lines = text.split("\n", most + 1)
    more = len(lines) > most + 1
    numbers = [int(line) for line in lines[: most + 1] if line.isdecimal() and len(line) <= 10]
    return numbers[:most], more


def _children(cgroup: KernelDirectory, below: str) -> list[str]:
    entries = cgroup.directories(below)
    return [] if isinstance(entries, Absence) else [each.name for each in entries]
