"""What the kernel says about one scope's memory, as pressure predictors take it.

In: two `PressureReading`s of a kube node, a NUMA node or a container: levels, and counters as the kernel
keeps them (they only grow). Out: a `PressureSample` of levels and rates over the time between. Whatever a
kernel does not tell, or tells so that it cannot be believed (a counter that went back, a negative level),
is NaN here and stays NaN: predictors must live with it. A clock that stands, goes back or leaps gives no
sample at all.
"""

import math
from dataclasses import dataclass, fields
from enum import Enum
from operator import attrgetter

NAN = math.nan
MIN_PERIOD_SECONDS = 0.01  # below it rates are noise
MAX_PERIOD_SECONDS = 60.0  # above it a rate says nothing about now: the clock leapt, or sampling stood still


class ScopeKind(Enum):
    """What a forecast is about."""

    KUBE_NODE = "kube node"
    NUMA_NODE = "numa node"
    CONTAINER = "container"


@dataclass(frozen=True, slots=True)
class PressureReading:
    """Levels and counters of one scope at one time; NaN where this kernel or scope has none.

    `free_bytes` can be given at once (MemFree; limit minus usage), `available_bytes` also counts what costs
    little to reclaim (MemAvailable; limit minus working set). `allocated_bytes` counts all that was ever
    allocated (a kube node's pgalloc_*, a NUMA node's numastat, a container's usage plus pgsteal).
    `direct_reclaims` counts tasks that had to reclaim for themselves (allocstall_*; pgscan_direct of a
    container, in pages). PSI totals are in seconds. `fragmentation_ratio` is the share of free memory that is
    in blocks too small for a huge page.
    """

    seconds: float
    total_bytes: float
    free_bytes: float = NAN
    available_bytes: float = NAN
    allocated_bytes: float = NAN
    compactions: float = NAN
    direct_reclaims: float = NAN
    refaults: float = NAN
    psi_some_seconds: float = NAN
    psi_full_seconds: float = NAN
    events_high: float = NAN
    events_max: float = NAN
    oom_kills: float = NAN
    swap_used_bytes: float = NAN
    swap_total_bytes: float = NAN
    fragmentation_ratio: float = NAN


@dataclass(frozen=True, slots=True)
class PressureSample:
    """Levels as shares of the scope's memory, rates per second over `period_seconds`; NaN is unknown.

    Counts (`compactions`, `events_*`, `oom_kills`) are of the period, as whole numbers.
    """

    seconds: float
    period_seconds: float
    total_bytes: float
    free_ratio: float = NAN
    available_ratio: float = NAN
    allocation_bytes_per_second: float = NAN
    compactions: float = NAN
    direct_reclaims_per_second: float = NAN
    refaults_per_second: float = NAN
    psi_some_ratio: float = NAN
    psi_full_ratio: float = NAN
    events_high: float = NAN
    events_max: float = NAN
    oom_kills: float = NAN
    swap_used_ratio: float = NAN
    fragmentation_ratio: float = NAN


SAMPLE_FIELDS = tuple(field.name for field in fields(PressureSample))
_VALUES = attrgetter(*SAMPLE_FIELDS)  # astuple copies deeply: ten times as long


def sample_between(before: PressureReading, after: PressureReading) -> PressureSample | None:
    """Rates between two readings of one scope; None where the time between cannot be used."""
    period = after.seconds - before.seconds
    if not MIN_PERIOD_SECONDS <= period <= MAX_PERIOD_SECONDS:  # NaN is not within it either
        return None
    total = after.total_bytes
    return PressureSample(
        seconds=after.seconds,
        period_seconds=period,
        total_bytes=total,
        free_ratio=_share(after.free_bytes, total),
        available_ratio=_share(after.available_bytes, total),
        allocation_bytes_per_second=_growth(before.allocated_bytes, after.allocated_bytes) / period,
        compactions=_growth(before.compactions, after.compactions),
        direct_reclaims_per_second=_growth(before.direct_reclaims, after.direct_reclaims) / period,
        refaults_per_second=_growth(before.refaults, after.refaults) / period,
        psi_some_ratio=_share(_growth(before.psi_some_seconds, after.psi_some_seconds), period),
        psi_full_ratio=_share(_growth(before.psi_full_seconds, after.psi_full_seconds), period),
        events_high=_growth(before.events_high, after.events_high),
        events_max=_growth(before.events_max, after.events_max),
        oom_kills=_growth(before.oom_kills, after.oom_kills),
        swap_used_ratio=_share(after.swap_used_bytes, after.swap_total_bytes),
        fragmentation_ratio=_share(after.fragmentation_ratio, 1.0),
    )


def values_of(sample: PressureSample) -> tuple[float, ...]:
    """The sample's numbers in the order of `SAMPLE_FIELDS`."""
    values: tuple[float, ...] = _VALUES(sample)
    return values


def _share(part: float, whole: float) -> float:
    """Part of whole within 0..1; unknown where either is, or where there is no whole."""
    if not (math.isfinite(part) and math.isfinite(whole)) or part < 0 or whole <= 0:
        return NAN
    return min(1.0, part / whole)


def _growth(before: float, after: float) -> float:
    """What a counter grew by; one that went back was reset, and what was lost is unknown."""
    grown = after - before
    return grown if grown >= 0 and math.isfinite(grown) else NAN
