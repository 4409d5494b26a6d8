"""What this kernel offers, found once at start; what it lacks is said, with what is lost by it.

In: the kernel's files and one cgroup that has the memory controller. Out: `Features`: the kernel's release,
the files that are there, and for each one that is not, why and what is not served. The samplers read only
what is there, so that a lesser kernel costs no failed reads.
"""

from dataclasses import dataclass
from typing import NamedTuple

from plimsoll_nodeagent.kernelfs import Absence, KernelFs
from plimsoll_nodeagent.sample.formats import FormatError, parse_flat_keyed, parse_meminfo


class Wanted(NamedTuple):
    """A file that a sampler reads, and what is lost without it."""

    name: str
    without: str


OF_CONTAINERS = (
    Wanted("memory.current", "no container can be sampled"),
    Wanted("memory.peak", "no peak of usage (Linux 5.19 has it)"),
    Wanted("memory.max", "no memory.max"),
    Wanted("memory.high", "no memory.high"),
    Wanted("memory.events", "no OOM kills"),
    Wanted("memory.stat", "no working set, no refaults"),
    Wanted("memory.swap.current", "no swap of containers: the kernel does not account for it"),
    Wanted("memory.pressure", "no PSI of containers (CONFIG_PSI and the kernel argument psi=1)"),
)
OF_KUBE_NODE = (
    Wanted("/proc/meminfo", "no memory of the node"),
    Wanted("/proc/pressure/memory", "no PSI of the node (CONFIG_PSI and the kernel argument psi=1)"),
)
REFAULTS = Wanted(
    "memory.stat workingset_refault_anon", "no refaults of anonymous pages (Linux 5.9 has them)"
)
# Other absences pass: the file is there, it could only not be read just now.
_LACKING = (Absence.GONE, Absence.DENIED, Absence.UNSUPPORTED)
SWAP = Wanted("swap", "this node has none: only file pages could ever be reclaimed")


@dataclass(frozen=True, slots=True)
class Missing:
    """Something that this kernel does not offer."""

    what: str
    why: Absence
    without: str


@dataclass(frozen=True, slots=True)
class Features:
    """What was found: names as in the tables above."""

    kernel: str
    present: frozenset[str]
    missing: tuple[Missing, ...]

    def has(self, name: str) -> bool:
        """True where the kernel has the file of that name."""
        return name in self.present


def find_features(fs: KernelFs, cgroup: str) -> Features:
    """Try every file once; `cgroup` is the path of one with the memory controller (not the root)."""
    tried = [(wanted, fs.read(f"{cgroup}/{wanted.name}")) for wanted in OF_CONTAINERS]
    tried += [(wanted, fs.read(wanted.name)) for wanted in OF_KUBE_NODE]
    texts = {wanted.name: text for wanted, text in tried}
    tried.append((REFAULTS, _refaults(texts["memory.stat"])))
    tried.append((SWAP, _swap(texts["/proc/meminfo"])))
    release = fs.read("/proc/sys/kernel/osrelease")
    missing = tuple(
        Missing(each.name, text, each.without)
        for each, text in tried
        if isinstance(text, Absence) and text in _LACKING
    )
    lacking = {each.what for each in missing}
    return Features(
        kernel=f"unknown ({release})" if isinstance(release, Absence) else release.strip(),
        present=frozenset(each.name for each, _ in tried if each.name not in lacking),
        missing=missing,
    )


def _refaults(stat: str | Absence) -> str | Absence:
    if isinstance(stat, Absence):
        return stat
    try:
        return "" if "workingset_refault_anon" in parse_flat_keyed(stat) else Absence.UNSUPPORTED
    except FormatError:
        return Absence.GARBLED


def _swap(meminfo: str | Absence) -> str | Absence:
    if isinstance(meminfo, Absence):
        return meminfo
    try:
        return "" if parse_meminfo(meminfo).swap_total_bytes else Absence.GONE
    except FormatError:
        return Absence.GARBLED
