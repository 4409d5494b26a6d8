"""How much hot memory may be gathered into huge pages now, and whether it paid.

In: the node's free memory and how it is splintered, a container's room and stalls, what a step gained. Out:
bytes that a step may ask for, and after a minute a verdict. A huge page is made by copying: it takes a free
block, and for a moment twice the memory. So it is done only where blocks are plenty and nobody stalls or is
about to, a few at a time. Huge pages cannot be taken back by asking: the way back is to stop. A container is
left alone, twice as long each time, where the kernel gathered less than half of what it was asked for, where
what it gathered was broken up again within a minute, where its usage grew by it, or where it stalls more.
Source: the kernel's `admin-guide/mm/transhuge.rst`; MADV_COLLAPSE heeds no `max_ptes_none`, so that only what
is wholly resident is offered to it (`address_plan.AddressPlan.hot`).
"""

from dataclasses import dataclass, field

from plimsoll.pages.pauses import DoublingPauses

HUGE_PAGE_BYTES = 2 << 20
HOT_LOOKS = 6  # in a row in which it was accessed: about a minute of looks, or more
STEP_SECONDS = 30.0
STEP_BYTES = 16 << 20  # of one container: eight huge pages, some ten milliseconds of copying
NODE_STEP_BYTES = 64 << 20
KEPT_FREE_RATIO = 0.10  # of the node's memory: below it free blocks are for those who will need them
SHARE_OF_BLOCKS = 0.25  # of the free blocks of a huge page's size
MOST_SPLINTERED_RATIO = 0.5  # of free memory in smaller blocks
CALM_PROBABILITY = 0.1  # pressure likelier than this within seconds: nothing is gathered
TRIAL_SECONDS = 60.0
LEAST_GAINED_RATIO = 0.5  # of what was asked for
LEAST_KEPT_RATIO = 0.5  # of what was gained, a minute later
MOST_GROWTH_RATIO = 0.25  # of what was gained: what was resident before is no growth
STALL_NOISE = 0.002  # of the time
FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 600.0, 4 * 3600.0


@dataclass(frozen=True, slots=True)
class CollapseNode:
    """The kube node now."""

    total_bytes: int
    free_bytes: int
    free_huge_blocks: int
    splintered_ratio: float
    """Share of free memory in blocks too small for a huge page; NaN: not known."""
    pressure_probability: float
    """Within the next seconds; NaN: not known."""


@dataclass(frozen=True, slots=True)
class CollapseContainer:
    """One container now; `limit_bytes` is the lower of memory.max and memory.high, infinite for none."""

    usage_bytes: int
    limit_bytes: float
    stalled_ratio: float | None
    most_stalled_ratio: float
    pressure_probability: float
    """NaN: not known."""


@dataclass(frozen=True, slots=True)
class _Trial:
    since_seconds: float
    gained_bytes: int
    huge_bytes_after: int
    stalled_before: float


def node_room_bytes(node: CollapseNode) -> int:
    """What may be gathered on the node in one step; 0 where it is short of memory or of blocks, or unsure."""
    calm = node.pressure_probability < CALM_PROBABILITY  # not where it is NaN
    whole = node.splintered_ratio <= MOST_SPLINTERED_RATIO
    spare = node.free_bytes - KEPT_FREE_RATIO * node.total_bytes
    if not calm or not whole or spare <= 0:
        return 0
    blocks = SHARE_OF_BLOCKS * node.free_huge_blocks * HUGE_PAGE_BYTES
    return _whole_pages(min(NODE_STEP_BYTES, spare, blocks))


def container_room_bytes(container: CollapseContainer) -> int:
    """What may be gathered of one container; 0 where it stalls, is about to, or has no room for a copy."""
    stalled = container.stalled_ratio
    if stalled is None or stalled > container.most_stalled_ratio:
        return 0
    if not container.pressure_probability < CALM_PROBABILITY:
        return 0
    room = 0.5 * (container.limit_bytes - container.usage_bytes)
    return _whole_pages(min(STEP_BYTES, max(0.0, room)))


@dataclass(slots=True)
class CollapseTrials:
    """Steps on trial, by container."""

    stopped_total: int = 0
    _trials: dict[str, _Trial] = field(default_factory=dict)
    _pauses: DoublingPauses = field(
        default_factory=lambda: DoublingPauses(FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS)
    )

    def may(self, name: str, now_seconds: float) -> bool:
        """Whether no step is on trial and no pause lasts."""
        return name not in self._trials and not self._pauses.last(name, now_seconds)

    def on_trial(self, name: str, now_seconds: float) -> bool:
        """Whether a step's time is over, so that it is to be judged."""
        trial = self._trials.get(name)
        return trial is not None and not 0.0 <= now_seconds - trial.since_seconds < TRIAL_SECONDS

    def stepped(
        self,
        name: str,
        asked_bytes: int,
        gained_bytes: int,
        huge_bytes_after: int,
        container: CollapseContainer,
        now_seconds: float,
    ) -> str:
        """A step was made, with `container` as it was before; "" or why no more will be asked for a while."""
        if gained_bytes < LEAST_GAINED_RATIO * asked_bytes:
            return self._stop(name, f"the kernel gathered {gained_bytes} of {asked_bytes} bytes", now_seconds)
        before = container.stalled_ratio or 0.0
        self._trials[name] = _Trial(now_seconds, gained_bytes, huge_bytes_after, before)
        return ""

    def judge(
        self, name: str, huge_bytes: int | None, stalled_ratio: float | None, now_seconds: float
    ) -> str:
        """End a trial: "" where it paid, else why not; what cannot be told did not."""
        trial = self._trials.pop(name)
        if huge_bytes is None or stalled_ratio is None:
            return self._stop(name, "what came of it cannot be told", now_seconds)
        lost = max(0, trial.huge_bytes_after - huge_bytes)
        if lost > (1.0 - LEAST_KEPT_RATIO) * trial.gained_bytes:
            return self._stop(name, f"{lost} bytes were broken up again", now_seconds)
        if stalled_ratio > trial.stalled_before + STALL_NOISE:
            return self._stop(name, f"it stalls for {stalled_ratio:.2%} of the time", now_seconds)
        self._pauses.forgive(name)
        return ""

    def grew(self, name: str, gained_bytes: int, growth_bytes: int, now_seconds: float) -> str:
        """What the step itself added to usage: "" or why no more will be asked for a while."""
        if growth_bytes <= MOST_GROWTH_RATIO * gained_bytes:
            return ""
        self._trials.pop(name, None)
        return self._stop(name, f"its usage grew by {growth_bytes} bytes", now_seconds)

    def forget(self, present: frozenset[str]) -> None:
        """Forget containers that are gone."""
        for name in self._trials.keys() - present:
            del self._trials[name]
        self._pauses.forget(present)

    def _stop(self, name: str, why: str, now_seconds: float) -> str:
        self._pauses.begin(name, now_seconds)
        self.stopped_total += 1
        return why


def _whole_pages(amount_bytes: float) -> int:
    return int(amount_bytes // HUGE_PAGE_BYTES) * HUGE_PAGE_BYTES
