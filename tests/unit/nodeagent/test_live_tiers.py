"""Tiers in the running agent: what is cold goes to a slow NUMA node where fast ones are short, and back."""

import numpy as np
import pytest

from builders.agents import AgentOn
from builders.watched_agents import HOT_PAGES, PAGES, PID, PREDICTIVE, looked, shown, watched
from plimsoll.pages.address_plan import Part
from plimsoll.pages.tiering import FIRST_PAUSE_SECONDS
from plimsoll_nodeagent.act.steps import STEP_BYTES
from plimsoll_nodeagent.capabilities import Engine, Level
from plimsoll_nodeagent.control import tiering
from plimsoll_nodeagent.kernelfs import PageKind, TwinProcess
from plimsoll_nodeagent.kernelfs.twin_process import PAGE_BYTES
from plimsoll_nodeagent.sample.numa import fast_numa_nodes, read_tiers

GIB = 1 << 30
NODES = "sys/devices/system/node"
MEMINFO = "Node {0} MemTotal: {1} kB\nNode {0} MemFree: {2} kB\n"
SHORT, PLENTY = GIB, 6 * GIB


def free(agent: AgentOn, numa_node: int, bytes_: int) -> None:
    text = MEMINFO.format(numa_node, 8 * GIB // 1024, bytes_ // 1024)
    agent.node.tree.write(agent.node.root / f"{NODES}/node{numa_node}/meminfo", text)


def made(directory, fast_free: int = SHORT, policy: dict = PREDICTIVE, has_cpu: str = "0\n") -> AgentOn:
    """An agent that knows its container's memory; NUMA node 1 has memory and no processors.

    The kernel keeps no generations: memory is looked at by address under Cold, too.
    """
    agent = watched(directory)
    root, write = agent.node.root, agent.node.tree.write
    (root / "sys/kernel/debug/lru_gen").unlink()
    write(root / f"{NODES}/has_cpu", has_cpu)
    write(root / f"{NODES}/node1/access0/initiators/read_latency", "310\n")
    free(agent, 0, fast_free)
    free(agent, 1, PLENTY)
    agent.say(policy)
    agent.start()
    agent.made.agent.looks.cpu = lambda: 0.0
    agent.tick(1)
    return agent


def process_of(agent: AgentOn) -> TwinProcess:
    return agent.node.kernel.processes._alive[PID]


def on_slow(agent: AgentOn) -> np.ndarray:
    return (process_of(agent).numa_nodes == 1) & process_of(agent).has(PageKind.PRESENT)


def known(agent: AgentOn) -> AgentOn:
    """Looked at so often that its plan by address says what is cold."""
    looked(agent, 60)
    plan = next(iter(agent.made.agent.reclaimer.controlled.values())).addresses
    assert plan is not None
    assert plan.cold_bytes > 0
    return agent


def run(agent: AgentOn, ticks: int) -> None:
    for _ in range(ticks):
        slow = int(on_slow(agent).sum()) * PAGE_BYTES
        agent.node.file(1, "memory.numa_stat").write_text(
            f"anon N0={PAGES * 4096} N1={slow}\nfile N0=0 N1=0\n"
        )
        agent.tick(1)


def test_slow_nodes_are_found_with_their_latency(tmp_path):
    agent = made(tmp_path)
    tiers = read_tiers(agent.node.kernel)
    assert [each.numa_node for each in tiers.fast] == [0]
    assert [(each.numa_node, each.read_latency_ns) for each in tiers.slow] == [(1, 310)]
    assert [each.numa_node for each in fast_numa_nodes(agent.node.kernel)] == [0]
    assert agent.made.agent.reclaimer.capabilities.level(Engine.TIERING) is Level.CPULESS


def test_what_is_cold_goes_down_and_what_is_hot_stays(tmp_path):
    agent = known(made(tmp_path))
    run(agent, 20)
    slow = on_slow(agent)
    assert slow[HOT_PAGES:].any()
    assert not slow[:HOT_PAGES].any()
    assert agent.made.agent.tierer.demoted_bytes_total >= int(slow.sum()) * PAGE_BYTES  # some went on to swap
    assert agent.made.agent.latest.actions_total["move", "done"] >= 1


@pytest.mark.parametrize(
    "of",
    [
        {"fast_free": PLENTY},
        {"policy": {"importance": "Low", "reclaim": {"mode": "Cold", "refaultBudget": 0.05}}},
        {"has_cpu": "0-1\n"},
    ],
    ids=["fast memory is free", "no policy for it, however well its memory is known", "no slow node"],
)
def test_nothing_goes_down_where_it_is_no_use_or_not_asked_for(tmp_path, of):
    agent = known(made(tmp_path, **of))
    run(agent, 20)
    assert not on_slow(agent).any()


@pytest.mark.parametrize("how", ["it stalls", "its policy says no more", "the agent is to end"])
def test_a_move_ends_after_a_step_and_is_booked_as_far_as_it_came(tmp_path, monkeypatch, how):
    agent = known(made(tmp_path))
    real, agent_ = agent.node.kernel.processes.move_pages, agent.made.agent

    def move_pages(pid, addresses, numa_nodes):
        found = real(pid, addresses, numa_nodes)
        if numa_nodes is not None:
            if how == "it stalls":
                agent.stall(1, 0.5)
            elif how == "its policy says no more":
                agent.say({"reclaim": {"mode": "Cold"}})
            else:
                agent_.reclaimer.brake.ended = lambda: True
        return found

    monkeypatch.setattr(agent.node.kernel.processes, "move_pages", move_pages)
    while not on_slow(agent).any():
        run(agent, 1)
    assert int(on_slow(agent).sum()) * PAGE_BYTES == STEP_BYTES
    assert agent_.tierer.demoted_bytes_total == STEP_BYTES
    assert agent_.tierer.outcomes["move", "partial"] == 1
    run(agent, 1)
    assert int(on_slow(agent).sum()) * PAGE_BYTES <= STEP_BYTES


def test_a_cpuset_that_names_numa_nodes_is_never_fought(tmp_path):
    agent = known(made(tmp_path))
    agent.node.file(1, "memory.current").with_name("cpuset.mems").write_text("0\n")
    run(agent, 20)
    assert not on_slow(agent).any()


def test_what_is_used_on_a_slow_node_comes_up_and_the_container_is_left_alone(tmp_path):
    agent = known(made(tmp_path))
    run(agent, 20)
    assert on_slow(agent).any()
    shown(agent.node, process_of(agent), PAGES)  # all of it is in use
    free(agent, 0, PLENTY)
    run(agent, 40)
    assert not on_slow(agent).any()
    assert agent.made.agent.latest.moved_bytes_total["faster"] > 0
    assert agent.made.agent.latest.trials_ended_total["slower"] == 1
    shown(agent.node, process_of(agent))
    free(agent, 0, SHORT)
    run(agent, int(0.5 * FIRST_PAUSE_SECONDS / 5.0))
    assert not on_slow(agent).any()


def test_nothing_comes_up_where_the_fast_node_is_full(tmp_path):
    agent = known(made(tmp_path))
    run(agent, 20)
    slow = int(on_slow(agent).sum())
    assert slow
    free(agent, 0, GIB // 2)
    free(agent, 1, 0)
    shown(agent.node, process_of(agent), PAGES)
    run(agent, 20)
    assert int(on_slow(agent).sum()) == slow


def test_of_more_than_a_step_asks_for_the_next_pages_are_asked_in_the_next(tmp_path, monkeypatch):
    monkeypatch.setattr(tiering, "MOST_PAGES", 100)
    agent = known(made(tmp_path))
    moved = []
    for _ in range(4):
        before = agent.made.agent.tierer.demoted_bytes_total
        run(agent, 6)
        moved.append(agent.made.agent.tierer.demoted_bytes_total - before)
    assert all(0 < each <= 100 * PAGE_BYTES for each in moved)


def test_pages_of_a_part_are_numbered_over_its_ranges():
    ranges = np.array([[0x1000, 3 * 4096], [0x9000, 2 * 4096]], dtype=np.uint64)
    part = Part((1, 1), ranges, np.zeros(0, np.int64))
    found = [each.tolist() for _, each in tiering._from([part, part], 2, 4)]
    assert found == [[0x3000, 0x9000, 0xA000], [0x1000]]
    assert [each.tolist() for _, each in tiering._from([part], 5, 4)] == []
