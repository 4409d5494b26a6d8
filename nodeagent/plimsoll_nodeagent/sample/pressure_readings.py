"""What the kernel says of each scope's memory, as pressure predictors take it: node, NUMA nodes, containers.

In: the kernel's files, a container's sample. Out: `PressureReading`s of the core; what a kernel does not tell
is NaN. Stalls are counted by the machine and by cgroup, so a NUMA node's are the machine's. Recordings that
predictors are trained on (`bench/record_pressure.py`) and the stress benchmark are read by these functions.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from plimsoll.pressure.sample import PressureReading
from plimsoll_nodeagent.discover.tracker import ContainerId
from plimsoll_nodeagent.kernelfs import KernelFs
from plimsoll_nodeagent.kernelfs.process import PAGE_BYTES
from plimsoll_nodeagent.sample.buddy import HUGE_PAGE_ORDER, Zone, parse_buddyinfo, unusable_ratio
from plimsoll_nodeagent.sample.formats import (
    MemoryInfo,
    Pressure,
    parse_flat_keyed,
    parse_meminfo,
    parse_pressure,
    parsed,
)
from plimsoll_nodeagent.sample.numa import NODES, node_memory, numa_nodes
from plimsoll_nodeagent.sample.reading import ContainerSample
from plimsoll_nodeagent.sample.triggers import KUBE_NODE

NAN = math.nan


@dataclass(frozen=True, slots=True)
class NodeFiles:
    """The files of the whole machine, read once for all of its scopes; None where one cannot be read."""

    memory: MemoryInfo | None
    pressure: Pressure | None
    counters: Mapping[str, int]
    zones: tuple[Zone, ...]


def numa_key(numa_node: int) -> ContainerId:
    """A NUMA node among scopes: no container has an inode below zero."""
    return (-1 - numa_node, "")


def is_numa(key: ContainerId) -> bool:
    """Whether a scope is a NUMA node."""
    return key[0] < 0


def numa_node_of(key: ContainerId) -> int:
    """The number of the NUMA node that a scope is."""
    return -1 - key[0]


def scope_name(key: ContainerId) -> str:
    """A scope as people read it."""
    if is_numa(key):
        return f"numa_node {numa_node_of(key)}"
    return "kube_node" if key == KUBE_NODE else key[1]


def node_readings(fs: KernelFs, now_seconds: float) -> dict[ContainerId, PressureReading]:
    """Readings of the kube node and of each NUMA node, as far as they can be read."""
    files = read_node(fs)
    found = {numa_key(each): _numa_node(fs, each, files, now_seconds) for each in numa_nodes(fs)}
    known = {key: reading for key, reading in found.items() if reading is not None}
    if files.memory is not None:
        known[KUBE_NODE] = _kube_node(files, files.memory, now_seconds)
    return known


def read_node(fs: KernelFs) -> NodeFiles:
    """Read the machine's files."""
    return NodeFiles(
        memory=parsed(fs.read("/proc/meminfo"), parse_meminfo),
        pressure=parsed(fs.read("/proc/pressure/memory"), parse_pressure),
        counters=parsed(fs.read("/proc/vmstat"), parse_flat_keyed) or {},
        zones=parsed(fs.read("/proc/buddyinfo"), parse_buddyinfo) or (),
    )


def fragmentation_ratio(zones: tuple[Zone, ...]) -> float:
    """Share of free memory in blocks too small for a huge page; NaN where nothing is free or known."""
    free = sum(each.free_pages for each in zones)
    if not free:
        return NAN
    return sum(unusable_ratio(each, HUGE_PAGE_ORDER) * each.free_pages for each in zones) / free


def container_reading(sample: ContainerSample, swap_total_bytes: int, now_seconds: float) -> PressureReading:
    """Reading of one container; without a limit its memory is what it uses."""
    most = sample.memory_max_bytes
    total = float(sample.usage_bytes if most is None or math.isinf(most) else most)
    events, pressure, stat = sample.events or {}, sample.pressure, sample.stat
    inactive = 0 if stat is None else stat.inactive_file_bytes or 0
    refaults = NAN if stat is None else float((stat.refault_anon_pages or 0) + (stat.refault_file_pages or 0))
    return PressureReading(
        seconds=now_seconds,
        total_bytes=max(total, 1.0),
        free_bytes=max(0.0, total - sample.usage_bytes),
        available_bytes=max(0.0, total - sample.usage_bytes + inactive),
        allocated_bytes=_allocated(sample),
        direct_reclaims=_number(None if stat is None else stat.scan_direct_pages),
        refaults=refaults,
        psi_some_seconds=NAN if pressure is None else pressure.some.total_seconds,
        psi_full_seconds=NAN if pressure is None else pressure.full.total_seconds,
        events_high=_number(events.get("high")),
        events_max=_number(events.get("max")),
        oom_kills=_number(events.get("oom_kill")),
        swap_used_bytes=_number(sample.swap_bytes),
        swap_total_bytes=float(swap_total_bytes),
    )


def _kube_node(files: NodeFiles, memory: MemoryInfo, now_seconds: float) -> PressureReading:
    counters, pressure = files.counters, files.pressure
    return PressureReading(
        seconds=now_seconds,
        total_bytes=memory.total_bytes,
        free_bytes=memory.free_bytes,
        available_bytes=memory.available_bytes,
        allocated_bytes=_sum(counters, "pgalloc_") * PAGE_BYTES,
        compactions=_number(counters.get("compact_stall")),
        direct_reclaims=_sum(counters, "allocstall_"),
        refaults=_sum(counters, "workingset_refault_"),
        psi_some_seconds=NAN if pressure is None else pressure.some.total_seconds,
        psi_full_seconds=NAN if pressure is None else pressure.full.total_seconds,
        oom_kills=_number(counters.get("oom_kill")),
        swap_used_bytes=memory.swap_total_bytes - memory.swap_free_bytes,
        swap_total_bytes=memory.swap_total_bytes,
        fragmentation_ratio=fragmentation_ratio(files.zones),
    )


def _numa_node(fs: KernelFs, numa_node: int, files: NodeFiles, now_seconds: float) -> PressureReading | None:
    memory = node_memory(fs, numa_node)
    if memory is None:
        return None
    counters, pressure = files.counters, files.pressure
    stat = parsed(fs.read(f"{NODES}/node{numa_node}/numastat"), parse_flat_keyed) or {}
    own = tuple(each for each in files.zones if each.numa_node == numa_node)
    easy = memory.get("Inactive(file)", 0) + memory.get("SReclaimable", 0) // 2
    allocated = NAN if "local_node" not in stat else float(stat["local_node"] + stat.get("other_node", 0))
    return PressureReading(
        seconds=now_seconds,
        total_bytes=memory["MemTotal"],
        free_bytes=memory["MemFree"],
        available_bytes=memory["MemFree"] + easy,
        allocated_bytes=allocated * PAGE_BYTES,
        compactions=_number(counters.get("compact_stall")),
        psi_some_seconds=NAN if pressure is None else pressure.some.total_seconds,
        psi_full_seconds=NAN if pressure is None else pressure.full.total_seconds,
        oom_kills=_number(counters.get("oom_kill")),
        fragmentation_ratio=fragmentation_ratio(own),
    )


def _allocated(sample: ContainerSample) -> float:
    stolen = None if sample.stat is None else sample.stat.stolen_pages
    return NAN if stolen is None else float(sample.usage_bytes + stolen * PAGE_BYTES)


def _sum(counters: Mapping[str, int], prefix: str) -> float:
    """Counters that begin so, together; NaN where the kernel has none of them."""
    found = [value for key, value in counters.items() if key.startswith(prefix)]
    return float(sum(found)) if found else NAN


def _number(value: int | None) -> float:
    return NAN if value is None else float(value)
