"""What feeds plans where DAMON is not to be had: idle bits, then soft-dirty bits and refaults.

A running agent on the twin of a kernel without DAMON. Its process touches (reads, or writes to) some pages in
every look and leaves the others alone.
"""

import errno
import os
import shutil

import pytest

from builders.agents import AgentOn
from builders.watched_agents import HOT_PAGES, PAGES, PID, PREDICTIVE, advised, resident
from plimsoll.pages.refault_set import MOST_PROBED_RATIO
from plimsoll_nodeagent.capabilities import Engine, Level
from plimsoll_nodeagent.control.idle_looks import MOST_PAGES, PAGES_PER_STEP, RETRY_SECONDS
from plimsoll_nodeagent.kernelfs import Advice, TwinProcess
from plimsoll_nodeagent.kernelfs.twin_process import PAGE_BYTES
from plimsoll_nodeagent.sample.probe import DAMON_STAT

BITMAP = "sys/kernel/mm/page_idle/bitmap"
LRU_GEN = "sys/kernel/debug/lru_gen"
DAMON = "sys/kernel/mm/damon"


def without(directory, *paths: str, pages: int = PAGES, **process: object) -> tuple[AgentOn, TwinProcess]:
    """An agent on a kernel that has idle bits and soft-dirty bits, but not these."""
    agent = AgentOn(directory, containers=1, policy=dict(PREDICTIVE))
    root = agent.node.root
    agent.node.tree.write(root / BITMAP, "\0" * 16_384)
    agent.node.tree.write(root / "proc/kpageflags", "\0" * (1 << 17))
    for path in paths:
        shutil.rmtree(root / path) if (root / path).is_dir() else (root / path).unlink()
    own = TwinProcess(os.getpid(), pages=1)  # whom the probe asks
    own.touch(0, 1, write=True)
    agent.node.kernel.processes.add(own)
    agent.start()
    of = agent.node.process(PID, 1, pages=pages, first_frame=4096, **process)
    if agent.made.agent.looks.instead is not None:
        agent.made.agent.looks.instead.cpu = lambda: 0.0
    agent.tick(1)
    return agent, of


def looked(agent: AgentOn, process: TwinProcess, looks: int, *, write: bool = False) -> None:
    """So many looks by idle bits; its first pages are touched in each of them."""
    bits, before = agent.made.agent.looks.instead, agent.made.agent.looks.all_looks_total
    for _ in range(40 * looks):
        if bits.looks_total >= before + looks:
            return
        agent.now += 1.0
        process.touch(0, HOT_PAGES, write=write)
        agent.node.kernel.processes.show(process)
        agent.made.agent._look_by_address(agent.now)
    raise AssertionError("the looks do not come")


def accesses(agent: AgentOn) -> tuple[Level, str]:
    found = agent.made.agent._capabilities().engines[0]
    assert found.engine is Engine.ACCESSES
    return found.level, found.why


@pytest.mark.parametrize("write", [False, True])
def test_by_idle_bits_what_is_cold_is_paged_out_and_what_is_hot_stays(tmp_path, write):
    agent, process = without(tmp_path, DAMON)
    level, why = accesses(agent)
    assert level is Level.IDLE_BITS
    assert "no damon" in why
    looked(agent, process, 60, write=write)
    for _ in range(20):
        looked(agent, process, 1, write=write)
        report = agent.tick(1, seconds=1.0)
    hot, cold = resident(process)
    assert hot == HOT_PAGES
    assert cold < PAGES - HOT_PAGES
    assert report.actions_total["pageout", "done"] > 0
    assert report.node.looks_total >= 80


def test_damon_that_damon_stat_held_is_taken_when_it_is_free_and_told_of(tmp_path):
    agent = AgentOn(tmp_path, containers=1, policy=dict(PREDICTIVE))
    node = agent.node

    def holds(held: bool) -> None:
        node.tree.write(node.root / DAMON_STAT.strip("/"), "Y\n" if held else "N\n")
        node.kernel.damon.held_by_other = held

    def seconds(number: int) -> Level:
        for _ in range(number):
            agent.now += 1.0
            agent.made.agent.heed(0.0, lambda: agent.now)
        return accesses(agent)[0]

    holds(True)
    agent.start()
    looks = agent.made.agent.looks
    node.process(PID, 1, pages=PAGES)
    agent.tick(1)
    assert seconds(100) is Level.LRU_GENERATIONS
    assert "DAMON_STAT" in accesses(agent)[1]
    assert not looks.looks_total
    holds(False)
    assert seconds(300) is Level.DAMON
    assert accesses(agent)[1] == ""
    found = agent.made.agent._capabilities()
    assert found.has(Engine.ACCESSES, Level.LRU_GENERATIONS)
    looks._lose(agent.now, "as told")  # and taken again
    level, why = accesses(agent)
    assert (level, why) == (Level.LRU_GENERATIONS, "no damon: as told")


def test_a_huge_page_of_which_a_byte_is_touched_is_not_cold(tmp_path):
    agent, process = without(tmp_path, DAMON, folio_pages=512)
    looked(agent, process, 20)
    plan = next(iter(agent.made.agent.reclaimer.controlled.values())).addresses
    # The hot part is half of the first huge page: all of that is hot.
    assert plan.cold_bytes <= (PAGES - 512) * PAGE_BYTES
    assert plan.idle_ages(agent.now).idle_bytes(60.0) == pytest.approx((PAGES - 512) * PAGE_BYTES, rel=0.01)


def test_idle_bits_make_the_histogram_where_the_kernel_keeps_no_generations(tmp_path):
    agent, process = without(tmp_path, DAMON, LRU_GEN)
    agent.say({"importance": "Low", "reclaim": {"mode": "Cold"}})
    agent.tick(1)
    looked(agent, process, 20)
    used = int(agent.node.file(1, "memory.current").read_text())
    (report,) = agent.tick(1, seconds=1.0).containers
    assert report.cold_bytes == (PAGES - HOT_PAGES) * PAGE_BYTES
    assert report.hot_bytes == used - report.cold_bytes


def test_a_new_generation_spoils_the_look_under_way_for_it_took_the_accessed_bits(tmp_path):
    agent, process = without(tmp_path, DAMON)
    bits, ages = agent.made.agent.looks.instead, agent.made.agent.ages
    looked(agent, process, 2)
    while bits._turn is None:
        agent.now += 1.0
        agent.made.agent._look_by_address(agent.now)
    (container,) = agent.node.discovered()
    bits.spoil(frozenset({(1, "another")}))
    assert bits._turn is not None
    aged_before = ages.agings_total
    ages._paces[container.key].aged_seconds = float("-inf")
    agent.made.agent.looks._rests_until = bits._rests_until = agent.now + 1e6
    agent.tick(1, seconds=60.0)
    assert ages.agings_total > aged_before
    assert bits._turn is None


def test_refused_marks_fall_to_generations_and_are_tried_again_later(tmp_path):
    agent, process = without(tmp_path, DAMON)
    agent.made.agent.looks.instead.rest()
    agent.node.kernel.fail("page_idle/bitmap", errno.EPERM)
    agent.now += 1.0
    agent.made.agent._look_by_address(agent.now)
    level, why = accesses(agent)
    assert level is Level.LRU_GENERATIONS
    assert "idle bits are denied" in why
    marked = agent.made.agent.looks.instead.marked_pages_total
    agent.tick(5)
    assert agent.made.agent.looks.instead.marked_pages_total == marked
    agent.now += RETRY_SECONDS
    looked(agent, process, 1)
    assert accesses(agent)[0] is Level.IDLE_BITS


def test_damon_takes_over_when_it_is_given_back(tmp_path):
    agent, process = without(tmp_path)
    agent.node.kernel.damon.held_by_other = True
    agent.made.agent.looks.slots.close()
    looked(agent, process, 3)
    assert accesses(agent)[0] is Level.IDLE_BITS
    agent.node.kernel.damon.held_by_other = False
    agent.tick(60)
    assert accesses(agent)[0] is Level.DAMON
    assert agent.made.agent.looks.instead._turn is None


def test_a_look_costs_a_bounded_number_of_pages_and_a_small_share_of_a_processor(tmp_path):
    agent, process = without(tmp_path, DAMON, pages=3 * MOST_PAGES)
    bits = agent.made.agent.looks.instead
    spent = iter(range(10_000))
    bits.cpu = lambda: 0.01 * next(spent)  # each step costs ten milliseconds
    began, before = agent.now, bits.marked_pages_total
    for _ in range(400):
        agent.now += 1.0
        agent.made.agent._look_by_address(agent.now)
        assert bits.marked_pages_total - before <= 1.1 * PAGES_PER_STEP
        before = bits.marked_pages_total
    assert bits.looks_total >= 2
    assert bits.marked_pages_total <= 1.1 * MOST_PAGES * (bits.looks_total + 1)
    assert bits.cost_seconds / (agent.now - began) <= 0.004  # twice the ratio: the last look is not paid yet
    assert process.pages > MOST_PAGES


def test_who_may_spend_more_looks_more_often(tmp_path):
    looks = {}
    for share in (0.002, 0.02):
        agent, _ = without(tmp_path / str(share), DAMON)
        bits = agent.made.agent.looks.instead
        spent = iter(range(10_000))
        bits.cpu, bits.cost_ratio = (lambda spent=spent: 0.01 * next(spent)), share
        for _ in range(400):
            agent.now += 1.0
            agent.made.agent._look_by_address(agent.now)
        looks[share] = bits.looks_total
    assert looks[0.02] >= 2 * looks[0.002] > 0, looks


def test_a_process_that_ends_within_a_look_is_not_in_it(tmp_path):
    agent, process = without(tmp_path, DAMON)
    looked(agent, process, 2)
    agent.now += 1.0
    agent.made.agent._look_by_address(agent.now)
    agent.node.kernel.processes.end(PID)
    agent.node.kernel.processes.add(TwinProcess(PID, pages=PAGES, started_ticks=999, first_frame=4096))
    before = agent.made.agent.looks.instead.looks_total
    for _ in range(12):
        agent.now += 1.0
        agent.made.agent._look_by_address(agent.now)
    assert agent.made.agent.looks.instead.looks_total == before


def written(agent: AgentOn, process: TwinProcess, ticks: int, pages: int) -> None:
    for _ in range(ticks):
        process.touch(0, pages, write=True)
        agent.node.kernel.processes.show(process)
        agent.tick(1, seconds=10.0)


def test_soft_dirty_bits_alone_page_nothing_out_and_hold_back_what_is_written(tmp_path):
    agent, process = without(tmp_path, DAMON, LRU_GEN, BITMAP)
    assert accesses(agent)[0] is Level.SOFT_DIRTY
    agent.node.file(1, "memory.current").write_text(f"{PAGES * PAGE_BYTES}\n")
    written(agent, process, 60, PAGES - 16)
    (report,) = agent.made.agent.latest.containers
    assert agent.made.agent.writes.looks_total > 0
    assert report.cold_bytes <= 16 * PAGE_BYTES
    assert advised(agent, Advice.PAGEOUT.name) == []
    assert resident(process) == [HOT_PAGES, PAGES - HOT_PAGES]


def test_memory_that_is_read_and_not_written_is_taken_by_no_address(tmp_path):
    agent, process = without(tmp_path, DAMON, LRU_GEN, BITMAP)
    for _ in range(60):
        process.touch(0, PAGES)
        agent.node.kernel.processes.show(process)
        agent.tick(1, seconds=10.0)
    (report,) = agent.made.agent.latest.containers
    assert 0 <= report.cold_bytes <= MOST_PROBED_RATIO * agent.node.usage_bytes
    assert report.needed_bytes is not None
    assert advised(agent, Advice.PAGEOUT.name) == []
    assert agent.made.agent.latest.actions_total["reclaim", "done"] > 0  # in the kernel's order, by probing


def test_soft_dirty_bits_that_may_not_be_cleared_leave_refaults(tmp_path):
    agent, process = without(tmp_path, DAMON, LRU_GEN, BITMAP)
    agent.node.kernel.fail("clear_refs", errno.EACCES, times=100)
    written(agent, process, 10, PAGES)
    level, why = accesses(agent)
    assert level is Level.REFAULTS
    assert "clear_refs is denied" in why
    assert agent.made.agent.latest.containers[0].cold_bytes is not None


def test_writes_are_not_asked_for_where_anything_better_tells(tmp_path):
    agent, process = without(tmp_path, DAMON, BITMAP)
    assert accesses(agent)[0] is Level.LRU_GENERATIONS
    written(agent, process, 20, 64)
    assert not [each for each in agent.node.kernel.notes if each.what.endswith("clear_refs")]


def test_a_larger_container_is_asked_what_it_writes_less_often(tmp_path):
    agent, process = without(tmp_path, DAMON, LRU_GEN, BITMAP)

    def looks(resident_pages: int) -> int:
        before = agent.made.agent.writes.looks_total
        for _ in range(60):
            statm = agent.node.root / f"proc/{PID}/statm"
            statm.write_text(f"{2 * resident_pages} {resident_pages} 0 0 0 0 0\n")
            written(agent, process, 1, 8)
        return agent.made.agent.writes.looks_total - before

    assert looks(1 << 12) > 2 * looks(1 << 19) > 0


def test_with_refaults_alone_what_comes_back_ends_the_probe(tmp_path):
    agent, _ = without(tmp_path, DAMON, LRU_GEN, BITMAP)
    agent.made.agent.writes = None
    agent.tick(30, seconds=10.0)
    taken = agent.taken_bytes
    assert taken > 0
    stat = agent.node.file(1, "memory.stat")
    lines = (
        "workingset_refault_file 5000" if line.startswith("workingset_refault_file") else line
        for line in stat.read_text().splitlines()
    )
    stat.write_text("\n".join(lines) + "\n")
    (report,) = agent.tick(6, seconds=10.0).containers
    assert report.cold_bytes == 0
    assert report.needed_bytes == report.hot_bytes
    assert agent.taken_bytes == taken
