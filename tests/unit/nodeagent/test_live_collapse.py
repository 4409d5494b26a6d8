"""Huge pages in the running agent: what is hot and dense, where a policy asks; ended where it is no use."""

import json

import pytest

from builders.agents import AgentOn
from builders.watched_agents import PID, PREDICTIVE, advised, shown, watched
from plimsoll.pages.collapse import FIRST_PAUSE_SECONDS, HUGE_PAGE_BYTES
from plimsoll_nodeagent.act.steps import STEP_BYTES
from plimsoll_nodeagent.capabilities import Engine
from plimsoll_nodeagent.kernelfs import Advice, Mode, PageKind, TwinProcess
from plimsoll_nodeagent.kernelfs.twin_process import PAGE_BYTES

THP = "sys/kernel/mm/transparent_hugepage/enabled"
UNIT = HUGE_PAGE_BYTES // PAGE_BYTES
PAGES = 4096  # 16 MiB; the first 10 are hot
HOT = 5 * UNIT
ASKED = {**PREDICTIVE, "reclaim": {**PREDICTIVE["reclaim"], "hugePages": True}}
WHOLE = "Node 0, zone   Normal     10     20     30      5      0      0      0      0      0      1    400\n"
SPLINTERED = (
    "Node 0, zone   Normal  90000     20     30      5      0      0      0      0      0      1      0\n"
)


def made(directory, policy: dict = ASKED, thp: str = "[madvise] always never\n", **of: object) -> AgentOn:
    """An agent that knows its container's memory, on a calm node with whole free blocks."""
    agent = watched(directory, pages=PAGES, **of)
    agent.node.tree.write(agent.node.root / THP, thp)
    agent.node.tree.write(agent.node.root / "proc/buddyinfo", WHOLE)
    agent.policy_file.write_text(json.dumps(policy))
    agent.start()
    agent.made.agent.looks.cpu = lambda: 0.0
    shown(agent.node, process_of(agent), HOT)
    return agent


def process_of(agent: AgentOn) -> TwinProcess:
    return agent.node.kernel.processes._alive[PID]


def run(agent: AgentOn, ticks: int = 40) -> None:
    """Tick by tick; the CPU looks every five seconds."""
    agent.tick(ticks)


def test_what_is_hot_and_dense_becomes_huge_and_nothing_else(tmp_path):
    agent = made(tmp_path)
    run(agent, 80)
    huge = process_of(agent).has(PageKind.HUGE)
    assert huge[:HOT].all()
    assert not huge[HOT:].any()
    assert agent.made.agent.latest.actions_total["collapse", "done"] >= 1
    assert agent.made.agent.latest.moved_bytes_total["huge"] == HOT * PAGE_BYTES
    assert agent.made.agent.latest.trials_ended_total["huge"] == 0


def test_what_is_huge_is_not_asked_for_again(tmp_path):
    agent = made(tmp_path)
    run(agent, 80)
    before = len(advised(agent, Advice.COLLAPSE.name))
    run(agent, 60)
    assert len(advised(agent, Advice.COLLAPSE.name)) == before


@pytest.mark.parametrize("policy", [PREDICTIVE, {**ASKED, "reclaim": {"mode": "Cold", "hugePages": True}}])
def test_nothing_is_gathered_where_the_policy_does_not_ask_or_memory_is_not_known(tmp_path, policy):
    agent = made(tmp_path, policy)
    run(agent)
    assert advised(agent, Advice.COLLAPSE.name) == []


def test_a_unit_with_a_page_missing_is_left_alone(tmp_path):
    agent = made(tmp_path)
    process = process_of(agent)
    process.kinds[UNIT + 7] = 0
    agent.node.kernel.processes.show(process)
    run(agent, 80)
    huge = process.has(PageKind.HUGE)
    assert huge[:UNIT].all()
    assert not huge[UNIT : 2 * UNIT].any()
    assert huge[2 * UNIT : HOT].all()


def test_memory_of_files_is_left_alone(tmp_path):
    agent = made(tmp_path)
    agent.node.kernel.processes.end(PID)
    process = TwinProcess(PID, pages=PAGES, anonymous=False)
    agent.node.kernel.processes.add(process)
    shown(agent.node, process, HOT)
    run(agent)
    assert advised(agent, Advice.COLLAPSE.name) == []


def test_a_splintered_node_keeps_its_blocks(tmp_path):
    agent = made(tmp_path)
    agent.node.tree.write(agent.node.root / "proc/buddyinfo", SPLINTERED)
    run(agent)
    assert advised(agent, Advice.COLLAPSE.name) == []


def test_a_container_that_stalls_is_left_alone(tmp_path):
    agent = made(tmp_path)
    for tick in range(40):
        agent.stall(1, 1.0 + 0.5 * tick, avg10=9.0)
        agent.tick(1)
    assert advised(agent, Advice.COLLAPSE.name) == []


def test_whoever_set_never_meant_it(tmp_path):
    agent = made(tmp_path, thp="always madvise [never]\n")
    run(agent)
    assert advised(agent, Advice.COLLAPSE.name) == []
    engines = agent.made.agent.latest.capabilities.engines
    advice = next(each for each in engines if each.engine is Engine.ADVICE)
    assert "huge pages are off" in advice.why


def test_a_kernel_that_finds_no_block_is_not_asked_again_for_ten_minutes(tmp_path):
    agent = made(tmp_path)
    process_of(agent).no_free_blocks = True
    run(agent, 60)
    assert sum(agent.made.agent.collapser.outcomes.values()) == 1
    assert agent.made.agent.collapser.trials.stopped_total == 1
    process_of(agent).no_free_blocks = False
    run(agent, int(FIRST_PAUSE_SECONDS / 5.0) + 20)
    assert process_of(agent).has(PageKind.HUGE).any()


def after_a_step(agent: AgentOn, monkeypatch, happens) -> None:
    """Once the first advice to collapse was taken."""
    real = agent.node.kernel.processes.process_madvise

    def process_madvise(pidfd, ranges, advice):
        taken = real(pidfd, ranges, advice)
        if advice is Advice.COLLAPSE:
            happens()
        return taken

    monkeypatch.setattr(agent.node.kernel.processes, "process_madvise", process_madvise)


@pytest.mark.parametrize("how", ["it stalls", "its policy says no more", "the agent is to end"])
def test_it_ends_after_a_step_of_two_huge_pages_and_is_booked_as_far_as_it_came(tmp_path, monkeypatch, how):
    agent = made(tmp_path)

    def happens() -> None:
        if how == "it stalls":
            agent.stall(1, 0.5)
        elif how == "its policy says no more":
            agent.say(PREDICTIVE)
        else:
            agent.made.agent.reclaimer.brake.ended = lambda: True

    after_a_step(agent, monkeypatch, happens)
    while not process_of(agent).has(PageKind.HUGE).any():
        agent.tick(1)
    collapser = agent.made.agent.collapser
    assert process_of(agent).huge_pages == STEP_BYTES // HUGE_PAGE_BYTES == 2
    assert collapser.gained_bytes_total == STEP_BYTES
    assert collapser.outcomes["collapse", "partial"] == 1
    assert collapser.trials.stopped_total == 0  # the kernel gathered all that it was asked for
    agent.tick(1)
    assert process_of(agent).huge_pages == 2


def test_huge_pages_that_are_broken_up_again_end_it(tmp_path):
    agent = made(tmp_path)
    while not process_of(agent).has(PageKind.HUGE).any():
        agent.tick(1)
    process_of(agent).split(0, PAGES)
    agent.node.kernel.processes.show(process_of(agent))
    asked = len(advised(agent, Advice.COLLAPSE.name))
    run(agent, 60)
    assert agent.made.agent.collapser.trials.stopped_total == 1
    assert len(advised(agent, Advice.COLLAPSE.name)) == asked


def test_a_process_that_ended_within_the_trial_ends_it_and_another_of_its_pid_is_not_asked(tmp_path):
    agent = made(tmp_path)
    while not process_of(agent).has(PageKind.HUGE).any():
        agent.tick(1)
    agent.node.kernel.processes.end(PID)
    other = agent.node.kernel.processes.add(TwinProcess(PID, pages=PAGES, started_ticks=999))
    agent.tick(14)
    assert agent.made.agent.collapser.trials.stopped_total == 1
    assert not other.has(PageKind.HUGE).any()


def test_a_dry_run_gathers_nothing(tmp_path):
    agent = made(tmp_path)
    run(agent, 6)
    agent.node.kernel.mode = Mode.DRY_RUN
    before = process_of(agent).huge_pages
    run(agent)
    assert process_of(agent).huge_pages == before
