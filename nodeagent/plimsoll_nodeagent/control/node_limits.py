"""Limits of the node that are reported and not fought: what can be swapped out, and how much that saves.

In: the door, snapshots. Out: sentences for `NodeMemory.status.limits` and `plimsoll-agent status`.
LimitedSwap is a bound of each container (memory.swap.max), which the kubelet sets when it makes it; so it is
read once for each container, and again now and then, a few in a tick.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from plimsoll_nodeagent.act.container import opened
from plimsoll_nodeagent.discover.tracker import Container, ContainerId
from plimsoll_nodeagent.kernelfs import Answer, KernelFs
from plimsoll_nodeagent.loop import Snapshot
from plimsoll_nodeagent.sample.formats import MemoryInfo
from plimsoll_nodeagent.sample.swap import SwapDevice, swap_devices, swap_full, swap_max_bytes
from plimsoll_nodeagent.show.scale import bytes_text

GOOD_SECONDS = 300.0  # the kubelet changes the bound with a container's resize only
MOST_READ = 64  # bounds read in one tick
LEAST_COMPRESSION_RATIO = 1.3  # below it swapping to memory hardly saves any
LEAST_STORED_BYTES = 16 << 20  # before that a ratio says little


@dataclass
class NodeLimits:
    """Keeps each container's bound; `sentences` are of the newest `step`."""

    fs: KernelFs
    most_read: int = MOST_READ
    sentences: tuple[str, ...] = ()
    _known: dict[ContainerId, tuple[float, float]] = field(default_factory=dict)
    """When it was read, and bytes that may be swapped at most."""

    def step(self, snapshot: Snapshot) -> None:
        """Read bounds that are not known or old, and say what limits there are."""
        memory, containers = snapshot.kube_node.memory, [each.container for each in snapshot.samples]
        if memory is None or not memory.swap_total_bytes:  # what no swap means was said at start
            self.sentences, self._known = (), {}
            return
        self._read(containers, snapshot.taken_seconds)
        bounds = [self._known[each.key][1] for each in containers if each.key in self._known]
        said = (limited_swap(bounds), *swap_that_saves_little(memory, swap_devices(self.fs)))
        self.sentences = tuple(each for each in said if each)

    def _read(self, containers: Sequence[Container], now_seconds: float) -> None:
        there = {each.key: each for each in containers}
        self._known = {key: each for key, each in self._known.items() if key in there}
        old = [key for key in there if not self._is_good(key, now_seconds)]
        # Those that were never read come first, then those read longest ago.
        old.sort(key=lambda key: self._known.get(key, (-math.inf, 0.0))[0])
        for key in old[: self.most_read]:
            with opened(self.fs, there[key]) as cgroup:
                most = None if isinstance(cgroup, Answer) else swap_max_bytes(cgroup)
            if most is None:
                self._known.pop(key, None)
            else:
                self._known[key] = (now_seconds, most)

    def _is_good(self, key: ContainerId, now_seconds: float) -> bool:
        return key in self._known and 0.0 <= now_seconds - self._known[key][0] < GOOD_SECONDS


def limits_now(fs: KernelFs, snapshot: Snapshot) -> tuple[str, ...]:
    """The same for one look, with every container's bound read."""
    limits = NodeLimits(fs, most_read=len(snapshot.samples))
    limits.step(snapshot)
    return limits.sentences


def limited_swap(most_bytes: Sequence[float]) -> str:
    """What the bounds of all containers say together (LimitedSwap, NoSwap); "" where none has one."""
    none = sum(each == 0.0 for each in most_bytes)
    bounded = [each for each in most_bytes if 0.0 < each < math.inf]
    if not none and not bounded:
        return ""
    parts = []
    if none:
        parts.append(f"{none} of {len(most_bytes)} containers may not swap")
    if bounded:
        parts.append(
            f"{len(bounded)} of {len(most_bytes)} may swap {bytes_text(sum(bounded))} together at most"
        )
    return f"LimitedSwap: {', '.join(parts)} (memory.swap.max): the rest of their anonymous memory stays"


def swap_that_saves_little(memory: MemoryInfo, devices: Sequence[SwapDevice]) -> list[str]:
    """Swap without room, and zram that gives back hardly more than it takes."""
    said = []
    if swap_full(memory):
        left = f"{bytes_text(memory.swap_free_bytes)} of {bytes_text(memory.swap_total_bytes)} left"
        said.append(f"swap is full ({left}): only file pages can be reclaimed")
    for each in devices:
        ratio = each.compression_ratio
        if ratio is None or ratio >= LEAST_COMPRESSION_RATIO:
            continue
        if (each.stored_bytes or 0) >= LEAST_STORED_BYTES:
            said.append(f"{each.name} stores {ratio:.2f} bytes for each that it takes: swapping saves little")
    return said
