"""cpuset.mems on the twin: written where nobody has, left to others, emptied again in every way an agent
ends.
"""

import pytest

from builders.twin_node import TwinNode
from plimsoll_nodeagent.act.outcome import ActionKind
from plimsoll_nodeagent.kernelfs import Answer, Mode


def made(root, mems="\n", **of):
    node = TwinNode(root, **of)
    if mems is not None:
        node.file(1, "cpuset.mems").write_text(mems)
    return node, node.actor(node.container())


def mems(node):
    return node.file(1, "cpuset.mems").read_text().strip()


def test_it_is_written_where_nobody_has_and_emptied_when_it_ends(tmp_path):
    node, actor = made(tmp_path)
    outcome = actor.bind(node.container(), (0, 1))
    assert (outcome.answer, mems(node)) == (Answer.DONE, "0,1")
    assert actor.bind(node.container(), (0, 1)).detail == "bound before"
    assert len(node.journal().names()) == 1
    actor.let_go(node.container())
    assert (mems(node), node.journal().names(), len(actor.bindings)) == ("", [], 0)
    assert actor.counts[ActionKind.BIND, Answer.DONE] == 3


@pytest.mark.parametrize("theirs", ["1\n", "0-1\n", "rubbish\n"])
def test_what_others_have_named_is_never_written(tmp_path, theirs):
    node, actor = made(tmp_path, theirs)
    assert actor.bind(node.container(), (0,)).answer is Answer.REFUSED
    assert (mems(node), node.journal().names()) == (theirs.strip(), [])


def test_a_kernel_without_the_file_has_nothing_to_bind(tmp_path):
    node, actor = made(tmp_path, None)
    assert actor.bind(node.container(), (0,)).answer is not Answer.DONE
    assert node.journal().names() == []


def test_what_another_writes_over_ours_is_theirs(tmp_path):
    node, actor = made(tmp_path)
    actor.bind(node.container(), (1,))
    node.file(1, "cpuset.mems").write_text("0\n")
    with node.kernel.open(node.container().path) as cgroup:
        assert not actor.bindings.is_ours(node.container(), cgroup)
    actor.close()
    assert (mems(node), node.journal().names()) == ("0", [])


def test_the_kernels_way_of_writing_a_list_is_still_ours(tmp_path):
    node, actor = made(tmp_path)
    actor.bind(node.container(), (0, 1))
    node.file(1, "cpuset.mems").write_text("0-1\n")
    with node.kernel.open(node.container().path) as cgroup:
        assert actor.bindings.is_ours(node.container(), cgroup)


@pytest.mark.parametrize("end", ["close", "policy", "killed"])
def test_every_end_empties_it(tmp_path, end):
    node, actor = made(tmp_path)
    actor.bind(node.container(), (1,))
    if end == "close":
        actor.close()
    elif end == "policy":
        actor.permit([])
    else:
        assert set(node.actor(node.container()).recover().values()) == {Answer.DONE}
    assert (mems(node), node.journal().names()) == ("", [])


def test_a_record_of_what_was_never_written_takes_nothing_from_another(tmp_path):
    node, actor = made(tmp_path)
    actor.bind(node.container(), (1,))
    node.file(1, "cpuset.mems").write_text("0\n")
    assert set(node.actor().recover().values()) == {Answer.REFUSED}
    assert mems(node) == "0"


def test_without_a_policy_or_in_a_trial_run_nothing_is_bound(tmp_path):
    node, actor = made(tmp_path)
    actor.permit([])
    assert actor.bind(node.container(), (1,)).detail == "no policy"
    other, dry = made(tmp_path / "dry", mode=Mode.DRY_RUN)
    assert dry.bind(other.container(), (1,)).answer is not Answer.DONE
    assert (mems(node), mems(other)) == ("", "")
