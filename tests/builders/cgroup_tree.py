"""A fixture tree: the kernel's files as a node has them, in a directory of the test.

In: a root and what the node is to have. Out: files under it, written as the kernel writes them. The agent
reads it through the very same `KernelFs`, only with another root.
"""

import shutil
from dataclasses import dataclass, field, replace
from pathlib import Path

from plimsoll_nodeagent.kernelfs import KernelFs

MIB = 1 << 20
PSI = """some avg10={avg10:.2f} avg60=1.50 avg300=0.50 total={total}
full avg10=0.00 avg60=0.25 avg300=0.00 total=7
"""
MEMINFO = """MemTotal:        2097152 kB
MemFree:          524288 kB
MemAvailable:    1048576 kB
HugePages_Total:       0
SwapTotal:        524288 kB
SwapFree:         262144 kB
"""
STAT = """anon {anon}
file {file}
kernel 4096
shmem 0
file_mapped {mapped}
inactive_file {inactive_file}
active_file 0
slab {slab}
workingset_refault_anon 3
workingset_refault_file 17
pgsteal 40
pgfault 12345
"""


def uid(number: int) -> str:
    return f"{number:08x}-1111-4222-8333-444455556666"


def container_id(number: int) -> str:
    return f"{number:064x}"


@dataclass(frozen=True)
class Memory:
    """What a container's files say."""

    usage_bytes: int = 64 * MIB
    memory_max: str = "max"
    oom_kills: int = 0
    avg10: float = 0.0
    without: tuple[str, ...] = ()
    extra: dict[str, str] = field(default_factory=dict)

    def files(self) -> dict[str, str]:
        half = self.usage_bytes // 2
        stat = STAT.format(anon=half, file=half, mapped=half, inactive_file=half // 2, slab=4096)
        events = f"low 0\nhigh 2\nmax 5\noom {self.oom_kills}\noom_kill {self.oom_kills}\noom_group_kill 0\n"
        whole = {
            "cgroup.procs": "1\n",
            "memory.current": f"{self.usage_bytes}\n",
            "memory.peak": f"{self.usage_bytes + MIB}\n",
            "memory.max": f"{self.memory_max}\n",
            "memory.high": "max\n",
            "memory.events": events,
            "memory.stat": stat,
            "memory.swap.current": "8192\n",
            "memory.pressure": PSI.format(avg10=self.avg10, total=2_500_000),
        }
        return {name: text for name, text in (whole | self.extra).items() if name not in self.without}


@dataclass(frozen=True)
class Naming:
    """How kubelet and runtime name cgroups: a driver, a runtime's prefix, the kubelet's own cgroup root."""

    systemd: bool = False
    prefix: str = ""
    parent: str = ""  # "kubelet" as in kind

    def pods_root(self) -> str:
        if not self.systemd:
            return f"{self.parent}/kubepods".lstrip("/")
        return f"{self.parent}.slice/{self.parent}-kubepods.slice" if self.parent else "kubepods.slice"

    def pod(self, pod_uid: str, qos: str) -> str:
        if not self.systemd:
            return "/".join(
                filter(None, (self.pods_root(), "" if qos == "guaranteed" else qos, f"pod{pod_uid}"))
            )
        base = self.pods_root().rpartition("/")[2].removesuffix(".slice")
        group = base if qos == "guaranteed" else f"{base}-{qos}"
        slices = self.pods_root() if qos == "guaranteed" else f"{self.pods_root()}/{group}.slice"
        return f"{slices}/{group}-pod{pod_uid.replace('-', '_')}.slice"

    def container(self, container: str) -> str:
        return f"{self.prefix}{container}.scope" if self.systemd else f"{self.prefix}{container}"


CGROUPFS = Naming()
SYSTEMD = Naming(systemd=True, prefix="cri-containerd-")


class CgroupTree:
    """A node: cgroup v2 with the files of its root, and /proc."""

    def __init__(self, root: Path, naming: Naming = CGROUPFS) -> None:
        self.root = root
        self.naming = naming
        self.cgroups = root / "sys/fs/cgroup"
        self.write(self.cgroups / "cgroup.controllers", "cpuset cpu io memory pids\n")
        self.write(root / "proc/meminfo", MEMINFO)
        self.write(root / "proc/pressure/memory", PSI.format(avg10=12.5, total=9_000_000))
        self.write(root / "proc/sys/kernel/osrelease", "7.2.12-test\n")
        self._fill(self.cgroups / naming.pods_root(), Memory())

    @property
    def fs(self) -> KernelFs:
        return KernelFs(self.root)

    def container(
        self, number: int = 1, pod: int = 1, qos: str = "burstable", memory: Memory | None = None
    ) -> Path:
        """Add (or write anew) a container; returns its directory."""
        path = self.pod_path(pod, qos) / self.naming.container(container_id(number))
        self._fill(path.parent, Memory())
        self._fill(path, memory or Memory())
        return path

    def pod_path(self, pod: int, qos: str = "burstable") -> Path:
        return self.cgroups / self.naming.pod(uid(pod), qos)

    def remove_pod(self, pod: int, qos: str = "burstable") -> None:
        shutil.rmtree(self.pod_path(pod, qos))

    @staticmethod
    def write(path: Path, text: str) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def _fill(self, path: Path, memory: Memory) -> None:
        for name, text in memory.files().items():
            self.write(path / name, text)


def nested(naming: Naming) -> Naming:
    """The same under a kubelet's own root, as in kind."""
    return replace(naming, parent="kubelet")
