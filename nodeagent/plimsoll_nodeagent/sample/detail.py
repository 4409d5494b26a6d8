"""What of a container changes slowly or costs more to read: its NUMA split, and what it may still swap out.

In: a container. Out: a frozen detail, read at the pace of pages and not of events; a container that went away
gives none. Kept apart from `ContainerSample`, which is read every second.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from plimsoll_nodeagent.discover.pids import Members, member_pids
from plimsoll_nodeagent.discover.tracker import Container
from plimsoll_nodeagent.kernelfs import Absence, KernelFs
from plimsoll_nodeagent.sample.formats import FormatError
from plimsoll_nodeagent.sample.numa import parse_numa_stat
from plimsoll_nodeagent.sample.swap import ContainerSwap, container_swap


@dataclass(frozen=True, slots=True)
class ContainerDetail:
    """One container at one time."""

    container: Container
    anon_bytes: Mapping[int, int]
    """By NUMA node; {} where the kernel does not tell."""
    file_bytes: Mapping[int, int]
    swap: ContainerSwap | None
    members: Members


def read_detail(fs: KernelFs, container: Container) -> ContainerDetail | Absence:
    """Read a container's details; `Absence.GONE` where its path is another's by now."""
    cgroup = fs.open(container.path)
    if isinstance(cgroup, Absence):
        return cgroup
    with cgroup:
        if cgroup.inode != container.cgroup_inode:
            return Absence.GONE
        split = _split(cgroup.read("memory.numa_stat"))
        return ContainerDetail(
            container=container,
            anon_bytes=split.get("anon", {}),
            file_bytes=split.get("file", {}),
            swap=container_swap(cgroup),
            members=member_pids(cgroup),
        )


def _split(text: str | Absence) -> dict[str, dict[int, int]]:
    if isinstance(text, Absence):
        return {}
    try:
        return parse_numa_stat(text)
    except FormatError:
        return {}
