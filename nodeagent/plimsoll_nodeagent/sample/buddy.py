"""Fragmentation: free blocks by order, and how much of them is of no use to an order.

In: the text of /proc/buddyinfo. Out: zones with their free blocks; the unusable share of an order. debugfs
shows the same (`extfrag/unusable_index`), but it follows from buddyinfo, which needs no rights. Source: the
kernel's `mm/vmstat.c` (`unusable_free_index`).
"""

from dataclasses import dataclass

from plimsoll_nodeagent.sample.formats import FormatError

HUGE_PAGE_ORDER = 9  # 2 MiB of 4 KiB pages


@dataclass(frozen=True, slots=True)
class Zone:
    """One zone of a NUMA node: free blocks of 1, 2, 4, ... pages."""

    numa_node: int
    name: str
    free_blocks: tuple[int, ...]

    @property
    def free_pages(self) -> int:
        """All free pages."""
        return sum(count << order for order, count in enumerate(self.free_blocks))


def parse_buddyinfo(text: str) -> tuple[Zone, ...]:
    """Read /proc/buddyinfo. Raises FormatError."""
    return tuple(_zone(line) for line in text.splitlines())


def free_blocks_from_order(zone: Zone, order: int) -> int:
    """Return how many blocks of that order could be given at once, larger ones being split."""
    return sum(count << (found - order) for found, count in enumerate(zone.free_blocks) if found >= order)


def unusable_ratio(zone: Zone, order: int) -> float:
    """Share of free memory in blocks too small for the order: 0 is none; 1 is all of it, or none free."""
    free = zone.free_pages
    return 1.0 - (free_blocks_from_order(zone, order) << order) / free if free else 1.0


def _zone(line: str) -> Zone:
    where, _, rest = line.partition(", zone")
    words = rest.split()
    number = where.removeprefix("Node ").strip()
    if not number.isdecimal() or len(words) < 2 or not all(word.isdecimal() for word in words[1:]):
        raise FormatError(f"not a line of buddyinfo: {line[:60]!r}")
    return Zone(int(number), words[0], tuple(map(int, words[1:])))
