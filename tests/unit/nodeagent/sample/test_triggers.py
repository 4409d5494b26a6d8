import asyncio
import errno
import os
import select
import shutil
import socket
from pathlib import Path

from builders.twin_node import TwinNode
from plimsoll_nodeagent.kernelfs import Answer, Mode, Trigger
from plimsoll_nodeagent.sample.triggers import KUBE_NODE, PressureTriggers, Threshold

LIMIT = Threshold(stall_seconds=0.15, window_seconds=2.0)


def test_a_threshold_is_written_in_microseconds():
    assert LIMIT.text() == "some 150000 2000000"
    assert Threshold(0.05, 1.0, "full").text() == "full 50000 1000000"


def test_only_who_stalls_is_told_and_only_once(tmp_path):
    node = TwinNode(tmp_path, containers=2)
    first, second = node.discovered()
    with PressureTriggers(node.kernel, LIMIT) as triggers:
        assert triggers.follow([first, second]) == {Answer.DONE: 2}
        assert triggers.stalled() == frozenset()
        node.kernel.stall(second.path)
        assert triggers.stalled() == {second.key}
        assert triggers.stalled() == frozenset()


def test_the_node_has_a_trigger_of_its_own(tmp_path):
    node = TwinNode(tmp_path)
    with PressureTriggers(node.kernel, LIMIT) as triggers:
        assert triggers.watch_kube_node() is Answer.DONE
        triggers.follow(node.discovered())
        node.kernel.stall("/proc/pressure")
        assert triggers.stalled() == {KUBE_NODE}


async def test_an_event_loop_is_woken(tmp_path):
    node = TwinNode(tmp_path)
    (container,) = node.discovered()
    woken = asyncio.Event()
    with PressureTriggers(node.kernel, LIMIT) as triggers:
        triggers.watch(container)
        asyncio.get_running_loop().add_reader(triggers.fileno(), woken.set)
        node.kernel.stall(container.path)
        await asyncio.wait_for(woken.wait(), 5)
        asyncio.get_running_loop().remove_reader(triggers.fileno())
        assert triggers.stalled() == {container.key}


async def test_what_speaks_by_epollpri_and_is_always_readable_wakes_the_loop_only_when_it_speaks(tmp_path):
    """As pressure files do: a socket with data is readable throughout, and urgent data is EPOLLPRI."""
    node = TwinNode(tmp_path)
    (container,) = node.discovered()
    listener = socket.create_server(("127.0.0.1", 0))
    sender = socket.create_connection(listener.getsockname())
    receiver, _ = listener.accept()
    sender.send(b"always readable")
    node.kernel.set_trigger = lambda *_: Trigger(os.dup(receiver.fileno()), select.EPOLLPRI)
    wakes = []
    with listener, sender, receiver, PressureTriggers(node.kernel, LIMIT) as triggers:
        triggers.watch(container)
        assert select.select([receiver], [], [], 5)[0]
        assert triggers.stalled() == frozenset()
        loop = asyncio.get_running_loop()
        loop.add_reader(triggers.fileno(), lambda: (wakes.append(1), loop.remove_reader(triggers.fileno())))
        await asyncio.sleep(0)
        assert wakes == []
        sender.send(b"!", socket.MSG_OOB)
        assert triggers.stalled(5.0) == {container.key}


def test_containers_that_go_give_their_triggers_back(tmp_path):
    node = TwinNode(tmp_path, containers=3)
    first, second, third = node.discovered()
    before = len(list(Path("/proc/self/fd").iterdir()))
    triggers = PressureTriggers(node.kernel, LIMIT)
    triggers.follow([first, second, third])
    triggers.follow([second])
    assert len(triggers) == 1
    node.kernel.stall(second.path)
    assert triggers.stalled() == {second.key}
    triggers.close()
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_a_cgroup_that_has_gone_or_is_another_has_no_trigger(tmp_path):
    node = TwinNode(tmp_path, containers=2)
    first, second = node.discovered()
    shutil.rmtree(node.file(1, ""))
    (tmp_path / second.path.strip("/")).rename(tmp_path / "kept, so that the inode is not given again")
    node.add(2)
    with PressureTriggers(node.kernel, LIMIT) as triggers:
        assert triggers.follow([first, second]) == {Answer.GONE: 2}


def test_a_kernel_that_refuses_triggers_is_told_so_that_the_caller_polls(tmp_path):
    node = TwinNode(tmp_path)
    node.kernel.fail("memory.pressure", errno.EINVAL)
    with PressureTriggers(node.kernel, LIMIT) as triggers:
        assert triggers.follow(node.discovered()) == {Answer.UNSUPPORTED: 1}
        assert len(triggers) == 0


def test_a_reading_door_sets_no_trigger(tmp_path):
    node = TwinNode(tmp_path, mode=Mode.READ)
    with PressureTriggers(node.kernel, LIMIT) as triggers:
        assert triggers.follow(node.discovered()) == {Answer.REFUSED: 1}
