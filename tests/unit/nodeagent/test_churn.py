"""Pods come and go while the agent acts: nothing grows, neither descriptors nor tables nor the journal."""

import gc
import shutil
from pathlib import Path

from builders.cgroup_tree import container_id
from builders.twin_node import MIB, ROOT, TwinNode
from plimsoll_nodeagent.act.container import opened
from plimsoll_nodeagent.act.reclaim import Reclaim
from plimsoll_nodeagent.discover.tracker import Tracker
from plimsoll_nodeagent.kernelfs import Answer
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
