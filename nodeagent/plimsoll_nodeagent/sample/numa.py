"""Memory by NUMA node: of a cgroup (memory.numa_stat), of the machine (node/meminfo); which nodes are slow.

In: texts of the kernel. Out: bytes by kind and NUMA node, frozen samples, tiers. A node without processors or
in a lower memory tier is slower memory; where the kernel knows no tiers, having no processor decides.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from plimsoll.pages.tiering import TierNode, Tiers, tiers_of
from plimsoll_nodeagent.kernelfs import Absence, KernelDirectory, KernelFs
from plimsoll_nodeagent.sample.formats import FormatError

NODES = "/sys/devices/system/node"
TIERS = "/sys/devices/virtual/memory_tiering"
_KIB = 1024


@dataclass(frozen=True, slots=True)
class NumaNodeSample:
    """One NUMA node at one time."""

    numa_node: int
    total_bytes: int
    free_bytes: int
    available_bytes: int
    """Free, or page cache that the kernel drops first: what others may take without anybody's loss."""
    file_bytes: int
    anon_bytes: int
    has_cpus: bool
    tier: int | None
    """Number of its memory tier, smaller is faster; None where the kernel knows none."""
    read_latency_ns: int | None = None
    """From the processors that reach it fastest; None where the firmware tells none."""


def read_numa_stat(cgroup: KernelDirectory) -> dict[str, dict[int, int]] | None:
    """A cgroup's memory by kind and NUMA node; None where it is not told."""
    text = cgroup.read("memory.numa_stat")
    if isinstance(text, Absence):
        return None
    try:
        return parse_numa_stat(text)
    except FormatError:
        return None


def parse_numa_stat(text: str) -> dict[str, dict[int, int]]:
    """Read memory.numa_stat: bytes (`workingset_*`: pages) by kind, then by NUMA node. Raises FormatError."""
    found: dict[str, dict[int, int]] = {}
    for line in text.splitlines():
        kind, *words = line.split()
        pairs = [word.removeprefix("N").partition("=") for word in words]
        if not all(node.isdecimal() and value.isdecimal() for node, _, value in pairs):
            raise FormatError(f"not a line of memory.numa_stat: {line[:60]!r}")
        found[kind] = {int(node): int(value) for node, _, value in pairs}
    return found


def parse_node_list(text: str) -> tuple[int, ...]:
    """Read a list such as `0-2,5`. Raises FormatError."""
    found: list[int] = []
    for part in filter(None, text.strip().split(",")):
        first, _, last = part.partition("-")
        if not first.isdecimal() or (last and not last.isdecimal()) or int(last or first) > 4096:
            raise FormatError(f"not a list of numbers: {text[:40]!r}")
        found += range(int(first), int(last or first) + 1)
    return tuple(found)


def numa_nodes(fs: KernelFs) -> tuple[int, ...]:
    """Return the NUMA nodes that have memory; none where it cannot be read."""
    return _list(fs, f"{NODES}/has_memory")


def sample_numa_nodes(fs: KernelFs) -> tuple[NumaNodeSample, ...]:
    """Sample every NUMA node that has memory; one that cannot be read is left out."""
    with_cpus, tiers = _list(fs, f"{NODES}/has_cpu"), memory_tiers(fs)
    samples = (_sample(fs, node, node in with_cpus, tiers.get(node)) for node in numa_nodes(fs))
    return tuple(each for each in samples if each is not None)


def read_tiers(fs: KernelFs) -> Tiers:
    """Return which NUMA nodes are slow here, and what each of them has free."""
    return tiers_of(
        [
            TierNode(
                each.numa_node,
                each.total_bytes,
                each.available_bytes,
                each.has_cpus,
                each.tier,
                each.read_latency_ns,
            )
            for each in sample_numa_nodes(fs)
        ]
    )


def fast_numa_nodes(fs: KernelFs) -> tuple[NumaNodeSample, ...]:
    """Sample the nodes whose memory is not slow: between them memory follows CPUs, slower ones are tiers."""
    slow = {each.numa_node for each in read_tiers(fs).slow}
    return tuple(each for each in sample_numa_nodes(fs) if each.numa_node not in slow)


def memory_tiers(fs: KernelFs) -> dict[int, int]:
    """Return the memory tier of each NUMA node (Linux 6.1); {} where there are none."""
    tiers = fs.directories(TIERS)
    if isinstance(tiers, Absence):
        return {}
    numbered = [(each.name, each.name.removeprefix("memory_tier")) for each in tiers]
    return {
        node: int(number)
        for name, number in numbered
        if number.isdecimal()
        for node in _list(fs, f"{TIERS}/{name}/nodelist")
    }


def node_memory(fs: KernelFs, numa_node: int) -> dict[str, int] | None:
    """Read a NUMA node's meminfo: bytes by name; None where it cannot be read or lacks its totals."""
    text = fs.read(f"{NODES}/node{numa_node}/meminfo")
    if isinstance(text, Absence):
        return None
    found: dict[str, int] = {}
    for line in text.splitlines():
        words = line.split()
        if len(words) == 5 and words[4] == "kB" and words[3].isdecimal():
            found[words[2].rstrip(":")] = int(words[3]) * _KIB
    return found if "MemTotal" in found and "MemFree" in found else None


def _sample(fs: KernelFs, numa_node: int, has_cpus: bool, tier: int | None) -> NumaNodeSample | None:  # noqa: FBT001
    found = node_memory(fs, numa_node)
    if found is None:
        return None
    return NumaNodeSample(
        numa_node=numa_node,
        total_bytes=found["MemTotal"],
        free_bytes=found["MemFree"],
        available_bytes=_available(found),
        file_bytes=found.get("FilePages", 0),
        anon_bytes=found.get("AnonPages", 0),
        has_cpus=has_cpus,
        tier=tier,
        read_latency_ns=_latency(fs, numa_node),
    )


def _available(found: Mapping[str, int]) -> int:
    """Of a node that has been up for a while MemFree is a few percent, and most of the rest is page cache.

    As MemAvailable (Linux' `si_mem_available`), which nodes do not tell, but without the active half of the
    cache and what has to be written first. What watermarks keep is less than what callers leave free.
    """
    clean = found.get("Inactive(file)", 0) - found.get("Dirty", 0) - found.get("Writeback", 0)
    slab = found.get("KReclaimable", found.get("SReclaimable", 0)) // 2  # some of it is in use
    return found["MemFree"] + max(0, clean) + slab


def _latency(fs: KernelFs, numa_node: int) -> int | None:
    """Of HMAT or CDAT (Linux 5.2): `access0` are the initiators with the best access."""
    text = fs.read(f"{NODES}/node{numa_node}/access0/initiators/read_latency")
    return None if isinstance(text, Absence) or not text.strip().isdecimal() else int(text) or None


def _list(fs: KernelFs, path: str) -> tuple[int, ...]:
    text = fs.read(path)
    if isinstance(text, Absence):
        return ()
    try:
        return parse_node_list(text)
    except FormatError:
        return ()
