"""What the guest's kernel says and is told: cgroups, PSI, counters of the whole machine, zram.

In: files of cgroup v2, /proc and /sys under a root (a directory of fixtures in a test). Out: plain numbers
in bytes and seconds. Counters only grow; whoever wants a rate takes two.
"""

import json
import os
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

CGROUPS = Path("/sys/fs/cgroup")
MICROSECONDS = 1e6
TICKS = os.sysconf("SC_CLK_TCK")
KERNEL_THREADS = ("kdamond", "kswapd", "kcompactd")


def keyed(text: str) -> dict[str, int]:
    """Read lines of a name and a number, as in memory.stat, cpu.stat and /proc/vmstat."""
    lines = (line.split() for line in text.splitlines())
    return {words[0]: int(words[1]) for words in lines if len(words) == 2 and words[1].isdigit()}


def stalled_seconds(text: str, kind: str = "some") -> float:
    """Read the total of a pressure file."""
    for line in text.splitlines():
        if line.startswith(kind):
            return int(line.rpartition("total=")[2]) / MICROSECONDS
    return 0.0


@dataclass(frozen=True)
class Cgroup:
    """One cgroup, by its directory."""

    path: Path

    def text(self, name: str) -> str:
        """Read one of its files."""
        return (self.path / name).read_text()

    def write(self, name: str, text: str) -> None:
        """Write one of its files."""
        (self.path / name).write_text(text)

    def usage_bytes(self) -> int:
        """memory.current."""
        return int(self.text("memory.current"))

    def stat(self) -> dict[str, int]:
        """memory.stat."""
        return keyed(self.text("memory.stat"))

    def stalled_seconds(self) -> float:
        """PSI some of memory, since the cgroup was made."""
        return stalled_seconds(self.text("memory.pressure"))

    def cpu_seconds(self) -> float:
        """CPU time that its processes have used."""
        return keyed(self.text("cpu.stat"))["usage_usec"] / MICROSECONDS

    def pids(self) -> list[int]:
        """Who is in it."""
        return [int(word) for word in self.text("cgroup.procs").split()]

    def start(self, command: Iterable[str], **options: object) -> subprocess.Popen[str]:
        """Start a program within it."""
        entered = ["sh", "-c", 'echo $$ >"$0/cgroup.procs" && exec "$@"', str(self.path), *command]
        return subprocess.Popen(entered, text=True, **options)


def made(path: Path) -> Cgroup:
    """Make a cgroup and, on the way, hand down the controllers."""
    for parent in reversed(path.relative_to(CGROUPS).parents):
        directory = CGROUPS / parent
        directory.mkdir(exist_ok=True)
        (directory / "cgroup.subtree_control").write_text("+memory +cpu +io +pids")
    path.mkdir(exist_ok=True)
    return Cgroup(path)


def container(name: str, number: int, limit_bytes: int) -> Cgroup:
    """A cgroup such as a kubelet makes for a container, with a limit."""
    pod = CGROUPS / f"kubepods/burstable/pod{number:08x}-0000-4000-8000-000000000000"
    cgroup = made(pod / sha256(name.encode()).hexdigest())
    cgroup.write("memory.max", str(limit_bytes))
    return cgroup


def system(name: str) -> Cgroup:
    """A cgroup of what is no workload."""
    return made(CGROUPS / "system" / name)


@dataclass(frozen=True)
class Look:
    """Counters at one time; two of them make a window."""

    seconds: float
    stalled: Mapping[str, float]
    refaults_anon: int
    refaults_file: int
    swapped_in_pages: int
    swapped_out_pages: int
    node_stalled: float
    cpu: Mapping[str, float]
    threads_cpu: float


def look(
    now_seconds: float, containers: Mapping[str, Cgroup], others: Mapping[str, Cgroup], root: Path = Path("/")
) -> Look:
    """Read every counter once."""
    stats = [each.stat() for each in containers.values()]
    machine = keyed((root / "proc/vmstat").read_text())
    return Look(
        seconds=now_seconds,
        stalled={name: each.stalled_seconds() for name, each in containers.items()},
        refaults_anon=sum(stat.get("workingset_refault_anon", 0) for stat in stats),
        refaults_file=sum(stat.get("workingset_refault_file", 0) for stat in stats),
        swapped_in_pages=machine.get("pswpin", 0),
        swapped_out_pages=machine.get("pswpout", 0),
        node_stalled=stalled_seconds((root / "proc/pressure/memory").read_text()),
        cpu={name: each.cpu_seconds() for name, each in others.items()},
        threads_cpu=sum(thread_seconds(root)),
    )


def window(before: Look, after: Look) -> dict[str, object]:
    """What happened between two looks, as it is written out."""
    seconds = after.seconds - before.seconds
    shares = {name: (after.stalled[name] - before.stalled[name]) / seconds for name in after.stalled}
    cpu = {name: 100 * (after.cpu[name] - before.cpu[name]) / seconds for name in after.cpu}
    return {
        "seconds": round(seconds, 3),
        "psi_some_percent": {name: round(100 * share, 4) for name, share in shares.items()},
        "node_psi_some_percent": round(100 * (after.node_stalled - before.node_stalled) / seconds, 4),
        "refaults_anon": after.refaults_anon - before.refaults_anon,
        "refaults_file": after.refaults_file - before.refaults_file,
        "swap_ins": after.swapped_in_pages - before.swapped_in_pages,
        "swap_outs": after.swapped_out_pages - before.swapped_out_pages,
        "cpu_percent_of_a_core": {name: round(share, 3) for name, share in cpu.items()},
        "kernel_threads_cpu_percent": round(100 * (after.threads_cpu - before.threads_cpu) / seconds, 3),
    }


def thread_seconds(root: Path = Path("/")) -> Iterator[float]:
    """CPU time of the kernel's own threads that work on memory."""
    for directory in (root / "proc").glob("[0-9]*"):
        try:
            name, _, rest = (directory / "stat").read_text().partition("(")[2].rpartition(")")
        except OSError:  # it ended meanwhile
            continue
        if name.startswith(KERNEL_THREADS):
            yield sum(int(word) for word in rest.split()[11:13]) / TICKS


def zram_bytes(root: Path = Path("/")) -> int:
    """What zram's store takes: swapped memory is not saved whole."""
    try:
        return int((root / "sys/block/zram0/mm_stat").read_text().split()[2])
    except OSError:
        return 0


def resident_bytes(cgroup: Cgroup, root: Path = Path("/")) -> int:
    """Resident memory of the processes in a cgroup."""
    total = 0
    for pid in cgroup.pids():
        try:
            lines = (root / f"proc/{pid}/status").read_text().splitlines()
        except OSError:
            continue
        total += sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmRSS:"))
    return total


def facts(root: Path = Path("/")) -> dict[str, object]:
    """What this machine is, from its kernel."""
    memory = keyed((root / "proc/meminfo").read_text().replace(":", "").replace(" kB", ""))
    nodes = sorted(each.name for each in (root / "sys/devices/system/node").glob("node[0-9]*"))
    return {
        "kernel": (root / "proc/sys/kernel/osrelease").read_text().strip(),
        "memory_mib": memory["MemTotal"] >> 10,
        "swap_mib": memory["SwapTotal"] >> 10,
        "cpus": os.cpu_count(),
        "numa_nodes": len(nodes),
        "lru_gen": _first(root / "sys/kernel/mm/lru_gen/enabled"),
        "damon": (root / "sys/kernel/mm/damon/admin").is_dir(),
    }


def _first(path: Path) -> str | None:
    try:
        return path.read_text().strip()
    except OSError:
        return None


class Reporter:
    """Writes one JSON document a line to where the host reads."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def say(self, kind: str, **found: object) -> None:
        """Write one line."""
        with self._path.open("a") as file:
            file.write(json.dumps({"kind": kind, **found}) + "\n")
