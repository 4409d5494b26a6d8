"""Pods come and go while the agent acts: nothing grows, neither descriptors nor tables nor the journal."""

import gc
import shutil
from pathlib import Path

from builders.agents import PSI, AgentOn
from builders.cgroup_tree import container_id
from builders.kept import kept
from builders.twin_node import MIB, ROOT, TwinNode
from plimsoll_nodeagent.act.container import opened
from plimsoll_nodeagent.act.reclaim import Reclaim
from plimsoll_nodeagent.discover.tracker import Tracker
from plimsoll_nodeagent.kernelfs import Answer, TwinProcess
from plimsoll_nodeagent.sample.triggers import PressureTriggers, Threshold

PODS = 200
FILES = {
    "cgroup.procs": "",
    "memory.current": f"{4 * MIB}\n",
    "memory.high": "max\n",
    "memory.pressure": "",
    "memory.reclaim": "",
    "memory.stat": f"anon 0\nfile {4 * MIB}\n",
}


# What the loop keeps of each container while it is there: were that nothing, nothing could be forgotten.
PER_CONTAINER = (
    ".watch._tracker.containers",
    ".ages.looked",
    ".reclaimer.controlled",
    ".reclaimer.stalls._files._held",
    ".events._files._held",
    ".pressing.forecasts.spoken",
    ".pressing.policy._scopes",
    ".triggers._keys",
    ".limits._known",
)


def descriptors() -> int:
    gc.collect()
    return len(list(Path("/proc/self/fd").iterdir()))


def pods_come(node: TwinNode, turn: int, count: int) -> None:
    for pod in range(count):
        directory = node.tree.pod_path(pod) / container_id(turn * 1000 + pod)
        directory.mkdir(parents=True)
        for name, text in FILES.items():
            (directory / name).write_text(text)


def test_two_hundred_pods_a_minute_leave_nothing(tmp_path):
    node = TwinNode(tmp_path, containers=0)
    tracker, actor = Tracker(node.kernel, ROOT), node.actor()
    sizes = []
    with PressureTriggers(node.kernel, Threshold()) as triggers:
        for turn in range(2):
            pods_come(node, turn, PODS)
            tracker.look()
            containers = list(tracker.containers.values())
            actor.permit(containers)
            assert triggers.follow(containers) == {Answer.DONE: PODS}
            for each in containers[:20]:
                assert actor.act(Reclaim(each, MIB)).answer is Answer.DONE
                assert actor.lease(each, 2 * MIB, 30).answer is Answer.DONE
            for pod in range(PODS):
                shutil.rmtree(node.tree.pod_path(pod))
            tracker.look()
            actor.permit(tracker.containers.values())
            triggers.follow(tracker.containers.values())
            held = (len(tracker.containers), len(triggers), len(actor.leases), len(node.journal().names()))
            sizes.append((*held, descriptors()))
    assert sizes[0][:4] == (0, 0, 0, 0)
    assert sizes[0] == sizes[1]


def minute(agent: AgentOn, turn: int) -> tuple[dict[str, int], int]:
    """Pods come, are acted on and go within a minute; returns what the loop kept while they were there."""
    node, loop = agent.node, agent.made.agent
    numbers = range(1 + turn * PODS, 1 + (turn + 1) * PODS)
    for number in numbers:
        directory = node.add(number)
        node.tree.write(directory / "memory.pressure", PSI.format(avg10=0.0, total=0))
        node.tree.write(directory / "cgroup.procs", f"{PODS + number}\n")
        node.kernel.processes.add(TwinProcess(PODS + number, pages=16))
    found = node.discovered()
    agent.generations([each.path for each in found])
    for each in range(4):
        agent.tick(1, seconds=10.0)
        if each == 0:
            assert loop.actor.lease(found[0], MIB, 60.0).answer is Answer.DONE
        for _ in range(3):
            agent.now += 1.0
            loop.heed(0.0, lambda: agent.now)
    held = kept(loop), descriptors()
    for number in numbers:
        node.kernel.processes.end(PODS + number)
        node.tree.remove_pod(number)
    agent.tick(1, seconds=7.0)
    agent.now += 1.0
    loop.heed(0.0, lambda: agent.now)
    return held


def test_an_agent_with_two_hundred_pods_a_minute_keeps_nothing_of_those_that_went(tmp_path):
    policy = {"importance": "Low", "reclaim": {"mode": "Predictive", "refaultBudget": 0.05}}
    agent = AgentOn(tmp_path, containers=0, policy=policy)
    loop, left = agent.made.agent, []
    loop.looks.cpu = lambda: 0.0
    for turn in range(2):
        held, files = minute(agent, turn)
        assert {path: held[path] for path in PER_CONTAINER if held[path] < PODS} == {}
        assert held[".actor.leases._held"] == 1
        assert held[".looks.rota._turns"] == 2
        assert files > 3 * PODS  # PSI, memory.events, a trigger
        left.append((kept(loop), descriptors(), agent.node.journal().names()))
    assert left[0][2] == []
    assert left[0] == left[1]
    assert not loop.stage_failures


def test_five_hundred_containers_are_followed_with_one_descriptor_each(tmp_path):
    node = TwinNode(tmp_path, containers=0)
    pods_come(node, 0, 500)
    tracker = Tracker(node.kernel, ROOT)
    tracker.look()
    containers = list(tracker.containers.values())
    before = descriptors()
    with PressureTriggers(node.kernel, Threshold()) as triggers:
        assert triggers.follow(containers) == {Answer.DONE: 500}
        assert descriptors() == before + 501
        node.kernel.stall(containers[321].path)
        assert triggers.stalled() == {containers[321].key}
        for each in containers:
            with opened(node.kernel, each) as cgroup:
                assert cgroup.inode == each.cgroup_inode
        assert descriptors() == before + 501
    assert descriptors() == before
