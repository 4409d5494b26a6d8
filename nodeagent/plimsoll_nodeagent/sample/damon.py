"""Regions of memory and how often they were accessed, as DAMON shows them in `tried_regions`.

In: a slot of ours that is running. Out: regions as arrays, for each target. `update` has the kernel write a
new set; the number of accesses is of the last aggregation interval, out of `most_accesses` samples, and the
age is in aggregation intervals. Linux 6.2 has them.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from plimsoll_nodeagent.act.damon import ADMIN, DamonSlots
from plimsoll_nodeagent.act.watching import Watching
from plimsoll_nodeagent.kernelfs import Absence, Answer, KernelFs

MOST_REGIONS = 4096  # each one costs four reads


@dataclass(frozen=True, slots=True, eq=False)
class Regions:
    """Regions of one target (a process), in order of address."""

    pid: int
    starts: NDArray[np.uint64]
    ends: NDArray[np.uint64]
    accesses: NDArray[np.int64]
    """Samples of the last aggregation in which the region was accessed."""
    idle_seconds: NDArray[np.float64]
    """How long the region has been as it is, where it was not accessed; 0 where it was."""
    most_accesses: int


def read_regions(fs: KernelFs, slots: DamonSlots, slot: int, watching: Watching) -> list[Regions] | Answer:
    """Have the kernel write the regions of a slot, and read them: a `Regions` for each pid."""
    updated = slots.update(slot)
    if updated is not Answer.DONE:
        return updated
    found = []
    for number, pid in enumerate(watching.pids):
        regions = _regions(fs, f"{ADMIN}/{slot}/contexts/0/schemes/{number}/tried_regions", pid, watching)
        if isinstance(regions, Absence):
            return Answer.GONE if regions is Absence.GONE else Answer.FAILED
        found.append(regions)
    return found


def _regions(fs: KernelFs, path: str, pid: int, watching: Watching) -> Regions | Absence:
    entries = fs.directories(path)
    if isinstance(entries, Absence):
        return entries
    rows = [row for each in entries[:MOST_REGIONS] if (row := _row(fs, f"{path}/{each.name}")) is not None]
    table = np.array(sorted(rows), dtype=np.uint64).reshape(-1, 4)
    accesses, ages = table[:, 2].astype(np.int64), table[:, 3].astype(np.float64)
    seconds = ages * watching.intervals.aggregate_us / 1e6
    return Regions(
        pid=pid,
        starts=table[:, 0],
        ends=table[:, 1],
        accesses=accesses,
        idle_seconds=np.where(accesses == 0, seconds, 0.0),
        most_accesses=max(1, watching.intervals.aggregate_us // watching.intervals.sample_us),
    )


def _row(fs: KernelFs, path: str) -> tuple[int, ...] | None:
    """A region that the kernel replaced meanwhile gives none."""
    values = [_number(fs.read(f"{path}/{name}")) for name in ("start", "end", "nr_accesses", "age")]
    return tuple(value or 0 for value in values) if None not in values else None


def _number(text: str | Absence) -> int | None:
    return int(text) if not isinstance(text, Absence) and text.strip().isdecimal() else None
