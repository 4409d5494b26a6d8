"""PSI of containers, asked again and again through files that are held open."""

from pathlib import Path

import pytest

from builders.agents import PSI
from builders.twin_node import Clock, TwinNode
from plimsoll_nodeagent.control import held_texts as module
from plimsoll_nodeagent.control.stalls import StallWatch


def stalled(node: TwinNode, number: int, seconds: float) -> None:
    node.file(number, "memory.pressure").write_text(PSI.format(avg10=0.0, total=int(seconds * 1e6)))


def asked(watch: StallWatch, node: TwinNode, now: float) -> list[float]:
    found = watch.since({each.key: each for each in node.discovered()}, now)
    return [round(found[each.key], 6) for each in node.discovered() if each.key in found]


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


@pytest.fixture(params=[512, 0], ids=["held", "opened each time"])
def most_held(request, monkeypatch):
    monkeypatch.setattr(module, "MOST_HELD", request.param)


@pytest.mark.usefixtures("most_held")
def test_each_is_told_how_long_it_stalled_since_it_was_last_asked(tmp_path):
    node = TwinNode(tmp_path, containers=2)
    watch = StallWatch(node.kernel)
    for number in (1, 2):
        stalled(node, number, 1.0)
    assert asked(watch, node, 10.0) == []
    stalled(node, 1, 1.5)
    assert asked(watch, node, 12.0) == [0.25, 0.0]
    stalled(node, 2, 3.0)
    assert asked(watch, node, 13.0) == [0.0, 2.0]
    watch.close()


@pytest.mark.usefixtures("most_held")
@pytest.mark.parametrize("text", ["some avg10=0.00", "full avg10=0 total=5\n", "some total=x\n", ""])
def test_what_cannot_be_read_is_not_known_and_begins_anew(tmp_path, text: str):
    node = TwinNode(tmp_path)
    watch = StallWatch(node.kernel)
    stalled(node, 1, 1.0)
    asked(watch, node, 10.0)
    node.file(1, "memory.pressure").write_text(text)
    assert asked(watch, node, 11.0) == []
    stalled(node, 1, 9.0)
    assert asked(watch, node, 12.0) == []
    stalled(node, 1, 9.5)
    assert asked(watch, node, 13.0) == [0.5]
    watch.close()


@pytest.mark.usefixtures("most_held")
def test_in_the_middle_of_an_action_the_last_second_counts(tmp_path):
    node, clock = TwinNode(tmp_path), Clock()
    watch, one = StallWatch(node.kernel, clock), node.container(1)
    stalled(node, 1, 3.0)
    assert watch.in_between(one.key, one) == 0.0  # what was before is not this action's
    stalled(node, 1, 3.01)
    clock.seconds += 0.1
    assert watch.in_between(one.key, one) == pytest.approx(0.01)  # of a second, not of a tenth
    clock.seconds += 2.4
    stalled(node, 1, 3.25)
    assert watch.in_between(one.key, one) == pytest.approx(0.1)
    clock.seconds += 1.0
    stalled(node, 1, 3.75)
    assert watch.in_between(one.key, one) == pytest.approx(0.5)  # the calm before it is forgotten
    node.file(1, "memory.pressure").unlink()
    watch.close()
    assert watch.in_between(one.key, one) is None
    watch.close()


def test_a_look_at_all_is_where_counting_begins(tmp_path):
    node, clock = TwinNode(tmp_path), Clock()
    watch, one = StallWatch(node.kernel, clock), node.container(1)
    stalled(node, 1, 1.0)
    asked(watch, node, 10.0)
    stalled(node, 1, 1.5)
    assert watch.in_between(one.key, one) == pytest.approx(0.5)
    asked(watch, node, 11.0)
    assert watch.in_between(one.key, one) == 0.0
    watch.close()


def test_files_of_containers_that_went_are_given_back(tmp_path):
    node = TwinNode(tmp_path, containers=3)
    watch = StallWatch(node.kernel)
    before = open_files()
    asked(watch, node, 1.0)
    assert open_files() == before + 3
    gone = node.discovered()[2]
    node.tree.remove_pod(3)
    asked(watch, node, 2.0)
    assert gone.key not in watch._files._held
    assert open_files() == before + 2
    watch.close()
    assert open_files() == before


def test_another_cgroup_at_the_same_path_is_another(tmp_path):
    node = TwinNode(tmp_path)
    watch = StallWatch(node.kernel)
    stalled(node, 1, 1.0)
    old = node.container(1)
    assert watch.since({old.key: old}, 10.0) == {}
    watch.close()
    node.tree.remove_pod(1)
    (tmp_path / "spare").mkdir()  # takes the inode that is free
    node.add(1)
    stalled(node, 1, 100.0)
    assert watch.since({old.key: old}, 11.0) == {}
