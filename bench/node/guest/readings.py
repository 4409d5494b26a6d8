"""Readings of the machine and of its NUMA nodes: the node agent's own, under the guest's names.

In: the kernel's files below a root. Out: `PressureReading`s by scope (`machine`, `node0`, `node1`, ...), read
and added up by `sample.pressure_readings`, so that predictors are given here what the agent gives them.
"""

from pathlib import Path

from plimsoll.pressure.sample import PressureReading
from plimsoll_nodeagent.discover.tracker import ContainerId
from plimsoll_nodeagent.kernelfs import KernelFs
from plimsoll_nodeagent.sample.pressure_readings import (
    fragmentation_ratio,
    node_readings,
    numa_node_of,
    read_node,
)
from plimsoll_nodeagent.sample.triggers import KUBE_NODE

MACHINE = "machine"


def readings(now_seconds: float, root: Path = Path("/")) -> dict[str, PressureReading]:
    """Read every scope once."""
    return {_name(key): reading for key, reading in node_readings(KernelFs(root), now_seconds).items()}


def unusable_ratio(numa_node: int, root: Path = Path("/")) -> float:
    """Share of a NUMA node's free memory in blocks too small for a huge page; NaN with none free."""
    zones = read_node(KernelFs(root)).zones
    return fragmentation_ratio(tuple(each for each in zones if each.numa_node == numa_node))


def _name(key: ContainerId) -> str:
    return MACHINE if key == KUBE_NODE else f"node{numa_node_of(key)}"
