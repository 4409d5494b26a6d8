"""Which memory belongs on slower NUMA nodes: how much goes down, how much may come up, and whether it paid.

In: NUMA nodes with their tier, processors and access latency; what was moved, and what of it came back into
use. Out: which nodes are slow, and bytes. Slower memory is still memory: what is demoted costs no refault,
only latency; but it is done only where the fast nodes are short, for fast memory that is free serves nobody,
and page cache that nobody has read twice hardly anybody.
What is used again on a slow node comes up while there is room. A container of which too much comes up again
is left alone, twice as long each time. The kernel's own way (`numa/demotion_enabled`) demotes by reclaim,
under pressure and in the LRU's order. Sources: the kernel's `mm/memory-tiers.c` and
`admin-guide/mm/numaperf.rst`.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from plimsoll.pages.pauses import DoublingPauses

SHORT_RATIO = 0.25  # of the fast nodes' memory available: with less, cold memory goes down
ROOM_RATIO = 0.10  # of a node's memory that is left free by whatever is moved to it
STEP_BYTES = 64 << 20  # of the node, in one step: some tens of milliseconds of copying
STEP_SECONDS = 30.0
MEMORY_SECONDS = 600.0  # what came up again within it was demoted wrongly
MOST_RETURNED_RATIO = 0.1  # of what was demoted
LEAST_JUDGED_BYTES = 16 << 20
FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 600.0, 4 * 3600.0


@dataclass(frozen=True, slots=True)
class TierNode:
    """One NUMA node with memory. `tier`: smaller is faster; None: the kernel knows none. What is available is
    free or page cache that the kernel drops first.
    """

    numa_node: int
    total_bytes: int
    available_bytes: int
    has_cpus: bool
    tier: int | None = None
    read_latency_ns: int | None = None
    """From the processors nearest to it; None: not told."""


@dataclass(frozen=True, slots=True)
class Tiers:
    """NUMA nodes by speed; none are slow on most machines."""

    fast: tuple[TierNode, ...]
    slow: tuple[TierNode, ...]
    """The fastest first."""

    def demotable_bytes(self) -> int:
        """What is to go down in one step: what the fast nodes lack, as far as slower ones have room."""
        total = sum(each.total_bytes for each in self.fast)
        lacking = SHORT_RATIO * total - sum(each.available_bytes for each in self.fast)
        return _within(min(lacking, sum(map(room_bytes, self.slow))))

    def promotable_bytes(self) -> int:
        """What may come up in one step: what the fast nodes have over what is kept free."""
        return _within(sum(map(room_bytes, self.fast)))

    def target(self, *, slow: bool) -> int | None:
        """The node that takes what is moved: of the fastest with room the emptiest; None: there is none."""
        nodes = [each for each in (self.slow if slow else self.fast) if room_bytes(each) > 0]
        return min(nodes, key=lambda each: (_speed(each), -each.available_bytes)).numa_node if nodes else None


def tiers_of(nodes: Sequence[TierNode]) -> Tiers:
    """Tell fast nodes from slow ones: by the kernel's tiers where it knows them of all nodes, else by whether
    they have processors. Where all would be slow, none is."""
    known = [each.tier for each in nodes if each.tier is not None]
    if len(known) == len(nodes) and len(set(known)) > 1:
        fastest = min(known)
        slow = [each for each in nodes if each.tier != fastest]
    else:
        slow = [each for each in nodes if not each.has_cpus]
    if len(slow) == len(nodes):
        slow = []
    fast = tuple(each for each in nodes if each not in slow)
    return Tiers(fast, tuple(sorted(slow, key=_speed)))


def room_bytes(node: TierNode) -> float:
    """What may still be moved to a node."""
    return max(0.0, node.available_bytes - ROOM_RATIO * node.total_bytes)


@dataclass(slots=True)
class _Moved:
    demoted_bytes: float = 0.0
    returned_bytes: float = 0.0
    seen_seconds: float = 0.0


@dataclass(slots=True)
class DemotionTrials:
    """By container: what went down, what of it had to come up again, and who is left alone for that."""

    stopped_total: int = 0
    _moved: dict[str, _Moved] = field(default_factory=dict)
    _pauses: DoublingPauses = field(
        default_factory=lambda: DoublingPauses(FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS)
    )

    def may(self, name: str, now_seconds: float) -> bool:
        """Whether it may be demoted from now."""
        return not self._pauses.last(name, now_seconds)

    def demoted(self, name: str, moved_bytes: int, now_seconds: float) -> None:
        """So much went down."""
        self._faded(name, now_seconds).demoted_bytes += moved_bytes

    def promoted(self, name: str, moved_bytes: int, now_seconds: float) -> str:
        """So much came up again: "" or why nothing more goes down for a while."""
        moved = self._faded(name, now_seconds)
        moved.returned_bytes += moved_bytes
        most = MOST_RETURNED_RATIO * max(moved.demoted_bytes, LEAST_JUDGED_BYTES)
        if moved.returned_bytes <= most or not moved.demoted_bytes or not self.may(name, now_seconds):
            return ""
        self._pauses.begin(name, now_seconds)
        self.stopped_total += 1
        del self._moved[name]
        return f"{moved.returned_bytes / 2**20:.0f} MiB of {moved.demoted_bytes / 2**20:.0f} came up again"

    def forget(self, present: frozenset[str]) -> None:
        """Forget containers that are gone."""
        for name in self._moved.keys() - present:
            del self._moved[name]
        self._pauses.forget(present)

    def _faded(self, name: str, now_seconds: float) -> _Moved:
        """Halved for every `MEMORY_SECONDS`."""
        moved = self._moved.setdefault(name, _Moved(seen_seconds=now_seconds))
        kept = 0.5 ** (max(0.0, now_seconds - moved.seen_seconds) / MEMORY_SECONDS)
        moved.demoted_bytes *= kept
        moved.returned_bytes *= kept
        moved.seen_seconds = now_seconds
        return moved


def _speed(node: TierNode) -> tuple[float, int]:
    """Sorts the fastest first: by what was measured, else by tier."""
    latency = float("inf") if node.read_latency_ns is None else float(node.read_latency_ns)
    return (latency, 0 if node.tier is None else node.tier)


def _within(amount_bytes: float) -> int:
    return int(max(0.0, min(STEP_BYTES, amount_bytes)))
