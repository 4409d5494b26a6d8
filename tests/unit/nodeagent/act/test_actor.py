import errno
import shutil

import pytest

from builders.cgroup_tree import MIB
from builders.twin_node import TwinNode
from plimsoll_nodeagent.act.actor import AGAIN_SECONDS, Actor
from plimsoll_nodeagent.act.journal import Record
from plimsoll_nodeagent.act.numa import Compact
from plimsoll_nodeagent.act.outcome import ActionKind
from plimsoll_nodeagent.act.reclaim import Reclaim
from plimsoll_nodeagent.act.watching import Watching
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


def lease_left(node: TwinNode, actor: Actor) -> None:
    actor.lease(node.container(), 32 * MIB, 30)


def binding_left(node: TwinNode, actor: Actor) -> None:
    actor.bind(node.container(), (1,))


def watch_left(_: TwinNode, actor: Actor) -> None:
    actor.damon.take(1)
    actor.damon.start(0, Watching((500,)))


@pytest.mark.parametrize(
    ("leave", "fails"), [(lease_left, "memory.high"), (binding_left, "cpuset.mems"), (watch_left, "state")]
)
def test_what_cannot_be_taken_back_at_the_start_is_later_and_nothing_is_set_over_it(tmp_path, leave, fails):
    """One EBUSY had left it set for good, and the next lease had taken it for what was before."""
    node = TwinNode(tmp_path)
    node.file(1, "cpuset.mems").write_text("\n")
    leave(node, node.actor(node.container()))
    assert len(node.journal().names()) == 1
    node.kernel.fail(fails, errno.EBUSY)
    actor = node.actor(node.container())
    assert list(actor.recover().values()) == [Answer.BUSY]
    if leave is watch_left:
        assert actor.damon.take(1) is Answer.BUSY
    else:
        for outcome in (actor.lease(node.container(), MIB, 5.0), actor.bind(node.container(), (0,))):
            assert (outcome.answer, outcome.detail) == (
                Answer.REFUSED, "what a killed agent had set is not taken back yet",
            )  # fmt: skip
    actor.tick()
    assert len(node.journal().names()) == 1, "not at once again"
    node.clock.seconds += AGAIN_SECONDS
    actor.tick()
    assert node.journal().names() == []
    assert node.file(1, "memory.high").read_text().strip() == "max"
    assert node.file(1, "cpuset.mems").read_text().strip() == ""
    assert actor.damon.take(1) is Answer.DONE
    assert actor.lease(node.container(), 16 * MIB, 5.0).acted


def test_what_could_not_be_taken_back_is_tried_once_more_at_the_end(tmp_path):
    node = TwinNode(tmp_path)
    lease_left(node, node.actor(node.container()))
    node.kernel.fail("memory.high", errno.EBUSY)
    actor = node.actor(node.container())
    actor.recover()
    actor.close()
    assert node.journal().names() == []
    assert node.file(1, "memory.high").read_text().strip() == "max"


def test_recovery_on_a_node_whose_cgroups_have_gone_ends(tmp_path):
    node = TwinNode(tmp_path, containers=2)
    actor = node.actor(node.container(1), node.container(2))
    for number in (1, 2):
        actor.lease(node.container(number), 32 * MIB, 30)
    shutil.rmtree(node.file(1, ""))
    found = node.actor().recover()
    assert sorted(found.values()) == [Answer.DONE, Answer.GONE]
    assert node.journal().names() == []
