import pytest

from builders.twin_node import TwinNode
from plimsoll_nodeagent.act.damon import ADMIN
from plimsoll_nodeagent.act.scheme import StartScheme
from plimsoll_nodeagent.act.watching import Quota, Scheme, SchemeAction, Space, Watching
from plimsoll_nodeagent.kernelfs import Answer

MIB = 1 << 20
COLD_FOR_A_MINUTE = Scheme(
    SchemeAction.PAGEOUT, most_accesses=0, least_age=600, quota=Quota(ms=10, bytes_=8 * MIB)
)


def prepared(tmp_path, containers=1):
    node = TwinNode(tmp_path, containers=containers)
    for number in range(1, containers + 1):
        node.process(500 + number, number)
    actor = node.actor(*node.discovered())
    assert actor.damon.take(2) is Answer.DONE
    return node, actor


def state(node: TwinNode) -> str:
    return (node.root / ADMIN.strip("/") / "0/state").read_text().strip()


def test_a_scheme_runs_within_its_quota(tmp_path):
    node, actor = prepared(tmp_path)
    outcome = actor.act(StartScheme(node.container(), (501,), COLD_FOR_A_MINUTE, actor.damon, 0))
    assert (outcome.answer, outcome.expected.resident_bytes) == (Answer.DONE, -8 * MIB)
    assert state(node) == "on"
    quotas = node.root / ADMIN.strip("/") / "0/contexts/0/schemes/0/quotas"
    assert [(quotas / name).read_text() for name in ("ms", "bytes")] == ["10\n", f"{8 * MIB}\n"]


def test_processes_of_another_container_are_refused(tmp_path):
    node, actor = prepared(tmp_path, containers=2)
    action = StartScheme(node.container(1), (501, 502), COLD_FOR_A_MINUTE, actor.damon, 0)
    assert actor.act(action).answer is Answer.REFUSED
    assert state(node) == "off"


def test_a_process_that_leaves_while_the_slot_is_switched_on_stops_it(tmp_path):
    node, actor = prepared(tmp_path)
    action = StartScheme(node.container(), (501,), COLD_FOR_A_MINUTE, actor.damon, 0)
    node.kernel.happen_before("0/state", lambda: node.file(1, "cgroup.procs").write_text(""))
    assert actor.act(action).answer is Answer.REFUSED
    assert state(node) == "off"


def test_a_scheme_on_a_container_that_is_no_longer_permitted_is_stopped(tmp_path):
    node, actor = prepared(tmp_path)
    actor.act(StartScheme(node.container(), (501,), COLD_FOR_A_MINUTE, actor.damon, 0))
    actor.permit(node.discovered())
    assert state(node) == "on"
    actor.permit(())
    assert state(node) == "off"


def test_no_processes_no_scheme(tmp_path):
    node, actor = prepared(tmp_path)
    assert (
        actor.act(StartScheme(node.container(), (), COLD_FOR_A_MINUTE, actor.damon, 0)).answer
        is Answer.REFUSED
    )


@pytest.mark.parametrize("space", list(Space))
def test_schemes_that_act_have_no_other_way_in(tmp_path, space):
    node, actor = prepared(tmp_path)
    watching = Watching(space, (501,), schemes=(COLD_FOR_A_MINUTE,))
    assert actor.damon.start(0, watching) is Answer.REFUSED
    assert state(node) == "off"


def test_physical_memory_is_everybody_s(tmp_path):
    _, actor = prepared(tmp_path)
    watching = Watching(Space.PHYSICAL, schemes=(COLD_FOR_A_MINUTE,))
    assert actor.damon.start_checked(0, watching) is Answer.REFUSED
