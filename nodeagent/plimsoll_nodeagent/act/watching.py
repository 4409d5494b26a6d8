"""What one kdamond is to watch and do, and the files that say so, in the order the kernel wants them.

In: addresses (pids' virtual ones, or the node's physical memory), intervals, schemes with quotas and
watermarks. Out: pairs of a file's name below the kdamond and its value. Where there are several targets,
every scheme is written once for each of them and filtered to it (Linux 6.6), for the regions that a scheme
shows do not say of which target they are: scheme `i` is of target `i % targets`.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum

NO_MAXIMUM = (1 << 64) - 1
NO_MAXIMUM_32 = (1 << 32) - 1
Setting = tuple[str, int | str]


class Space(StrEnum):
    """Which addresses a monitor watches."""

    VIRTUAL = "vaddr"
    PHYSICAL = "paddr"


class SchemeAction(StrEnum):
    """What a scheme does with the regions that match; STAT only counts and shows them."""

    STAT = "stat"
    COLD = "cold"
    PAGEOUT = "pageout"
    WILLNEED = "willneed"
    LRU_PRIO = "lru_prio"
    LRU_DEPRIO = "lru_deprio"


@dataclass(frozen=True, slots=True)
class Intervals:
    """How often DAMON samples, adds up, and looks for new mappings; region counts bound its cost."""

    sample_us: int = 5_000
    aggregate_us: int = 100_000
    update_us: int = 1_000_000
    least_regions: int = 10
    most_regions: int = 1000


@dataclass(frozen=True, slots=True)
class Quota:
    """The most a scheme may do in `reset_ms`: time, bytes."""

    ms: int
    bytes_: int
    reset_ms: int = 1000


@dataclass(frozen=True, slots=True)
class Watermarks:
    """Free memory of the node in thousandths: schemes work below `mid`, rest above `high` or below `low`."""

    high: int = 500
    mid: int = 400
    low: int = 50
    interval_us: int = 5_000_000


@dataclass(frozen=True, slots=True)
class Scheme:
    """Do `action` to regions with at most `most_accesses` for at least `least_age` aggregations."""

    action: SchemeAction = SchemeAction.STAT
    least_bytes: int = 4096
    least_accesses: int = 0
    most_accesses: int = NO_MAXIMUM_32
    least_age: int = 0
    quota: Quota | None = None
    watermarks: Watermarks | None = None

    def __post_init__(self) -> None:
        if self.action is not SchemeAction.STAT and self.quota is None:
            raise ValueError(f"a scheme that does {self.action} needs a quota")


@dataclass(frozen=True, slots=True)
class Watching:
    """What one slot is to watch. Each pid is a target of its own; a physical monitor has none."""

    space: Space
    pids: tuple[int, ...] = ()
    intervals: Intervals = field(default_factory=Intervals)
    schemes: tuple[Scheme, ...] = (Scheme(),)

    @property
    def acts(self) -> bool:
        """Whether any scheme does more than count."""
        return any(each.action is not SchemeAction.STAT for each in self.schemes)


def settings(watching: Watching) -> Iterator[Setting]:
    """Every file of the kdamond, from the number of contexts to the last filter."""
    yield "contexts/nr_contexts", 1
    yield "contexts/0/operations", watching.space.value
    yield from _intervals(watching)
    yield "contexts/0/targets/nr_targets", max(1, len(watching.pids))
    for index, pid in enumerate(watching.pids):
        yield f"contexts/0/targets/{index}/pid_target", pid
    several = len(watching.pids) > 1
    schemes = [
        (scheme, index if several else None)
        for scheme in watching.schemes
        for index in range(max(1, len(watching.pids)))
    ]
    yield "contexts/0/schemes/nr_schemes", len(schemes)
    for number, (scheme, target) in enumerate(schemes):
        for name, value in _scheme(scheme, target):
            yield f"contexts/0/schemes/{number}/{name}", value


def _intervals(watching: Watching) -> Iterator[Setting]:
    intervals, base = watching.intervals, "contexts/0/monitoring_attrs"
    yield f"{base}/intervals/sample_us", intervals.sample_us
    yield f"{base}/intervals/aggr_us", intervals.aggregate_us
    yield f"{base}/intervals/update_us", intervals.update_us
    yield f"{base}/nr_regions/min", intervals.least_regions
    yield f"{base}/nr_regions/max", intervals.most_regions


def _scheme(scheme: Scheme, target: int | None) -> Iterator[Setting]:
    yield "action", scheme.action.value
    yield "access_pattern/sz/min", scheme.least_bytes
    yield "access_pattern/sz/max", NO_MAXIMUM
    yield "access_pattern/nr_accesses/min", scheme.least_accesses
    yield "access_pattern/nr_accesses/max", scheme.most_accesses
    yield "access_pattern/age/min", scheme.least_age
    yield "access_pattern/age/max", NO_MAXIMUM_32
    if scheme.quota is not None:
        yield "quotas/ms", scheme.quota.ms
        yield "quotas/bytes", scheme.quota.bytes_
        yield "quotas/reset_interval_ms", scheme.quota.reset_ms
    if scheme.watermarks is not None:
        yield "watermarks/metric", "free_mem_rate"
        yield "watermarks/interval_us", scheme.watermarks.interval_us
        yield "watermarks/high", scheme.watermarks.high
        yield "watermarks/mid", scheme.watermarks.mid
        yield "watermarks/low", scheme.watermarks.low
    if target is not None:
        yield "filters/nr_filters", 1
        yield "filters/0/type", "target"
        yield "filters/0/damon_target_idx", target
        yield "filters/0/matching", "N"
