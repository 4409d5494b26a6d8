"""Where anonymous pages can go: swap devices, how well zram and zswap compress, what a container may swap.

In: the kernel's files. Out: frozen samples; None where there is no such thing. A device that compresses badly
gives little back for every page that it takes: the ratio says so. LimitedSwap's bound (memory.swap.max) is a
fact of the node: it is reported, and never fought.
"""

from dataclasses import dataclass

from plimsoll_nodeagent.kernelfs import Absence, KernelDirectory, KernelFs
from plimsoll_nodeagent.sample.formats import (
    MemoryInfo,
    parse_limit,
    parsed,
)

_KIB = 1024


@dataclass(frozen=True, slots=True)
class SwapDevice:
    """One line of /proc/swaps; zram's own figures where it is one."""

    name: str
    size_bytes: int
    used_bytes: int
    stored_bytes: int | None = None
    """zram: what was given to it."""
    compressed_bytes: int | None = None
    """zram: memory that it takes for that, all in all."""

    @property
    def compression_ratio(self) -> float | None:
        """Bytes stored for each byte taken; None where it is not told or nothing is stored."""
        if not self.stored_bytes or not self.compressed_bytes:
            return None
        return self.stored_bytes / self.compressed_bytes


@dataclass(frozen=True, slots=True)
class ContainerSwap:
    """What one container may still swap out."""

    used_bytes: int
    most_bytes: float

    def headroom_bytes(self, swap_free_bytes: int) -> int:
        """Bytes of anonymous memory that could go, by its own bound and by what the node has free."""
        own = self.most_bytes - self.used_bytes
        return int(max(0, min(own, swap_free_bytes)))


def swap_devices(fs: KernelFs) -> tuple[SwapDevice, ...]:
    """Read /proc/swaps, and mm_stat of what is zram; none where there is no swap."""
    text = fs.read("/proc/swaps")
    if isinstance(text, Absence):
        return ()
    rows = (line.split() for line in text.splitlines()[1:])
    return tuple(
        _with_zram(fs, SwapDevice(row[0], int(row[2]) * _KIB, int(row[3]) * _KIB))
        for row in rows
        if len(row) == 5 and row[2].isdecimal() and row[3].isdecimal()
    )


def zswap_enabled(fs: KernelFs) -> bool:
    """Whether pages go through zswap before they go to a device."""
    return fs.read("/sys/module/zswap/parameters/enabled") == "Y\n"


def swap_max_bytes(cgroup: KernelDirectory) -> float | None:
    """Read how much a container may swap out at most; None where the kernel does not tell."""
    return parsed(cgroup.read("memory.swap.max"), parse_limit)


def swap_full(info: MemoryInfo, least_free_ratio: float = 0.05) -> bool:
    """Whether the node's swap has so little left that reclaim of anonymous pages would only scan."""
    return info.swap_free_bytes <= info.swap_total_bytes * least_free_ratio


def _with_zram(fs: KernelFs, device: SwapDevice) -> SwapDevice:
    name = device.name.rpartition("/")[2]
    if not (name.startswith("zram") and name.removeprefix("zram").isdecimal()):
        return device
    text = fs.read(f"/sys/block/{name}/mm_stat")
    words = [] if isinstance(text, Absence) else text.split()
    if len(words) < 3 or not all(word.isdecimal() for word in words[:3]):
        return device
    return SwapDevice(device.name, device.size_bytes, device.used_bytes, int(words[0]), int(words[2]))
