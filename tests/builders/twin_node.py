"""A node to act on: the fixture tree of `cgroup_tree`, with what acting needs, behind the twin's door.

In: a directory of the test, and what the node is to have. Out: a `TwinKernel`, containers as they would be
discovered, processes in them.
"""

import errno
from dataclasses import dataclass, field
from pathlib import Path

from builders.cgroup_tree import MIB, CgroupTree, Memory
from plimsoll_nodeagent.act.actor import Actor
from plimsoll_nodeagent.act.journal import Journal
from plimsoll_nodeagent.discover.tracker import Container, Tracker
from plimsoll_nodeagent.kernelfs import Mode, TwinKernel, TwinProcess

ROOT = "/sys/fs/cgroup"
BUDDYINFO = """\
Node 0, zone   Normal     10     20     30      5      0      0      0      0      0      1      0
Node 1, zone   Normal    513      0      0      0      0      0      0      0      0      0      0
"""
LRU_GEN = """memcg     1 /
 node     0
          0      90000        100        200
          1      30000         10         20
memcg     7 {path}
 node     0
          4     120000       1000       2000
          5      60000        500        100
          6      10000         50         40
          7       1000          5          6
 node     1
          2      50000         70          0
          3       2000          1          3
"""
__all__ = ["MIB", "ROOT", "TwinNode", "errno"]


class Clock:
    """A clock that stands still until it is moved."""

    def __init__(self, seconds: float = 1000.0) -> None:
        self.seconds = seconds

    def __call__(self) -> float:
        return self.seconds


@dataclass
class TwinNode:
    """Containers 1, 2, ... in pods of the same number."""

    root: Path
    containers: int = 1
    usage_bytes: int = 64 * MIB
    swap_max: str = "max"
    mode: Mode = Mode.ACT
    without: tuple[str, ...] = ()
    tree: CgroupTree = field(init=False)
    kernel: TwinKernel = field(init=False)
    clock: Clock = field(default_factory=Clock)

    def __post_init__(self) -> None:
        self.tree = CgroupTree(self.root)
        self.kernel = TwinKernel(self.root, self.mode)
        for number in range(1, self.containers + 1):
            self.add(number)
        write = self.tree.write
        write(self.root / "proc/sys/kernel/random/boot_id", "b007\n")
        write(self.root / "proc/buddyinfo", BUDDYINFO)
        for numa_node in (0, 1):
            write(self.root / f"sys/devices/system/node/node{numa_node}/compact", "")
        write(self.root / "sys/devices/system/node/has_memory", "0-1\n")
        write(self.root / "sys/devices/system/node/has_cpu", "0-1\n")
        lru_gen = LRU_GEN.format(path=self.container(1).path.removeprefix(ROOT)) if self.containers else ""
        write(self.root / "sys/kernel/debug/lru_gen", lru_gen)
        self.kernel.damon.make()

    def add(self, number: int) -> Path:
        """Add a container, as the kernel makes its files."""
        extra = {
            "memory.reclaim": "",
            "memory.swap.current": "0\n",
            "memory.swap.max": f"{self.swap_max}\n",
            "memory.numa_stat": f"anon N0={16 * MIB} N1={16 * MIB}\nfile N0={32 * MIB} N1=0\n",
            "cgroup.procs": "",
        }
        memory = Memory(self.usage_bytes, without=self.without, extra=extra)
        return self.tree.container(number, pod=number, memory=memory)

    def discovered(self) -> list[Container]:
        """The containers as the tracker finds them, oldest number first."""
        tracker = Tracker(self.kernel, ROOT)
        tracker.look()
        return sorted(tracker.containers.values(), key=lambda each: each.container_id)

    def container(self, number: int = 1) -> Container:
        """One of them."""
        return self.discovered()[number - 1]

    def file(self, number: int, name: str) -> Path:
        """A file of a container's cgroup."""
        return self.root / self.container(number).path.strip("/") / name

    def process(self, pid: int = 500, number: int = 1, **of: object) -> TwinProcess:
        """Start a process in a container."""
        procs = self.file(number, "cgroup.procs")
        procs.write_text(f"{procs.read_text()}{pid}\n")
        return self.kernel.processes.add(TwinProcess(pid, **of))

    def actor(self, *permitted: Container) -> Actor:
        """An actor with its journal in the test's directory; it has recovered nothing yet."""
        actor = Actor(self.kernel, self.journal(), self.clock)
        actor.permit(permitted)
        return actor

    def journal(self) -> Journal:
        """The journal on disk, as the next agent would open it."""
        return Journal(self.root / "state")
