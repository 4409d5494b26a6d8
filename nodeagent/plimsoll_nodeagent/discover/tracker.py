"""The containers of this node, followed from one look to the next.

In: the kernel's files. Out: which containers there are, and which came and went since the last look. A
container is known by its cgroup's inode together with its container id: paths and inodes are recycled, a pair
of both is not. What cannot be listed for a moment (EPERM, EAGAIN) is held as it was, what is gone is
forgotten at once, so that nothing grows with churn.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from plimsoll_nodeagent.discover.hierarchy import PodsRoot, find_pods_roots
from plimsoll_nodeagent.discover.names import Qos, container_name, pod_uid, qos_group
from plimsoll_nodeagent.kernelfs import Absence, Entry, KernelFs

# Looks between two searches for another `kubepods`: a kubelet's cgroup root changes only with its set-up.
SEARCH_EVERY_LOOKS = 30

ContainerId = tuple[int, str]


@dataclass(frozen=True, slots=True)
class Container:
    """A container as cgroupfs knows it (pod sandboxes have a cgroup of the same kind and are among them)."""

    cgroup_inode: int
    container_id: str
    pod_uid: str
    qos: Qos
    runtime: str
    path: str

    @property
    def key(self) -> ContainerId:
        """What tells it from every other, before and after."""
        return (self.cgroup_inode, self.container_id)


@dataclass(frozen=True, slots=True)
class Change:
    """What one look found new and what it missed."""

    added: tuple[Container, ...]
    removed: tuple[Container, ...]


@dataclass(frozen=True, slots=True)
class _Pod:
    path: str
    uid: str
    qos: Qos


class Follows(Protocol):
    """What finds containers: a kubelet's (`Tracker`), or those of paths that a person named (`named.py`)."""

    roots: tuple[PodsRoot, ...]
    containers: dict[ContainerId, Container]
    pods: int
    failures: Counter[Absence]

    def look(self) -> Change:
        """Look once."""

    def memory_cgroup(self) -> str | None:
        """A cgroup with the memory controller that it knows of."""


class Tracker:
    """Follows the containers under a cgroup root."""

    def __init__(self, fs: KernelFs, cgroup_root: str) -> None:
        self._fs = fs
        self._cgroup_root = cgroup_root
        self._looks = 0
        self.roots: tuple[PodsRoot, ...] = ()
        self.containers: dict[ContainerId, Container] = {}
        self.pods = 0
        self.failures: Counter[Absence] = Counter()

    def look(self) -> Change:
        """Look once at every pod; returns what changed."""
        self._search()
        pods = [pod for root in self.roots for pod in self._pods(root.path, Qos.GUARANTEED)]
        found = {each.key: each for pod in pods for each in self._containers(pod)}
        added = tuple(each for key, each in found.items() if key not in self.containers)
        removed = tuple(each for key, each in self.containers.items() if key not in found)
        self.containers, self.pods = found, len({pod.uid for pod in pods})
        return Change(added, removed)

    def memory_cgroup(self) -> str | None:
        """None: it is looked for."""
        return None

    def _search(self) -> None:
        """Find the roots where there are none yet, where one is gone, and now and then."""
        alive = tuple(each for each in self.roots if self._fs.directories(each.path) is not Absence.GONE)
        if not alive or alive != self.roots or self._looks % SEARCH_EVERY_LOOKS == 0:
            self.roots = find_pods_roots(self._fs, self._cgroup_root) or alive
        self._looks += 1

    def _pods(self, path: str, qos: Qos) -> Iterator[_Pod]:
        entries = self._fs.directories(path)
        if isinstance(entries, Absence):
            self.failures[entries] += 1
            yield from () if entries is Absence.GONE else self._known_pods(path)
            return
        for entry in entries:
            here = f"{path}/{entry.name}"
            if uid := pod_uid(entry.name):
                yield _Pod(here, uid, qos)
            elif group := qos_group(entry.name):
                yield from self._pods(here, group)

    def _containers(self, pod: _Pod) -> Iterator[Container]:
        entries = self._fs.directories(pod.path)
        if isinstance(entries, Absence):
            self.failures[entries] += 1
            yield from () if entries is Absence.GONE else self._known_containers(pod.path)
            return
        for entry in entries:
            if made := _container(entry, pod):
                yield self.containers.get(made.key, made)

    def _known_pods(self, path: str) -> list[_Pod]:
        known = (each for each in self.containers.values() if each.path.startswith(f"{path}/"))
        pods = (_Pod(each.path.rpartition("/")[0], each.pod_uid, each.qos) for each in known)
        return list(dict.fromkeys(pods))

    def _known_containers(self, path: str) -> list[Container]:
        return [each for each in self.containers.values() if each.path.startswith(f"{path}/")]


def _container(entry: Entry, pod: _Pod) -> Container | None:
    name = container_name(entry.name)
    if name is None:
        return None
    path = f"{pod.path}/{entry.name}"
    return Container(entry.inode, name.container_id, pod.uid, pod.qos, name.runtime, path)
