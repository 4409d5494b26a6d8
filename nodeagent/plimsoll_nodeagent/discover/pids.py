"""The processes of a container: the pids in its cgroup and in those below it, as many as are worth a look.

In: a container's open cgroup. Out: pids, sorted, and whether there were more. Bounded in pids and in cgroups,
so that a fork bomb costs one read and not a walk over all of it. A pid of 0 is a process that this pid
namespace cannot see (a pod without hostPID): it is counted as unseen.
"""

from dataclasses import dataclass

from plimsoll_nodeagent.kernelfs import Absence, KernelDirectory

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


def _pids(text: str, most: int) -> tuple[list[int], bool]:
    lines = text.split("\n", most + 1)
    more = len(lines) > most + 1
    numbers = [int(line) for line in lines[: most + 1] if line.isdecimal() and len(line) <= 10]
    return numbers[:most], more


def _children(cgroup: KernelDirectory, below: str) -> list[str]:
    entries = cgroup.directories(below)
    return [] if isinstance(entries, Absence) else [each.name for each in entries]
