"""One container under a policy: what is known of it, and how its files become a reading for the law.

In: samples. Out: `Controlled`, the state that the reclaimer keeps for each container, and `ContainerReading`s
for the core. What could not be read stays None.
"""

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from plimsoll.pages.address_plan import AddressPlan
from plimsoll.pages.cold import Cold
from plimsoll.pages.control_episodes import Episodes
from plimsoll.pages.control_law import ReclaimLaw
from plimsoll.pages.control_share import Claim
from plimsoll.pages.control_types import ContainerReading, ReclaimDecision
from plimsoll.pages.refault_set import RefaultSet
from plimsoll.pages.reuse_predictor import ReusePredictor
from plimsoll.pages.survival import SurvivalModel
from plimsoll.pages.touched_once import LeakHint, TouchedOnce
from plimsoll.pages.working_set import Need
from plimsoll.pages.written_blocks import WrittenBlocks
from plimsoll_nodeagent.control.idle_ages import Looked
from plimsoll_nodeagent.discover.tracker import Container
from plimsoll_nodeagent.kernelfs.process import PAGE_BYTES
from plimsoll_nodeagent.sample.reading import ContainerSample

WRITTEN_SECONDS = 300.0  # what was written within it is in use; a look at writes speaks of the time before it

_BATCH = re.compile(r"[^/]+/(?:Job|CronJob)/")  # of `namespace/kind/name/container`


@dataclass(frozen=True, slots=True)
class Aged:
    """What an idle-age histogram says of a container, by a page policy and a refault budget."""

    looked: Looked
    policy: str
    budget_ratio: float
    minute_bytes: float
    """Touched within a minute."""
    cold: Cold | None


@dataclass(frozen=True, slots=True)
class SwapRoom:
    """What of one container may still be swapped out."""

    bytes_: int | None = None
    """None: unknown, and then it is taken for none."""
    shut: bool = False
    """The kernel itself swaps nothing out of it: the node has no swap, or memory.swap.max leaves none."""


@dataclass(slots=True)
class Controlled:
    """One container under a policy."""

    container: Container
    law: ReclaimLaw
    workload_class: str = ""
    shared_class: str = ""
    own_past: bool = False
    """Began with what its workload had learned on this node; the fleet's word would be less than that."""
    survival: SurvivalModel = field(default_factory=SurvivalModel)
    leak: TouchedOnce = field(default_factory=TouchedOnce)
    arm: int = 0
    episodes: Episodes = field(default_factory=Episodes)
    taken_bytes: int = 0
    asked_bytes: int = 0
    paged_out_bytes: int = 0
    """Of what was taken, what went by process_madvise."""
    stolen_bytes: int | None = None
    """What was ever reclaimed from it in the kernel's order, by the newest sample; None: nobody counts it."""
    swapped_out_bytes: int = 0
    """In swap and not in memory, by the newest sample."""
    unmapped_cache_bytes: int = 0
    """Page cache that no look by address sees."""
    probed_bytes: int = 0
    """Of the memory whose age nobody knows, what is held to be cold: found by probing."""
    refaulted_total_bytes: int | None = None
    """What ever came back, by the newest sample; None: nobody counts it."""
    returned_bytes: int = 0
    refault_bytes: int | None = None
    usage_bytes: int = 0
    memory_max_bytes: float = math.inf
    memory_high_bytes: float = math.inf
    file_bytes: int = 0
    read_seconds: float = math.nan
    looked: Looked | None = None
    """The newest look that may still be believed."""
    compared: Looked | None = None
    """The look that the next one is held against; by address it may be minutes old, where many wait."""
    addresses: AddressPlan | None = None
    """Its memory by address, where DAMON watches it."""
    refault_set: RefaultSet = field(default_factory=RefaultSet)
    """What is cold by probing, where nothing tells its ages."""
    written: WrittenBlocks | None = None
    """What it writes to, where soft-dirty bits are looked at."""
    aged: Aged | None = None
    """What the newest histogram says, kept as long as nothing changes that it depends on."""
    taken_since_look_bytes: int = 0
    """Taken since that histogram was: what is gone is in it still, and no more cold memory."""
    swap_max: tuple[float, float] | None = None
    """When memory.swap.max was last read, and what it said."""
    swap: SwapRoom = SwapRoom()
    file_refaults: int | None = None
    io_ratio: float | None = None
    """The share of ten seconds that it stalled on io while pages of files came back; None: none did."""
    need: Need | None = None
    cold_age_seconds: float = math.nan
    decision: ReclaimDecision | None = None
    hint: LeakHint | None = None
    fault: str = ""
    """What went wrong with it since the tick began: it is left alone until a tick goes well."""
    stopped: bool = False
    """It stalled in the middle of an action: nothing more is taken before PSI is looked at again."""

    @property
    def file_only(self) -> bool:
        """Whether no anonymous page of it may go."""
        return not self.swap.bytes_

    @property
    def is_batch(self) -> bool:
        """Whether it is a job's, by its workload: nobody waits for its answers."""
        return _BATCH.match(self.workload_class) is not None

    def claim(self, wanted_bytes: int, file_bytes: int) -> Claim:
        """What it says in a division over the node."""
        law = self.law
        return Claim(wanted_bytes, law.policy.importance, file_bytes, self.is_batch, law.budget.return_ratio)

    @property
    def aged_cold_bytes(self) -> int | None:
        """What is cold by the idle-age histogram alone, and was not taken since."""
        if self.aged is None or self.aged.cold is None:
            return None
        return max(0, self.aged.cold.cold_bytes - self.taken_since_look_bytes)

    @property
    def cold_besides_bytes(self) -> int:
        """What may go in the kernel's own order: cold by idle ages, and by probing where there are none."""
        return (self.aged_cold_bytes or 0) + self.probed_bytes


def reading_of(
    each: Controlled,
    sample: ContainerSample,
    now_seconds: float,
    swap_room_bytes: int | None,
    cold_bytes: int | None,
    foreseen_ratio: float | None,
) -> ContainerReading:
    """What the law is told of one container."""
    stat, pressure = sample.stat, sample.pressure
    avg10 = None if pressure is None else max(pressure.some.avg10_ratio, each.io_ratio or 0.0)
    return ContainerReading(
        now_seconds=now_seconds,
        usage_bytes=sample.usage_bytes,
        stall_seconds_total=None if pressure is None else pressure.some.total_seconds,
        pressure_avg10_ratio=avg10,
        refault_bytes_total=refault_bytes(sample),
        file_bytes=None if stat is None else stat.file_bytes,
        swap_room_bytes=swap_room_bytes,
        working_set_bytes=sample.working_set_bytes,
        cold_bytes=None if cold_bytes is None else min(cold_bytes, sample.usage_bytes),
        touched_bytes=_touched(each, now_seconds),
        pressure_forecast_ratio=foreseen_ratio,
    )


def tables_by_class(controlled: Iterable[Controlled]) -> dict[str, ReusePredictor]:
    """Of each class the reuse tables that have learned most, if they have learned anything."""
    found: dict[str, ReusePredictor] = {}
    for each in list(controlled):
        if each.addresses is None or not each.addresses.predictor.samples:
            continue
        tables, best = each.addresses.predictor, found.get(each.workload_class)
        if best is None or tables.samples > best.samples:
            found[each.workload_class] = tables
    return found


def cold_by_refaults(each: Controlled, sample: ContainerSample, now_seconds: float) -> int | None:
    """What is held to be cold where no histogram tells: by probing, and never what is written to."""
    written = 0 if each.written is None else each.written.written_bytes(now_seconds, WRITTEN_SECONDS)
    budget = each.law.policy.refault_budget_ratio
    return each.refault_set.see(now_seconds, sample.usage_bytes, refault_bytes(sample), budget, written)


def refault_bytes(sample: ContainerSample) -> int | None:
    """What ever came back, anonymous and of files; None where the kernel does not count it."""
    stat = sample.stat
    if stat is None or stat.refault_file_pages is None:
        return None
    return ((stat.refault_anon_pages or 0) + stat.refault_file_pages) * PAGE_BYTES


def _touched(each: Controlled, now_seconds: float) -> int | None:
    """What surely was touched since the last reading: the memory that a minute touches, once a minute."""
    since = now_seconds - each.read_seconds
    if each.aged is None or not 0.0 < since < math.inf:
        return None
    return int(each.aged.minute_bytes * min(1.0, since / 60.0))
