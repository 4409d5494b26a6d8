import shutil

from builders.cgroup_tree import MIB
from builders.twin_node import TwinNode
from plimsoll_nodeagent.act.actor import Actor
from plimsoll_nodeagent.act.journal import Record
from plimsoll_nodeagent.act.numa import Compact
from plimsoll_nodeagent.act.outcome import ActionKind
from plimsoll_nodeagent.act.reclaim import Reclaim
from plimsoll_nodeagent.kernelfs import Answer


def untouched(node: TwinNode, number: int) -> bool:
    return int(node.file(number, "memory.current").read_text()) == 64 * MIB


def test_no_container_outside_policy_is_touched(tmp_path):
    node = TwinNode(tmp_path, containers=3)
    actor = node.actor(node.container(2))
    for number in (1, 2, 3):
        actor.act(Reclaim(node.container(number), MIB))
        actor.lease(node.container(number), 32 * MIB, 5)
    assert untouched(node, 1)
    assert untouched(node, 3)
    assert not untouched(node, 2)
    assert [node.file(number, "memory.high").read_text().strip() for number in (1, 2, 3)] == [
        "max",
        str(32 * MIB),
        "max",
    ]


def test_without_any_policy_nothing_is_touched(tmp_path):
    node = TwinNode(tmp_path)
    actor = Actor(node.kernel, node.journal(), node.clock)
    outcome = actor.act(Reclaim(node.container(), MIB))
    assert (outcome.answer, outcome.detail) == (Answer.REFUSED, "no policy")
    assert untouched(node, 1)
    assert not node.kernel.notes


def test_a_container_made_anew_at_a_permitted_path_is_not_permitted(tmp_path):
    node = TwinNode(tmp_path)
    actor = node.actor(node.container())
    node.file(1, "").rename(tmp_path / "kept, so that the inode is not given again")
    node.add(1)
    assert actor.act(Reclaim(node.container(), MIB)).answer is Answer.REFUSED
    assert untouched(node, 1)


def test_actions_on_the_node_need_no_container(tmp_path):
    assert TwinNode(tmp_path).actor().act(Compact(0)).answer is Answer.DONE


def test_outcomes_are_timed_and_counted(tmp_path):
    node = TwinNode(tmp_path)
    actor = node.actor(node.container())

    def slow() -> bool:
        node.clock.seconds += 2.5
        return False

    outcome = actor.act(Reclaim(node.container(), MIB, stop=slow))
    assert outcome.took_seconds == 2.5
    assert outcome.as_dict()["measured"]["usage_bytes"] == -MIB
    assert actor.counts == {(ActionKind.RECLAIM, Answer.DONE): 1}


def test_a_clock_that_goes_back_gives_no_negative_time(tmp_path):
    node = TwinNode(tmp_path)

    def back() -> bool:
        node.clock.seconds -= 100
        return False

    assert node.actor(node.container()).act(Reclaim(node.container(), MIB, stop=back)).took_seconds == 0


def test_a_record_nobody_knows_is_left_to_nobody(tmp_path):
    node = TwinNode(tmp_path)
    node.journal().put(Record("other", "of a later version", "b007", {}, "", ("1",)))
    assert list(node.actor().recover().values()) == [Answer.REFUSED]
    assert node.journal().names() == []


def test_recovery_on_a_node_whose_cgroups_have_gone_ends(tmp_path):
    node = TwinNode(tmp_path, containers=2)
    actor = node.actor(node.container(1), node.container(2))
    for number in (1, 2):
        actor.lease(node.container(number), 32 * MIB, 30)
    shutil.rmtree(node.file(1, ""))
    found = node.actor().recover()
    assert sorted(found.values()) == [Answer.DONE, Answer.GONE]
    assert node.journal().names() == []
