"""A container's memory by address: what goes, what comes back, and what happens when it changes shape."""

import numpy as np
import pytest

from builders.addressworld import BLOCK, ProgramWorld, spans
from plimsoll.pages.address_plan import (
    ASKED_AGAIN_SHARE,
    FRESH_SECONDS,
    LEAST_LOOKS,
    PAGE_BYTES,
    AddressPlan,
    SeenProcess,
)
from plimsoll.pages.blocks import AIMED_BLOCKS
from plimsoll.pages.guarded_plan import BUDGETED, GUARDED, LRU, REUSE
from plimsoll.pages.plan import GRACE_EPOCHS
from plimsoll.pages.survival import SurvivalModel

HOT = np.arange(100)


def hot_only(epoch: int) -> np.ndarray:
    return HOT


def played(world: ProgramWorld, looks: int, policy: str = GUARDED) -> int:
    return sum(world.look(policy) or world.page_out() for _ in range(looks))


@pytest.mark.parametrize("policy", [GUARDED, LRU, BUDGETED, REUSE])
def test_what_is_never_touched_goes_and_what_is_hot_stays(policy: str) -> None:
    world = ProgramWorld(400, hot_only)
    assert played(world, 150, policy) > 250
    assert world.present[:100].all()
    assert world.refaults == 0


def test_it_says_nothing_before_it_knows_the_memory_nor_long_after_a_look() -> None:
    world = ProgramWorld(400, hot_only)
    for _ in range(LEAST_LOOKS - 1):
        world.look()
        assert not world.plan.speaks(world.now)
    world.look()
    assert world.plan.speaks(world.now + FRESH_SECONDS)
    assert not world.plan.speaks(world.now + FRESH_SECONDS + 1.0)
    assert not world.plan.speaks(world.now - 1.0)


def test_no_more_is_taken_than_the_limit_and_the_rest_is_offered_again() -> None:
    world = ProgramWorld(400, hot_only)
    while not world.plan.cold_bytes:
        world.look()
    whole = world.plan.cold_bytes // BLOCK
    assert world.page_out(5 * BLOCK + 1) == 5
    assert world.plan.cold_bytes // BLOCK == whole - 5
    world.look()
    assert world.plan.cold_bytes // BLOCK >= whole - 5


def test_what_was_not_really_taken_is_offered_again() -> None:
    world = ProgramWorld(400, hot_only)
    while not world.plan.cold_bytes:
        world.look()
    before = world.plan.cold_bytes
    assert world.plan.take(1 << 40)
    assert world.plan.cold_bytes == 0
    world.look()
    assert world.plan.cold_bytes >= before


def test_refaults_stay_within_the_budget_where_memory_comes_back_in_waves() -> None:
    def waves(epoch: int) -> np.ndarray:
        return np.concatenate([HOT, 100 + np.arange(300)]) if epoch % 40 == 0 else HOT

    world = ProgramWorld(400, waves)
    played(world, 400)
    assert 0 < world.refaults <= 0.015 * world.accesses


def test_a_process_that_grows_and_shrinks_is_followed() -> None:
    world = ProgramWorld(200, hot_only)
    played(world, 60)
    out = ~world.present
    assert out.any()
    world.grow(300)
    played(world, 120)
    assert (~world.present[200:]).any()
    assert not world.present[:200][out].any()
    world.grow(150)
    played(world, 3)
    world.grow(120)
    played(world, 3)
    assert world.present[:100].all()
    assert world.refaults == 0


def test_a_memory_that_outgrows_its_blocks_gets_larger_ones_and_begins_anew() -> None:
    world = ProgramWorld(400, hot_only)
    played(world, 20)
    assert world.plan.block_bytes == BLOCK
    whole = spans(np.arange(2 * AIMED_BLOCKS + 1))
    asked = world.plan.see([SeenProcess(world.process, whole, whole, spans(HOT))], world.now + 10)
    assert world.plan.block_bytes == 8 * BLOCK
    counts = [each.ranges[:, 1].sum() // each.block_bytes for each in asked]
    assert AIMED_BLOCKS / 8 < sum(counts) <= AIMED_BLOCKS
    world.plan.conclude([np.full(int(each), 128) for each in counts])
    assert world.plan.cold_bytes == 0


def test_a_process_that_ends_takes_its_blocks_with_it_and_a_recycled_pid_is_another() -> None:
    world = ProgramWorld(400, hot_only)
    played(world, 100)
    world.process = (41, 99)
    world.present[:] = True
    world.look()
    assert world.plan.cold_bytes == 0
    assert world.plan.take(1 << 40) == ()


def test_a_look_at_nothing_changes_nothing() -> None:
    world = ProgramWorld(400, hot_only)
    played(world, 30)
    before = (world.plan.looks, world.plan.cold_bytes, world.plan.planned_seconds)
    assert world.plan.see([], world.now + 5) == ()
    world.plan.conclude([])
    nothing = spans(np.array([], np.int64))
    assert world.plan.see([SeenProcess((41, 7), nothing, nothing, nothing)], world.now + 6) == ()
    world.plan.conclude([])
    assert (world.plan.looks, world.plan.cold_bytes, world.plan.planned_seconds) == before


def test_blocks_that_nobody_could_count_are_not_taken() -> None:
    world = ProgramWorld(400, hot_only)
    whole = spans(np.arange(400))
    for epoch in range(100):
        asked = world.plan.see([SeenProcess((41, 7), whole, whole, spans(HOT))], 10.0 * epoch)
        world.plan.conclude([None for _ in asked])
    assert world.plan.take(1 << 40) == ()


def test_what_was_taken_last_comes_back_first_when_it_thrashes() -> None:
    world = ProgramWorld(400, hot_only)
    world.plan.brings_back(True)
    while played(world, 1) < 4 or (~world.present).sum() < 8:
        assert world.epoch < 300
    taken = np.flatnonzero(~world.present)
    (part,) = world.plan.bring_back(4 * BLOCK, all_out=True)
    assert part.bytes_ == 4 * BLOCK
    world.set(part, present=True)
    world.plan.brought_back(part)
    back = taken[world.present[taken]]
    assert len(back) == 4
    world.look()
    going = {int(start) for each in world.plan.take(1 << 40) for start, _ in each.ranges}
    assert not going & {int(start) for start, _ in part.ranges}  # left alone for a while


def test_nothing_is_brought_back_that_has_not_earned_it() -> None:
    rng = np.random.default_rng(1)
    world = ProgramWorld(400, lambda _: np.concatenate([HOT, 100 + rng.integers(0, 300, 3)]))
    world.plan.brings_back(True)
    for _ in range(200):
        world.look()
        world.page_out()
        assert world.plan.bring_back(1 << 40) == ()


def test_a_sweep_is_brought_back_ahead_of_itself() -> None:
    def sweep(epoch: int) -> np.ndarray:
        return np.concatenate([HOT, 100 + (np.arange(6) + 6 * epoch) % 300])

    world = ProgramWorld(400, sweep, AddressPlan(0.2))
    world.plan.brings_back(True)
    brought = 0
    for _ in range(400):
        world.look()
        world.page_out()
        for part in world.plan.bring_back(1 << 40):
            brought += len(part.keys)
            world.set(part, present=True)
            world.plan.brought_back(part)
    assert brought > 50
    assert world.plan.returned_ratio > 0.6


def test_idle_ages_are_of_what_is_present() -> None:
    world = ProgramWorld(400, hot_only)
    assert world.plan.idle_ages(world.now) is None
    for _ in range(7):
        world.look()
    ages = world.plan.idle_ages(world.now)
    assert ages.total_bytes == 400 * BLOCK
    assert ages.idle_bytes(40.0) == 300 * BLOCK


def test_another_container_starts_from_the_tables_of_this_one() -> None:
    world = ProgramWorld(400, lambda epoch: np.concatenate([HOT, 100 + np.arange(60) + 60 * (epoch % 5)]))
    played(world, 60)
    assert world.plan.predictor.samples > 0
    other = AddressPlan(0.01, world.plan.predictor)
    assert other.predictor is world.plan.predictor


def test_where_there_are_many_containers_each_is_watched_more_coarsely() -> None:
    world = ProgramWorld(400, hot_only)
    world.plan.aimed_blocks = 256
    world.look()
    assert world.plan.block_bytes == 2 * BLOCK


def test_who_is_not_to_bring_back_neither_learns_it_nor_says_it() -> None:
    world = ProgramWorld(400, lambda epoch: np.concatenate([HOT, 100 + (np.arange(6) + 6 * epoch) % 300]))
    world.plan.brings_back(True)
    for _ in range(10):
        world.look()
    world.plan.brings_back(False)
    for _ in range(60):
        world.look()
        world.page_out()
        assert world.plan.bring_back(1 << 40) == ()
    assert np.isnan(world.plan.returned_ratio)


def cold_world() -> ProgramWorld:
    """A hundred hot blocks, and three hundred of which some are offered."""
    world = ProgramWorld(400, hot_only)
    while world.plan.cold_bytes < 25 * BLOCK:
        world.look()
    return world


def asked_in(world: ProgramWorld) -> set[int]:
    """Addresses of the blocks that one more look asks for."""
    whole = spans(np.arange(world.blocks))
    world.epoch += 1
    asked = world.plan.see([SeenProcess(world.process, whole, whole, spans(HOT))], world.now)
    world.plan.conclude([world.counts(each) for each in asked])
    return {
        int(at)
        for each in asked
        for start, length in each.ranges
        for at in range(start, start + length, BLOCK)
    }


def test_what_the_kernel_took_is_found_gone_within_some_looks() -> None:
    world = cold_world()
    assert world.plan.idle_ages(world.now).idle_bytes(40.0) > 0
    world.present[100:] = False
    for _ in range(round(1 / ASKED_AGAIN_SHARE)):
        world.look()
    assert world.plan.cold_bytes == 0
    assert world.plan.idle_ages(world.now).idle_bytes(40.0) == 0
    assert world.plan.take(1 << 40) == ()


def test_what_others_took_is_found_gone_at_the_next_look() -> None:
    world = cold_world()
    world.present[100:] = False
    world.plan.others_took(300 * BLOCK)
    world.look()
    assert world.plan.cold_bytes == 0
    assert world.plan.gone_bytes_total == 300 * BLOCK


def test_a_look_asks_again_for_a_part_of_what_it_believes_and_in_turn_for_all_that_is_idle() -> None:
    world = cold_world()
    count = round(ASKED_AGAIN_SHARE * 400)
    turns = [asked_in(world) for _ in range(round(1 / ASKED_AGAIN_SHARE))]
    assert {len(each) for each in turns} == {count}
    assert len(set.union(*turns)) == 300
    world.plan.others_took(1)
    assert len(asked_in(world)) == count, "a page more or less is nothing"


def test_what_a_page_out_was_tried_on_is_asked_for_at_the_next_look() -> None:
    world = cold_world()
    parts = world.plan.take(20 * BLOCK)
    for part in parts:
        world.plan.took(part, None)
    tried = {int(at) for part in parts for start, n in part.ranges for at in range(start, start + n, BLOCK)}
    assert len(tried) == 20
    assert tried <= asked_in(world)


def test_only_blocks_that_went_are_out_and_those_that_do_not_move_rest_for_a_while() -> None:
    world = cold_world()
    (part,) = world.plan.take(20 * BLOCK)
    at = (int(part.ranges[0, 0]) - int(spans(np.array([0])).starts[0])) // BLOCK
    world.set(part, present=False)
    world.present[at : at + 5] = True  # locked, say
    before = world.plan.gone_bytes_total
    world.plan.took(part, world.counts(world.plan.asked(part)))
    assert world.plan.gone_bytes_total - before == 15 * BLOCK
    assert int(world.plan._plan.budget.out.sum()) == 15
    stuck = {int(spans(np.array([number])).starts[0]) for number in range(at, at + 5)}

    def offered() -> set[int]:
        world.look()
        rows = world.plan._going
        return {int(each) for part in world.plan._parts(rows) for each in _starts(part)}

    for _ in range(GRACE_EPOCHS):
        assert not stuck & offered()
    assert any(stuck & offered() for _ in range(20))


def _starts(part) -> list[int]:
    return [at for start, length in part.ranges.tolist() for at in range(start, start + length, BLOCK)]


def test_what_was_paged_out_teaches_no_returns() -> None:
    world, model, before = cold_world(), SurvivalModel(), None
    for _ in range(40):
        world.look()
        now = world.plan.idle_ages(world.now), world.plan.gone_bytes_total
        if before is not None:
            model.observe(before[0], now[0], 10.0, now[1] - before[1])
        before = now
        world.page_out(8 * BLOCK)
    assert (~world.present).sum() > 100
    assert model.observations == 39
    assert model.returned_bytes.sum() == 0.0


def test_a_memory_that_is_unmapped_is_gone_and_did_not_come_back() -> None:
    world = cold_world()
    world.grow(300)
    world.look()
    assert world.plan.gone_bytes_total == 100 * 16 * PAGE_BYTES


def test_what_the_guard_vetoes_is_doubtful_once_until_it_is_accessed_again() -> None:
    def waves(epoch: int) -> np.ndarray:
        return np.concatenate([HOT, 100 + np.arange(300)]) if epoch % 40 == 0 else HOT

    def told() -> set[int]:
        parts = world.plan.doubtful(10 * BLOCK)
        assert sum(part.bytes_ for part in parts) <= 10 * BLOCK
        return {int(key) for part in parts for key in part.keys}

    world = ProgramWorld(400, waves)
    found: list[set[int]] = []
    while world.epoch < 39:
        world.look(REUSE)
        goes = {int(key) for part in world.plan.coldest(1 << 40) for key in part.keys}
        while some := told():
            assert not some & goes
            found.append(some)
        assert not told()
    assert found
    assert len(set.union(*found)) == sum(map(len, found))  # none twice
    before = set.union(*found)
    again: set[int] = set()
    while not again & before:  # after the wave
        assert world.epoch < 300
        world.look(REUSE)
        again |= told()
