"""One page trace through every replacement policy at every capacity, for the tables of `bench/pages.py`.

In: the path of a `.pgt`. Out: a `Case` for each capacity with everybody's misses, whom the guard followed and
how the loss fell. The library's policies (libcachesim, GPL-3, installed for this bench alone) read the trace
from a file in its own binary format; where it is not installed its misses are empty.
"""

import tempfile
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from plimsoll.pages.trace import PageTrace
from plimsoll.replay.page_score import PageCase
from plimsoll_cli.traces.page_kernels import page_replays
from plimsoll_cli.traces.pgt import read_pages

FRACTIONS = (0.1, 0.25, 0.5, 0.75)
HEURISTICS = ("lru", "clock", "s3fifo", "arc", "lirs", "belady")
OURS, GAM, OURS_INT8, LIBRARY = "plimsoll", "gam", "plimsoll-int8", "library-in-hindsight"
# Its ClockPro looks broken, Cacheus and LHD take hours; all else that takes objects of one size.
LIBRARY_POLICIES = (
    *("FIFO", "LFU", "ARC", "Clock", "LRUK", "S3FIFO", "Sieve", "LIRS", "TwoQ", "SLRU", "MQ"),
    *("WTinyLFU", "LeCaR", "LFUDA", "Hyperbolic"),
)
LIBRARY_RECORD = np.dtype([("time", "<u4"), ("id", "<u8"), ("size", "<u4"), ("next", "<i8")])


@dataclass(frozen=True, slots=True)
class Case:
    """One trace at one capacity. `loss`, `age_loss`: by tenth; `followed`: share of references by expert."""

    trace: str
    fraction: float
    capacity_pages: int
    misses: dict[str, int]
    library: dict[str, int] = field(default_factory=dict)
    followed: dict[str, float] = field(default_factory=dict)
    changes: int = 0
    loss: tuple[float, ...] = ()
    age_loss: tuple[float, ...] = ()

    def of(self, policy: str) -> PageCase:
        """One policy's outcome."""
        return PageCase(self.misses[policy], self.misses["lru"], self.misses["belady"])


def case_of(path: Path, fraction: float, share: float = 1.0, *, library: bool = True) -> Case:
    """One trace, or its first `share`, at one capacity."""
    whole = read_pages(path)
    trace = whole.head(int(len(whole) * share))
    at_library = library_misses(trace, fraction) if library else {}
    replays: Any = page_replays("bench/pages.py")
    misses = {policy: replays.replay_pages(trace, policy, fraction).misses for policy in HEURISTICS}
    capacity = trace.capacity_pages(fraction)
    guarded = replays.replay_guarded(trace, capacity)
    misses |= {OURS: guarded.misses, GAM: guarded.expert_misses[GAM]}
    misses[OURS_INT8] = replays.replay_guarded(trace, capacity, int8=True).misses
    if at_library:
        misses[LIBRARY] = min(at_library.values())
    return Case(
        path.stem,
        fraction,
        capacity,
        misses,
        at_library,
        guarded.followed,
        guarded.changes,
        tuple(guarded.loss.tolist()),
        tuple(guarded.age_loss.tolist()),
    )


def library_misses(trace: PageTrace, fraction: float) -> dict[str, int]:
    """Misses by policy of libcachesim; empty where it is not installed."""
    try:
        import libcachesim  # noqa: PLC0415
    except ImportError:
        return {}
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "trace.oracleGeneral.bin"
        records = np.zeros(len(trace), LIBRARY_RECORD)
        records["time"], records["id"] = np.arange(len(trace)), trace.page
        records["size"], records["next"] = 1, -1
        records.tofile(path)
        run = partial(_library_run, libcachesim, path, len(trace))
        return {name: run(name, trace.capacity_pages(fraction)) for name in LIBRARY_POLICIES}


def _library_run(library: Any, path: Path, references: int, name: str, capacity: int) -> int:  # noqa: ANN401
    reader = library.TraceReader(str(path), library.TraceType.ORACLE_GENERAL_TRACE)
    cache = getattr(library, name)(cache_size=capacity, hashpower=16)
    miss_ratio, _ = cache.process_trace(reader)
    return round(miss_ratio * references)
