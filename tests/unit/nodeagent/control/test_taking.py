"""In: an amount, a plan by address. Out: parts, none too large to stop in between."""

import numpy as np
import pytest

from builders.twin_node import MIB, TwinNode
from plimsoll.pages.address_plan import Asked, Part
from plimsoll.pages.cold import Cold
from plimsoll.pages.control_law import ReclaimLaw
from plimsoll.pages.control_types import ReclaimPolicy
from plimsoll_nodeagent.act.outcome import ActionKind, Effect, Outcome
from plimsoll_nodeagent.capabilities import ORDER, Engine, Fact, KernelCapabilities, Level, settle
from plimsoll_nodeagent.control.controlled import Aged, Controlled, SwapRoom
from plimsoll_nodeagent.control.taking import Taker, moved_bytes
from plimsoll_nodeagent.kernelfs import Answer, PageKind

PID, PAGES = 500, 16_384  # 64 MiB
FACTS = [Fact(engine, level, available=True) for engine, order in ORDER.items() for level in order]
NEWEST = KernelCapabilities("6.12.0", settle(FACTS), (0,), 0, ())


def without(*levels: Level) -> KernelCapabilities:
    """A kernel that lacks some ways to see accesses."""
    facts = [
        each for each in FACTS if (each.engine, each.level) not in {(Engine.ACCESSES, n) for n in levels}
    ]
    return KernelCapabilities("6.12.0", settle(facts), (0,), 0, ())


def ranges(*rows: tuple[int, int]) -> np.ndarray:
    return np.array(rows, np.uint64).reshape(-1, 2)


class Plan:
    """A plan of which every part is one block of so many MiB."""

    def __init__(self, start: int, block_mib: int) -> None:
        self.block_bytes = block_mib * MIB
        blocks = range(0, 64, block_mib)
        self._left = [ranges((start + each * MIB, self.block_bytes)) for each in blocks]
        self.out = []

    def speaks(self, now_seconds: float) -> bool:
        return True

    @property
    def cold_bytes(self) -> int:
        return len(self._left) * self.block_bytes

    def take(self, limit_bytes: int) -> tuple[Part, ...]:
        count = limit_bytes // self.block_bytes
        found, self._left = self._left[:count], self._left[count:]
        return tuple(Part((PID, 1), each, np.zeros(1, np.int64)) for each in found)

    def asked(self, part: Part) -> Asked:
        return Asked(part.process, part.ranges.astype(np.int64), self.block_bytes)

    def took(self, part: Part, left: np.ndarray | None) -> None:
        assert left is not None
        assert left.tolist() == [0]
        self.out.append(int(part.ranges[0, 0]))


@pytest.mark.parametrize("block_mib", [1, 16, 32])
def test_paging_out_can_be_stopped_every_sixteen_mib(tmp_path, block_mib: int):
    node = TwinNode(tmp_path)
    process = node.process(PID, pages=PAGES, started_ticks=1)
    each = Controlled(node.container(), ReclaimLaw(ReclaimPolicy()))
    each.addresses, each.swap = Plan(process.start, block_mib), SwapRoom(64 * MIB)
    moved = []
    taker = Taker(node.actor(each.container), NEWEST, lambda _: sum(moved) >= 32 * MIB, node.kernel)
    for outcome in taker.take(each, 64 * MIB, 0.0):
        assert 0 < moved_bytes(outcome) <= 16 * MIB
        moved.append(moved_bytes(outcome))
    assert sum(moved) == 32 * MIB
    assert len(each.addresses.out) * block_mib == 32


def test_bringing_back_can_be_stopped_between_two_parts(tmp_path):
    node = TwinNode(tmp_path)
    process = node.process(PID, pages=PAGES, started_ticks=1)
    each = Controlled(node.container(), ReclaimLaw(ReclaimPolicy()))
    each.addresses = plan = Plan(process.start, 4)
    back = []
    plan.bring_back = lambda *_, **__: plan.take(16 * MIB)
    plan.brought_back = back.append
    taker = Taker(node.actor(each.container), NEWEST, lambda _: len(back) == 2, node.kernel)
    done = list(taker.bring_back(each, 16 * MIB, all_out=False))
    assert [each.expected.usage_bytes for each in done] == [4 * MIB] * 2
    assert len(back) == 2


@pytest.mark.parametrize(("probed_mib", "asked"), [(8, " swappiness=0"), (4, "")])
def test_page_cache_that_was_probed_for_goes_as_files_alone(tmp_path, probed_mib: int, asked: str):
    node = TwinNode(tmp_path)
    each = Controlled(node.container(), ReclaimLaw(ReclaimPolicy()))
    each.swap, each.probed_bytes = SwapRoom(64 * MIB), probed_mib * MIB
    each.aged = Aged(None, "idle-age", 0.01, 0.0, Cold((8 - probed_mib) * MIB, 120.0))
    each.addresses = Plan(0, 64)
    each.addresses.take = lambda _: ()
    taker = Taker(node.actor(each.container), NEWEST, lambda _: False, node.kernel)
    (outcome,) = taker.take(each, 8 * MIB, 0.0)
    assert moved_bytes(outcome) == 8 * MIB
    assert node.kernel.notes[-1].text == f"{8 * MIB}{asked}"


@pytest.mark.parametrize(
    ("kernel", "cooled_mib"),
    [(without(Level.LRU_GENERATIONS, Level.IDLE_BITS), 4), (without(Level.IDLE_BITS), 0), (NEWEST, 0)],
    ids=["no age hangs on its order", "generations tell ages", "newest"],
)
def test_what_is_doubtful_goes_before_what_is_in_use_where_no_age_hangs_on_it(
    tmp_path, kernel: KernelCapabilities, cooled_mib: int
):
    node = TwinNode(tmp_path)
    process = node.process(PID, pages=PAGES, started_ticks=1)
    each = Controlled(node.container(), ReclaimLaw(ReclaimPolicy()))
    each.swap = SwapRoom(64 * MIB)
    each.aged = Aged(None, "idle-age", 0.01, 0.0, Cold(8 * MIB, 120.0))
    each.addresses = plan = Plan(process.start, 4)
    plan.doubtful = lambda limit_bytes: plan_take(limit_bytes // 2)
    plan_take, plan.take = plan.take, lambda _: ()
    taker = Taker(node.actor(each.container), kernel, lambda _: False, node.kernel)
    done = list(taker.take(each, 8 * MIB, 0.0))
    assert sum(map(moved_bytes, done)) == 8 * MIB  # by reclaim alone
    assert [outcome.kind.value for outcome in done] == ["cold"] * (cooled_mib > 0) + ["reclaim"]
    assert int((~process.referenced).sum()) * 4096 == cooled_mib * MIB
    assert process.has(PageKind.PRESENT).all()


@pytest.mark.parametrize("amount_mib", [8, 40])
def test_no_more_is_paged_out_than_was_asked_for(tmp_path, amount_mib: int):
    node = TwinNode(tmp_path)
    process = node.process(PID, pages=PAGES, started_ticks=1)
    each = Controlled(node.container(), ReclaimLaw(ReclaimPolicy()))
    each.addresses, each.swap = Plan(process.start, 1), SwapRoom(64 * MIB)
    taker = Taker(node.actor(each.container), NEWEST, lambda _: False, node.kernel)
    assert sum(map(moved_bytes, taker.take(each, amount_mib * MIB, 0.0))) == amount_mib * MIB


@pytest.mark.parametrize(
    ("fell_mib", "booked_mib"), [(1024, 20), (20, 20), (12, 12), (-40, 0)], ids=lambda mib: f"{mib}MiB"
)
def test_what_a_container_frees_itself_meanwhile_is_not_booked_as_taken(fell_mib, booked_mib):
    outcome = Outcome(
        ActionKind.RECLAIM,
        "app",
        Answer.DONE,
        Effect(usage_bytes=-20 * MIB),
        Effect(usage_bytes=-fell_mib * MIB),
    )
    assert moved_bytes(outcome) == booked_mib * MIB


@pytest.mark.parametrize(
    ("kind", "fell_mib", "reclaimed_mib", "proactive_mib", "booked_mib"),
    [
        (ActionKind.RECLAIM, -40, 20, None, 20),  # allocations of the same moment hide it
        (ActionKind.RECLAIM, 20, 6, None, 7),  # it freed the rest itself; counters lag by a mebibyte
        (ActionKind.RECLAIM, 20, 500, None, 20),  # others reclaim from it, too
        (ActionKind.RECLAIM, 20, 500, 12, 13),
        (ActionKind.RECLAIM, -40, 500, 24, 24),  # the kernel took more than it was asked for
        (ActionKind.RECLAIM, 12, -1, None, 12),  # a counter that went back says nothing
        (ActionKind.HIGH_LEASE, 20, 18, 0, 19),  # a lease is not proactive
    ],
)
def test_what_was_reclaimed_is_booked_by_the_kernels_own_counters(
    kind, fell_mib, reclaimed_mib, proactive_mib, booked_mib
):
    measured = Effect(
        usage_bytes=-fell_mib * MIB,
        reclaimed_bytes=reclaimed_mib * MIB,
        proactive_bytes=None if proactive_mib is None else proactive_mib * MIB,
    )
    outcome = Outcome(kind, "app", Answer.DONE, Effect(usage_bytes=-20 * MIB), measured)
    assert moved_bytes(outcome, untold_bytes=MIB) == booked_mib * MIB


OLD = KernelCapabilities(
    "5.15.0",
    settle([each for each in FACTS if each.level not in {Level.SWAPPINESS, Level.PLAIN}]),
    (0,),
    0,
    (),
)


@pytest.mark.parametrize(
    ("grown_mib", "stops_after", "parts"), [(0, 9, [16, 16, 8]), (32, 9, [16, 16, 8]), (0, 1, [16])]
)
def test_a_lease_takes_the_amount_from_what_is_used_now_in_parts(tmp_path, grown_mib, stops_after, parts):
    node = TwinNode(tmp_path, usage_bytes=(64 + grown_mib) * MIB)
    each = Controlled(node.container(), ReclaimLaw(ReclaimPolicy()))
    each.usage_bytes, each.swap = 64 * MIB, SwapRoom(64 * MIB)  # by the last sample
    moved = []
    taker = Taker(node.actor(each.container), OLD, lambda _: len(moved) >= stops_after, node.kernel)
    for outcome in taker.in_order(each, 40 * MIB):
        assert outcome.kind is ActionKind.HIGH_LEASE
        moved.append(moved_bytes(outcome) // MIB)
    assert moved == parts
    assert node.file(1, "memory.high").read_text().strip() == "max"


def test_leases_go_no_further_than_the_kernel_gives(tmp_path):
    node = TwinNode(tmp_path, swap_max="0", usage_bytes=40 * MIB)  # 20 MiB are of files
    each = Controlled(node.container(), ReclaimLaw(ReclaimPolicy()))
    each.swap = SwapRoom(0, shut=True)
    taker = Taker(node.actor(each.container), OLD, lambda _: False, node.kernel)
    assert [moved_bytes(outcome) // MIB for outcome in taker.in_order(each, 40 * MIB)] == [16, 4]
