"""What one kdamond is to watch, and the files that say so, in the order the kernel wants them.

In: pids, whose virtual addresses are watched, and intervals. Out: pairs of a file's name below the kdamond
and its value. A scheme that only counts and shows regions stands for each target. Where there are several, it
is filtered to its own (Linux 6.6), for the regions that a scheme shows do not say of which target they are:
scheme `i` is of target `i`.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

NO_MAXIMUM = (1 << 64) - 1
NO_MAXIMUM_32 = (1 << 32) - 1
LEAST_REGION_BYTES = 4096
Setting = tuple[str, int | str]


@dataclass(frozen=True, slots=True)
class Intervals:
    """How often DAMON samples, adds up, and looks for new mappings; region counts bound its cost."""

    sample_us: int = 5_000
    aggregate_us: int = 100_000
    update_us: int = 1_000_000
    least_regions: int = 10
    most_regions: int = 1000


@dataclass(frozen=True, slots=True)
class Watching:
    """What one slot is to watch. Each pid is a target of its own."""

    pids: tuple[int, ...]
    intervals: Intervals = field(default_factory=Intervals)


def settings(watching: Watching) -> Iterator[Setting]:
    """Every file of the kdamond, from the number of contexts to the last filter."""
    yield "contexts/nr_contexts", 1
    yield "contexts/0/operations", "vaddr"
    yield from _intervals(watching)
    yield "contexts/0/targets/nr_targets", len(watching.pids)
    for index, pid in enumerate(watching.pids):
        yield f"contexts/0/targets/{index}/pid_target", pid
    yield "contexts/0/schemes/nr_schemes", len(watching.pids)
    several = len(watching.pids) > 1
    for number in range(len(watching.pids)):
        for name, value in _counting(number if several else None):
            yield f"contexts/0/schemes/{number}/{name}", value


def _intervals(watching: Watching) -> Iterator[Setting]:
    intervals, base = watching.intervals, "contexts/0/monitoring_attrs"
    yield f"{base}/intervals/sample_us", intervals.sample_us
    yield f"{base}/intervals/aggr_us", intervals.aggregate_us
    yield f"{base}/intervals/update_us", intervals.update_us
    yield f"{base}/nr_regions/min", intervals.least_regions
    yield f"{base}/nr_regions/max", intervals.most_regions


def _counting(target: int | None) -> Iterator[Setting]:
    """A scheme that does nothing to any region but show it."""
    yield "action", "stat"
    yield "access_pattern/sz/min", LEAST_REGION_BYTES
    yield "access_pattern/sz/max", NO_MAXIMUM
    yield "access_pattern/nr_accesses/min", 0
    yield "access_pattern/nr_accesses/max", NO_MAXIMUM_32
    yield "access_pattern/age/min", 0
    yield "access_pattern/age/max", NO_MAXIMUM_32
    if target is not None:
        yield "filters/nr_filters", 1
        yield "filters/0/type", "target"
        yield "filters/0/damon_target_idx", target
        yield "filters/0/matching", "N"
