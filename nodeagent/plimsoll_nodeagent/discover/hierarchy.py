"""Where the kubelet's cgroups are on this host, and whether there are any that can be read.

In: the kernel's files and the path where cgroups are mounted. Out: one sentence if this host cannot be
watched (cgroup v1, no memory controller), else the `kubepods` roots: a kubelet in a container (kind) has its
own a few levels down. The walk never enters a `kubepods`: clusters within a pod are that pod's own business.
"""

from dataclasses import dataclass

from plimsoll_nodeagent.discover.names import Driver, kubepods_driver
from plimsoll_nodeagent.kernelfs import Absence, KernelFs

DEFAULT_CGROUP_ROOT = "/sys/fs/cgroup"
# kind seen from its host: system.slice/docker-<id>.scope/kubelet.slice/kubelet-kubepods.slice
DEEPEST_LEVEL = 4


@dataclass(frozen=True, slots=True)
class PodsRoot:
    """A kubelet's root of all pods: `path` under the root of the kernel's files."""

    path: str
    driver: Driver


def unusable(fs: KernelFs, cgroup_root: str) -> str | None:
    """Say in one sentence why containers cannot be watched here; None if they can."""
    controllers = fs.read(f"{cgroup_root}/cgroup.controllers")
    if controllers is Absence.GONE:
        return _not_unified(fs, cgroup_root)
    if isinstance(controllers, Absence):
        return f"The cgroups at {cgroup_root} cannot be read: cgroup.controllers is {controllers}."
    if "memory" not in controllers.split():
        return (
            f"The cgroup v2 hierarchy at {cgroup_root} has no memory controller: it is disabled "
            "(cgroup_disable=memory) or taken by cgroup v1."
        )
    return None


def _not_unified(fs: KernelFs, cgroup_root: str) -> str:
    if not isinstance(fs.read(f"{cgroup_root}/memory/memory.limit_in_bytes"), Absence):
        return (
            f"This host uses cgroup v1 ({cgroup_root}/memory): Plimsoll's agent needs cgroup v2, the unified "
            "hierarchy (kernel argument systemd.unified_cgroup_hierarchy=1)."
        )
    return f"There is no cgroup v2 hierarchy at {cgroup_root}: name another with --root or --cgroup-root."


def find_pods_roots(fs: KernelFs, cgroup_root: str) -> tuple[PodsRoot, ...]:
    """Return every `kubepods` of the highest level that has one; none where no kubelet runs."""
    own = kubepods_driver(cgroup_root.rstrip("/").rpartition("/")[2])
    if own is not None:
        return (PodsRoot(cgroup_root.rstrip("/"), own),)
    level = [cgroup_root.rstrip("/")]
    for _ in range(DEEPEST_LEVEL):
        level = [f"{path}/{name}" for path in level for name in _names(fs, path)]
        found = tuple(
            PodsRoot(path, driver) for path in level if (driver := kubepods_driver(path.rpartition("/")[2]))
        )
        if found:
            return found
    return ()


def find_memory_cgroup(fs: KernelFs, cgroup_root: str) -> str | None:
    """Return a cgroup that has the memory controller's files: the root itself has none of them."""
    candidates = [root.path for root in find_pods_roots(fs, cgroup_root)]
    candidates += [f"{cgroup_root}/{name}" for name in _names(fs, cgroup_root)]
    return next(
        (path for path in candidates if not isinstance(fs.read(f"{path}/memory.current"), Absence)), None
    )


def hierarchy_root(fs: KernelFs, cgroup_root: str) -> str:
    """The highest cgroup at or above this path: the kernel names cgroups from there (lru_gen)."""
    path = cgroup_root.rstrip("/")
    while above := path.rpartition("/")[0]:
        if isinstance(fs.read(f"{above}/cgroup.controllers"), Absence):
            break
        path = above
    return path


def _names(fs: KernelFs, path: str) -> list[str]:
    found = fs.directories(path)
    return [] if isinstance(found, Absence) else [entry.name for entry in found]
