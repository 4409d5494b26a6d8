"""What swapped memory costs the node: swap that is kept in memory (zram) takes some of it for itself.

In: the kernel's files, once a tick. Out: the memory that is taken, and whether swapping more out pays. Once
it does not, it must be a little better again before it does: what is stored is not what would be stored next.
"""

from dataclasses import dataclass

from plimsoll_nodeagent.control.node_limits import LEAST_COMPRESSION_RATIO, LEAST_STORED_BYTES
from plimsoll_nodeagent.kernelfs import KernelFs
from plimsoll_nodeagent.sample.swap import swap_devices

RESUMED_COMPRESSION_RATIO = 1.4


@dataclass
class SwapStore:
    """All swap devices together, as they were at the newest `look`."""

    fs: KernelFs
    taken_bytes: int = 0
    """Memory of the node that zram takes."""
    pays: bool = True

    def look(self) -> None:
        """Read how much is stored, and in how much memory; a device that is not zram takes none."""
        devices = swap_devices(self.fs)
        stored = sum(each.used_bytes if each.stored_bytes is None else each.stored_bytes for each in devices)
        self.taken_bytes = sum(each.compressed_bytes or 0 for each in devices)
        least = LEAST_COMPRESSION_RATIO if self.pays else RESUMED_COMPRESSION_RATIO
        self.pays = stored < LEAST_STORED_BYTES or stored >= least * self.taken_bytes
