"""Samples: what the kernel says now about a container, and about the node.

In: the kernel's files and what this kernel offers. Out: frozen samples whose fields are None where the kernel
has no such file or gave nothing that can be believed; a container that went away in the middle gives no
sample at all, for half a dying cgroup is worth nothing. Failures are counted by why.
"""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeVar

from plimsoll_nodeagent.discover.tracker import Container
from plimsoll_nodeagent.kernelfs import Absence, KernelDirectory, KernelFs
from plimsoll_nodeagent.sample.features import Features
from plimsoll_nodeagent.sample.formats import (
    FormatError,
    MemoryInfo,
    MemoryStat,
    Pressure,
    parse_bytes,
    parse_flat_keyed,
    parse_limit,
    parse_meminfo,
    parse_memory_stat,
    parse_pressure,
)

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class ContainerSample:
    """One container at one time. `max` in memory.max and memory.high is infinity here."""

    container: Container
    usage_bytes: int
    peak_bytes: int | None
    memory_max_bytes: float | None
    memory_high_bytes: float | None
    swap_bytes: int | None
    events: Mapping[str, int] | None
    stat: MemoryStat | None
    pressure: Pressure | None

    @property
    def working_set_bytes(self) -> int | None:
        """Usage without inactive file pages, as the kubelet reports it."""
        if self.stat is None or self.stat.inactive_file_bytes is None:
            return None
        return max(0, self.usage_bytes - self.stat.inactive_file_bytes)

    @property
    def swapped_out_bytes(self) -> int | None:
        """What is in swap alone: without what was read back and is kept there too (`swapcached`)."""
        if self.swap_bytes is None:
            return None
        kept = None if self.stat is None else self.stat.swap_cached_bytes
        return max(0, self.swap_bytes - (kept or 0))

    @property
    def cache_bytes(self) -> int | None:
        """Page cache: pages of files, without tmpfs and shared memory."""
        stat = self.stat
        if stat is None or stat.file_bytes is None or stat.shmem_bytes is None:
            return None
        return max(0, stat.file_bytes - stat.shmem_bytes)

    @property
    def mapped_cache_bytes(self) -> int:
        """Page cache that surely is mapped; 0 where nobody tells."""
        stat = self.stat
        if stat is None or stat.file_mapped_bytes is None or stat.shmem_bytes is None:
            return 0
        return max(0, stat.file_mapped_bytes - stat.shmem_bytes)

    @property
    def unmapped_cache_bytes(self) -> int:
        """Page cache that surely is not mapped; 0 where nobody tells."""
        stat = self.stat
        if stat is None or stat.file_bytes is None:
            return 0
        if stat.file_mapped_bytes is None or stat.shmem_bytes is None:
            return 0
        return max(0, stat.file_bytes - stat.file_mapped_bytes - stat.shmem_bytes)


@dataclass(frozen=True, slots=True)
class KubeNodeSample:
    """The node at one time."""

    memory: MemoryInfo | None
    pressure: Pressure | None


class Sampler:
    """Reads samples, and only what `features` says is there."""

    def __init__(self, fs: KernelFs, features: Features) -> None:
        self._fs = fs
        self._features = features
        self.failures: Counter[Absence] = Counter()

    def container(self, container: Container) -> ContainerSample | None:
        """Sample one container; None where it is gone, another has its path, or its usage cannot be read."""
        directory = self._fs.open(container.path)
        if isinstance(directory, Absence):
            self.failures[directory] += 1
            return None
        with directory:
            if directory.inode != container.cgroup_inode:
                self.failures[Absence.GONE] += 1
                return None
            return self._sample(container, directory)

    def kube_node(self) -> KubeNodeSample:
        """Sample the node."""
        return KubeNodeSample(
            memory=self._take("/proc/meminfo", self._fs.read, parse_meminfo),
            pressure=self._take("/proc/pressure/memory", self._fs.read, parse_pressure),
        )

    def _sample(self, container: Container, cgroup: KernelDirectory) -> ContainerSample | None:
        gone_before = self.failures[Absence.GONE]
        usage_bytes = self._take("memory.current", cgroup.read, parse_bytes)
        if usage_bytes is None:
            return None
        sample = ContainerSample(
            container=container,
            usage_bytes=usage_bytes,
            peak_bytes=self._take("memory.peak", cgroup.read, parse_bytes),
            memory_max_bytes=self._take("memory.max", cgroup.read, parse_limit),
            memory_high_bytes=self._take("memory.high", cgroup.read, parse_limit),
            swap_bytes=self._take("memory.swap.current", cgroup.read, parse_bytes),
            events=self._take("memory.events", cgroup.read, parse_flat_keyed),
            stat=self._take("memory.stat", cgroup.read, parse_memory_stat),
            pressure=self._take("memory.pressure", cgroup.read, parse_pressure),
        )
        # One file may be hidden (cgroup.pressure=0 hides PSI): a cgroup without memory.current is gone.
        if self.failures[Absence.GONE] > gone_before and cgroup.read("memory.current") is Absence.GONE:
            return None
        return sample

    def _take(self, name: str, read: Callable[[str], str | Absence], parse: Callable[[str], T]) -> T | None:
        if not self._features.has(name):
            return None
        text = read(name)
        if isinstance(text, Absence):
            self.failures[text] += 1
            return None
        try:
            return parse(text)
        except FormatError:
            self.failures[Absence.GARBLED] += 1
            return None
