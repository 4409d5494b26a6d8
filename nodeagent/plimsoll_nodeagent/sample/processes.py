"""What /proc says of one process: its mappings and the sums over them.

In: an open process. Out: mappings as arrays of addresses, sums in bytes. A process that ends meanwhile gives
an `Absence`; of a process with very many mappings the largest are kept.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from plimsoll_nodeagent.kernelfs import Absence, KernelProcess

MOST_MAPPINGS = 4096
_KIB = 1024
_SPECIAL = ("[vvar]", "[vvar_vclock]", "[vdso]", "[vsyscall]")


@dataclass(frozen=True, slots=True, eq=False)
class Mappings:
    """Mapped addresses of one process, in order; without the kernel's own ([vdso]) and those of no rights."""

    starts: NDArray[np.uint64]
    ends: NDArray[np.uint64]
    anonymous: NDArray[np.bool_]
    """No file behind it: the heap, stacks, what malloc maps; private pages of files are not among them."""
    cut: bool

    @property
    def bytes_(self) -> int:
        """The mapped bytes together."""
        return int((self.ends - self.starts).sum())


@dataclass(frozen=True, slots=True)
class Rollup:
    """Sums of /proc/PID/smaps_rollup."""

    resident_bytes: int
    referenced_bytes: int
    huge_bytes: int
    """Mapped by whole huge pages, anonymous and of files."""


def read_mappings(process: KernelProcess) -> Mappings | Absence:
    """Read /proc/PID/maps."""
    text = process.read("maps")
    if isinstance(text, Absence):
        return text
    try:
        rows = [row for line in text.splitlines() if (row := _mapping(line)) is not None]
    except (ValueError, IndexError):
        return Absence.GARBLED
    cut = len(rows) > MOST_MAPPINGS
    if cut:
        rows = sorted(sorted(rows, key=lambda row: row[0] - row[1])[:MOST_MAPPINGS])
    addresses = np.array([row[:2] for row in rows], dtype=np.uint64).reshape(-1, 2)
    anonymous = np.array([row[2] for row in rows], dtype=np.bool_)
    return Mappings(addresses[:, 0], addresses[:, 1], anonymous, cut)


def read_rollup(process: KernelProcess) -> Rollup | Absence:
    """Read /proc/PID/smaps_rollup (Linux 4.14); it walks all pages, so not more often than needed."""
    text = process.read("smaps_rollup")
    if isinstance(text, Absence):
        return text
    found: dict[str, int] = {}
    for line in text.splitlines():
        key, _, rest = line.partition(":")
        number, _, unit = rest.strip().partition(" ")
        if unit == "kB" and number.isdecimal():
            found[key] = int(number) * _KIB
    if "Rss" not in found:
        return Absence.GARBLED if text else Absence.GONE  # a process without memory: it is ending
    huge = sum(found.get(key, 0) for key in ("AnonHugePages", "ShmemPmdMapped", "FilePmdMapped"))
    return Rollup(
        resident_bytes=found["Rss"],
        referenced_bytes=found.get("Referenced", 0),
        huge_bytes=huge,
    )


def _mapping(line: str) -> tuple[int, int, bool] | None:
    fields = line.split(None, 5)
    start, _, end = fields[0].partition("-")
    name = fields[5] if len(fields) > 5 else ""
    if name in _SPECIAL or fields[1].startswith("---"):
        return None
    return int(start, 16), int(end, 16), fields[4] == "0"
