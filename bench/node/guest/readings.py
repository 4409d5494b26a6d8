"""Readings of the machine and of its NUMA nodes, as the pressure predictors take them.

In: /proc/meminfo, vmstat, pressure, buddyinfo, and each NUMA node's meminfo and numastat. Out:
`PressureReading`s by scope; what this kernel has not is NaN. Stalls, compactions and OOM kills are counted
for the whole machine only, so they are every NUMA node's too.
"""

import math
from dataclasses import replace
from pathlib import Path

from kernel import keyed, stalled_seconds

from plimsoll.pressure.sample import PressureReading

PAGE_BYTES = 4096
HUGE_ORDER = 9
MACHINE = "machine"
NUMA_NODES = "sys/devices/system/node"


def readings(now_seconds: float, root: Path = Path("/")) -> dict[str, PressureReading]:
    """Read every scope once: `machine`, `node0`, `node1`, ..."""
    buddies = (root / "proc/buddyinfo").read_text()
    machine = _machine(now_seconds, buddies, root)
    nodes = sorted((root / NUMA_NODES).glob("node[0-9]*"))
    return {MACHINE: machine} | {each.name: _numa_node(machine, each, buddies) for each in nodes}


def unusable_ratio(text: str, numa_node: str = "", order: int = HUGE_ORDER) -> float:
    """Share of free memory in smaller blocks, of one NUMA node or of all; NaN with none free."""
    free = usable = 0
    for line in text.splitlines():
        if not line.startswith(f"Node {numa_node}, " if numa_node else "Node "):
            continue
        for found, count in enumerate(map(int, line.partition("zone")[2].split()[1:])):
            free += count << found
            usable += count << found if found >= order else 0
    return 1 - usable / free if free else math.nan


def _machine(now_seconds: float, buddies: str, root: Path) -> PressureReading:
    memory = keyed((root / "proc/meminfo").read_text().replace(":", "").replace(" kB", ""))
    counters = keyed((root / "proc/vmstat").read_text())
    pressure = (root / "proc/pressure/memory").read_text()
    return PressureReading(
        seconds=now_seconds,
        total_bytes=memory["MemTotal"] * 1024.0,
        free_bytes=memory["MemFree"] * 1024.0,
        available_bytes=memory["MemAvailable"] * 1024.0,
        allocated_bytes=_all(counters, "pgalloc_") * PAGE_BYTES,
        compactions=float(counters.get("compact_stall", math.nan)),
        direct_reclaims=_all(counters, "allocstall_"),
        refaults=_all(counters, "workingset_refault_"),
        psi_some_seconds=stalled_seconds(pressure, "some"),
        psi_full_seconds=stalled_seconds(pressure, "full"),
        oom_kills=float(counters.get("oom_kill", math.nan)),
        swap_used_bytes=(memory["SwapTotal"] - memory["SwapFree"]) * 1024.0,
        swap_total_bytes=memory["SwapTotal"] * 1024.0,
        fragmentation_ratio=unusable_ratio(buddies),
    )


def _numa_node(machine: PressureReading, directory: Path, buddies: str) -> PressureReading:
    lines = (line.split() for line in (directory / "meminfo").read_text().splitlines())
    memory = {words[2].rstrip(":"): int(words[3]) * 1024.0 for words in lines if len(words) > 3}
    counters = keyed((directory / "numastat").read_text())
    files = memory.get("Active(file)", 0.0) + memory.get("Inactive(file)", 0.0)
    return replace(
        machine,
        total_bytes=memory["MemTotal"],
        free_bytes=memory["MemFree"],
        available_bytes=memory["MemFree"] + files,
        allocated_bytes=float(counters["numa_hit"] + counters["numa_miss"]) * PAGE_BYTES,
        fragmentation_ratio=unusable_ratio(buddies, directory.name.removeprefix("node")),
    )


def _all(counters: dict[str, int], prefix: str) -> float:
    found = [value for name, value in counters.items() if name.startswith(prefix)]
    return float(sum(found)) if found else math.nan
