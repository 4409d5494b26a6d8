"""Cgroups that a person named, in place of a kubelet's containers: any Linux host, no Kubernetes.

In: paths of cgroups below the root of cgroups (`system.slice/redis.service`, `/sys/fs/cgroup/user.slice`).
Out: the same as the tracker of pods: each is one "container" of its own, known by its inode, so that a
service that is restarted is a new one.
"""

from collections import Counter
from collections.abc import Sequence

from plimsoll_nodeagent.discover.hierarchy import PodsRoot
from plimsoll_nodeagent.discover.names import Driver, Qos
from plimsoll_nodeagent.discover.tracker import Change, Container, ContainerId
from plimsoll_nodeagent.kernelfs import Absence, KernelFs


class NamedTracker:
    """Follows the cgroups of these paths."""

    def __init__(self, fs: KernelFs, cgroup_root: str, paths: Sequence[str]) -> None:
        self._fs = fs
        root = cgroup_root.rstrip("/")
        self._paths = tuple(_below(root, each) for each in paths)
        self.roots = tuple(PodsRoot(each, Driver.SYSTEMD) for each in self._paths)
        self.containers: dict[ContainerId, Container] = {}
        self.pods = 0
        self.failures: Counter[Absence] = Counter()

    def look(self) -> Change:
        """Look once at every path."""
        found: dict[ContainerId, Container] = {}
        for path in self._paths:
            directory = self._fs.open(path)
            if isinstance(directory, Absence):
                self.failures[directory] += 1
                continue
            with directory:
                name = path.rpartition("/")[2]
                made = Container(directory.inode, name, "", Qos.BURSTABLE, "", path)
            found[made.key] = self.containers.get(made.key, made)
        added = tuple(each for key, each in found.items() if key not in self.containers)
        removed = tuple(each for key, each in self.containers.items() if key not in found)
        self.containers = found
        return Change(added, removed)

    def missing(self) -> list[str]:
        """The paths at which there is no cgroup with the memory controller."""
        return [path for path in self._paths if self._fs.read(f"{path}/memory.current") is Absence.GONE]

    def memory_cgroup(self) -> str | None:
        """The first of them that has the memory controller."""
        for path in self._paths:
            if not isinstance(self._fs.read(f"{path}/memory.current"), Absence):
                return path
        return None


def _below(root: str, path: str) -> str:
    plain = path.rstrip("/")
    if ".." in plain.split("/"):
        raise ValueError(f"a cgroup's path without `..`, not {path!r}")
    return plain if plain.startswith(f"{root}/") else f"{root}/{plain.lstrip('/')}"
