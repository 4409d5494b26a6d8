"""What takes a kube node's memory and is in no sum: pods beyond their requests, a system beyond its share.

In: `NodeMemory` as agents wrote it, sums and uses of a loop. Out: bytes a node, as constant as nothing says
otherwise. Where agents write at all, a node of which none has written lately is not known.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from plimsoll.placement.lanes import FloatArray
from plimsoll_operator.engine.messages import NodeUse
from plimsoll_operator.place.kube_nodes import BoolArray, KubeNodes
from plimsoll_operator.place.sums import Sums
from plimsoll_operator.records import NodeMemoryRecord

# Agents write once a minute (`node_memory.WRITE_SECONDS`); two may be lost.
OLDEST_SECONDS = 180.0
# What of a node's reserve is no room for the system (the kubelet's default of evictionHard memory.available).
EVICTION_BYTES = 100 * 2**20


@dataclass(frozen=True, slots=True)
class Others:
    """Memory of a node that its containers of ours and requests do not speak for."""

    bytes_: FloatArray  # [N], NaN: not known
    measured: bool  # whether any agent writes; else nobody knows, and it counts as none

    @property
    def unknown(self) -> BoolArray:
        """[N] of which agents should have told, and have not."""
        return np.isnan(self.bytes_)


def others_on(
    nodes: KubeNodes,
    sums: Sums,
    use: NodeUse,
    node_memories: Mapping[str, NodeMemoryRecord],
    now_seconds: float,
) -> Others:
    """Over kube nodes; zero on all where no agent has ever written."""
    if not node_memories:
        return Others(np.zeros(len(nodes)), measured=False)
    taken = np.array([_taken(node_memories.get(each.name), now_seconds) for each in nodes.records])
    ours = nodes.column(use.kube_nodes, use.used_bytes)  # NaN: an agent is waited for
    reserved = np.array([_reserved(each.capacity_bytes, each.allocatable_bytes) for each in nodes.records])
    rest = taken - ours - sums.claimed_bytes - reserved
    return Others(np.maximum(rest, 0.0), measured=True)


def _taken(record: NodeMemoryRecord | None, now_seconds: float) -> float:
    """Memory in use on a node; NaN where nobody has told lately, or from a clock that is not ours."""
    if record is None or record.usage_bytes is None or record.updated_seconds is None:
        return float("nan")
    fresh = abs(now_seconds - record.updated_seconds) <= OLDEST_SECONDS
    return float(record.usage_bytes) if fresh else float("nan")


def _reserved(capacity_bytes: int | None, allocatable_bytes: int | None) -> float:
    """What the system may take without any of it being the pods': allocatable is without it already."""
    if capacity_bytes is None or allocatable_bytes is None:
        return 0.0
    return max(0.0, float(capacity_bytes - allocatable_bytes - EVICTION_BYTES))
