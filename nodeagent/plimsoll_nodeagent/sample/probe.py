"""What this kernel, this node and our rights give each engine, found without writing anything.

In: the door and the path where cgroups are. Out: `KernelCapabilities`. Every question is asked of a file (is
it there, may we write it), of a call on ourselves, or, where neither can tell, of the kernel's release. DAMON
that is held by somebody else counts as not there: it is asked again when the loop wishes.
"""

import os
from collections.abc import Callable, Iterator

import numpy as np

from plimsoll_nodeagent.act.damon import ADMIN, kernel_release
from plimsoll_nodeagent.capabilities import Engine, Fact, KernelCapabilities, Level, settle
from plimsoll_nodeagent.discover.hierarchy import find_memory_cgroup
from plimsoll_nodeagent.kernelfs import Absence, KernelFs, KernelProcess
from plimsoll_nodeagent.kernelfs.allowed import IDLE_BITMAP
from plimsoll_nodeagent.sample.formats import FormatError, parse_meminfo
from plimsoll_nodeagent.sample.lru_gen import ENABLED, LRU_GEN, read_lru_gen
from plimsoll_nodeagent.sample.numa import NODES, memory_tiers, numa_nodes, parse_node_list
from plimsoll_nodeagent.sample.pagemap import FRAME, PRESENT, SOFT_DIRTY
from plimsoll_nodeagent.sample.swap import zswap_enabled

Ours = Callable[[], bool]
DAMON_STAT = "/sys/module/damon_stat/parameters/enabled"
_RIGHTS = {19: "CAP_SYS_PTRACE", 23: "CAP_SYS_NICE"}
_SWAPPINESS_SINCE = (6, 11)
_COLLAPSE_SINCE, _WILLNEED_SINCE = (6, 1), (5, 15)


def not_ours() -> bool:
    """Kdamonds that are there are somebody else's."""
    return False


def find_capabilities(fs: KernelFs, cgroup_root: str, ours: Ours = not_ours) -> KernelCapabilities:
    """Find what there is; `ours` says whether the kdamonds that exist are our own."""
    release = _text(fs, "/proc/sys/kernel/osrelease").strip()
    cgroup = find_memory_cgroup(fs, cgroup_root)
    facts = [
        *_accesses(fs, cgroup, ours),
        *_pressure(fs, cgroup),
        *_reclaim(fs, cgroup, kernel_release(release)),
        *_anonymous(fs, cgroup),
        *_advice(fs, kernel_release(release)),
        *_compaction(fs),
        *_tiering(fs),
    ]
    return KernelCapabilities(
        kernel=release or "unknown",
        engines=settle(facts),
        numa_nodes=numa_nodes(fs),
        swap_bytes=_swap_bytes(fs),
        limits=_limits(fs),
    )


def damon_fact(fs: KernelFs, engine: Engine, ours: Ours = not_ours) -> Fact:
    """Whether DAMON's files are there, writable, and nobody else's."""
    return Fact(engine, Level.DAMON, available=not (why := _damon_missing(fs, ours)), why=why)


def _damon_missing(fs: KernelFs, ours: Ours) -> str:
    present = fs.read(f"{ADMIN}/nr_kdamonds")
    if isinstance(present, Absence):
        return f"{ADMIN} is {present}"
    if not fs.can_write(f"{ADMIN}/nr_kdamonds"):
        return "its files may not be written"
    if present.strip() != "0" and not ours():
        return f"somebody else has {present.strip()} kdamonds"
    if fs.read(DAMON_STAT) == "Y\n":
        return "DAMON_STAT holds it (/sys/module/damon_stat/parameters/enabled)"
    return ""


def _accesses(fs: KernelFs, cgroup: str | None, ours: Ours) -> Iterator[Fact]:
    engine = Engine.ACCESSES
    yield damon_fact(fs, engine, ours)
    generations = read_lru_gen(fs)
    why = f"{LRU_GEN} is {generations}" if isinstance(generations, Absence) else ""
    if generations is Absence.UNSUPPORTED:
        why = f"generations are not there or switched off ({ENABLED})"
    yield Fact(engine, Level.LRU_GENERATIONS, available=not why, why=why)
    idle = fs.read_idle_bits(0, 8)
    why = f"the bitmap is {idle}" if isinstance(idle, Absence) else ""
    if not why and not fs.can_write(IDLE_BITMAP):
        why = "the bitmap may not be written"
    why = why or _own_pages_lack(fs, FRAME, "page frames are hidden from us (CAP_SYS_ADMIN)")
    yield Fact(engine, Level.IDLE_BITS, available=not why, why=why)
    # New mappings are soft-dirty from the start.
    why = _own_pages_lack(fs, SOFT_DIRTY, "no page has the bit (CONFIG_MEM_SOFT_DIRTY)")
    yield Fact(engine, Level.SOFT_DIRTY, available=not why, why=why)
    stat = "" if cgroup is None else _text(fs, f"{cgroup}/memory.stat")
    yield Fact(
        engine, Level.REFAULTS, available="workingset_refault" in stat, why="memory.stat does not count them"
    )


def _own_pages_lack(fs: KernelFs, bits: np.uint64, otherwise: str) -> str:
    """Say why no resident page of our own shows any of these bits of pagemap; "" where one does."""
    process = KernelProcess.open(fs, os.getpid())
    if isinstance(process, Absence):
        return f"our own process is {process}"
    with process:
        maps = process.read("maps")
        ranges = [] if isinstance(maps, Absence) else [line.split(" ", 1)[0] for line in maps.splitlines()]
        for each in ranges[:64]:
            start, _, end = each.partition("-")
            words = process.pagemap(int(start, 16), (int(end, 16) - int(start, 16)) // 4096)
            if isinstance(words, Absence):
                return f"pagemap is {words}"
            if (words[(words & PRESENT) > 0] & bits).any():
                return ""
    return otherwise


def _pressure(fs: KernelFs, cgroup: str | None) -> Iterator[Fact]:
    name = "/proc/pressure/memory" if cgroup is None else f"{cgroup}/memory.pressure"
    text = fs.read(name)
    why = f"{name} is {text}" if isinstance(text, Absence) else ""
    writable = not why and fs.can_write(name)
    yield Fact(Engine.PRESSURE, Level.TRIGGERS, available=writable, why=why or f"{name} may not be written")
    yield Fact(Engine.PRESSURE, Level.POLLING, available=not why, why=why)


def _reclaim(fs: KernelFs, cgroup: str | None, release: tuple[int, int]) -> Iterator[Fact]:
    why, high = "there is no cgroup with memory", False
    if cgroup is not None:
        directory = fs.open(cgroup)
        if not isinstance(directory, Absence):
            with directory:
                there, high = directory.can_write("memory.reclaim"), directory.can_write("memory.high")
            why = "" if there else "memory.reclaim is not there or may not be written"
    recent = release >= _SWAPPINESS_SINCE
    old = "before Linux 6.11: whose file pages alone may go is held, unless swap is shut to it anyway"
    yield Fact(Engine.RECLAIM, Level.SWAPPINESS, available=not why and recent, why=why or old)
    yield Fact(Engine.RECLAIM, Level.PLAIN, available=not why, why=why)
    yield Fact(Engine.RECLAIM, Level.HIGH_LEASE, available=high, why="memory.high may not be written")


def _anonymous(fs: KernelFs, cgroup: str | None) -> Iterator[Fact]:
    why = "" if _swap_bytes(fs) else "this node has none"
    if not why and cgroup is not None and isinstance(fs.read(f"{cgroup}/memory.swap.current"), Absence):
        why = "the kernel does not account for it by cgroup"
    yield Fact(Engine.ANONYMOUS, Level.SWAP, available=not why, why=why)
    yield Fact(Engine.ANONYMOUS, Level.FILE_ONLY, available=True)


def _advice(fs: KernelFs, release: tuple[int, int]) -> Iterator[Fact]:
    engine, why = Engine.ADVICE, fs.advice_missing() or _right_missing(fs)
    collapse = why or ("before Linux 6.1" if release < _COLLAPSE_SINCE else _huge_pages_missing(fs))
    willneed = why or ("" if release >= _WILLNEED_SINCE else "before Linux 5.15")
    yield Fact(engine, Level.COLLAPSE, available=not collapse, why=collapse)
    yield Fact(engine, Level.WILLNEED, available=not willneed, why=willneed)
    yield Fact(engine, Level.PAGEOUT, available=not why, why=why)


def _huge_pages_missing(fs: KernelFs) -> str:
    """Say why no huge pages may be made: MADV_COLLAPSE would heed no `never`, but whoever set it meant it."""
    enabled = fs.read("/sys/kernel/mm/transparent_hugepage/enabled")
    if isinstance(enabled, Absence):
        return "no huge pages in this kernel"
    return "huge pages are off (transparent_hugepage/enabled)" if "[never]" in enabled else ""


def _right_missing(fs: KernelFs) -> str:
    """Say which right over other processes we lack; "" where the kernel does not tell."""
    for line in _text(fs, "/proc/self/status").splitlines():
        name, _, value = line.partition(":")
        if name == "CapEff":
            missing = [right for bit, right in _RIGHTS.items() if not int(value, 16) >> bit & 1]
            return f"{' and '.join(missing)} missing" if missing else ""
    return ""


def _compaction(fs: KernelFs) -> Iterator[Fact]:
    nodes = numa_nodes(fs)
    writable = bool(nodes) and all(fs.can_write(f"{NODES}/node{each}/compact") for each in nodes)
    yield Fact(
        Engine.COMPACTION,
        Level.PER_NUMA_NODE,
        available=writable,
        why="node/compact is not there or may not be written",
    )


def _tiering(fs: KernelFs) -> Iterator[Fact]:
    tiers = set(memory_tiers(fs).values())
    yield Fact(Engine.TIERING, Level.TIERS, available=len(tiers) > 1, why=f"{len(tiers)} memory tiers")
    without = set(numa_nodes(fs)) - set(_nodes(fs, f"{NODES}/has_cpu"))
    yield Fact(Engine.TIERING, Level.CPULESS, available=bool(without), why="every NUMA node has processors")
    yield Fact(Engine.TIERING, Level.ZSWAP, available=zswap_enabled(fs), why="zswap is off or not there")


def _limits(fs: KernelFs) -> tuple[str, ...]:
    found = []
    if not _swap_bytes(fs):
        found.append("no swap: only file pages can be reclaimed")
    if _text(fs, "/sys/kernel/mm/numa/demotion_enabled") == "false\n":
        found.append("demotion to slower memory is off (numa/demotion_enabled)")
    return tuple(found)


def _swap_bytes(fs: KernelFs) -> int:
    try:
        return parse_meminfo(_text(fs, "/proc/meminfo")).swap_total_bytes
    except FormatError:
        return 0


def _nodes(fs: KernelFs, path: str) -> tuple[int, ...]:
    try:
        return parse_node_list(_text(fs, path))
    except FormatError:
        return ()


def _text(fs: KernelFs, path: str) -> str:
    text = fs.read(path)
    return "" if isinstance(text, Absence) else text
