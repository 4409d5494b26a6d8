from pathlib import Path

from builders.twin_node import TwinNode
from plimsoll_nodeagent.control.event_watch import EventWatch

EVENTS = "low 0\nhigh {high}\nmax {most}\noom 0\noom_kill {kills}\noom_group_kill 0\n"


def happened(node: TwinNode, number: int, high: int = 0, most: int = 0, kills: int = 0) -> None:
    node.file(number, "memory.events").write_text(EVENTS.format(high=high, most=most, kills=kills))


def asked(watch: EventWatch, node: TwinNode) -> list[int]:
    found = node.discovered()
    changed = watch.changed({each.key: each for each in found})
    return [number for number, each in enumerate(found, 1) if each.key in changed]


def test_whose_limit_was_met_and_who_was_killed_is_told_once(tmp_path):
    node = TwinNode(tmp_path, containers=3)
    watch = EventWatch(node.kernel)
    assert asked(watch, node) == []  # what was before is no news
    happened(node, 2, most=1)
    assert asked(watch, node) == [2]
    assert asked(watch, node) == []
    happened(node, 1, kills=1)
    happened(node, 2, most=1, high=7)
    assert asked(watch, node) == [1, 2]
    watch.close()


def test_files_are_held_and_those_of_containers_that_went_are_given_back(tmp_path):
    node = TwinNode(tmp_path, containers=2)
    watch = EventWatch(node.kernel)
    before = len(list(Path("/proc/self/fd").iterdir()))
    asked(watch, node)
    assert len(list(Path("/proc/self/fd").iterdir())) == before + 2
    node.tree.remove_pod(2)
    asked(watch, node)
    assert len(list(Path("/proc/self/fd").iterdir())) == before + 1
    watch.close()
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_a_file_that_is_not_there_tells_nothing(tmp_path):
    node = TwinNode(tmp_path, containers=2)
    watch = EventWatch(node.kernel)
    node.file(1, "memory.events").unlink()
    assert asked(watch, node) == []
    happened(node, 1, kills=1)
    assert asked(watch, node) == []
    happened(node, 2, kills=1)
    assert asked(watch, node) == [2]
    watch.close()
