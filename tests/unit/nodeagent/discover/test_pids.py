import pytest

from builders.twin_node import TwinNode
from plimsoll_nodeagent.discover.pids import MOST_CGROUPS, MOST_PIDS, member_pids
from plimsoll_nodeagent.kernelfs import Absence


def members(node: TwinNode, **more):
    with node.kernel.open(node.container().path) as cgroup:
        return member_pids(cgroup, **more)


def test_pids_of_the_container_and_of_the_cgroups_below_it(tmp_path):
    node = TwinNode(tmp_path)
    path = node.file(1, "")
    (path / "cgroup.procs").write_text("30\n20\n")
    node.tree.write(path / "init.scope/cgroup.procs", "1000\n")
    node.tree.write(path / "system.slice/a.service/cgroup.procs", "7\n")
    node.tree.write(path / "system.slice/cgroup.procs", "")
    found = members(node)
    assert (found.pids, found.cut, found.absence) == ((7, 20, 30, 1000), False, None)


def test_a_fork_bomb_is_cut(tmp_path):
    node = TwinNode(tmp_path)
    procs = node.file(1, "cgroup.procs")
    procs.write_text("".join(f"{pid}\n" for pid in range(1, 40_000)))
    found = members(node)
    assert (len(found.pids), found.cut) == (MOST_PIDS, True)


def test_a_forest_of_cgroups_is_cut(tmp_path):
    node = TwinNode(tmp_path)
    for number in range(200):
        node.tree.write(node.file(1, f"c{number}") / "cgroup.procs", f"{number + 1}\n")
    found = members(node)
    assert found.cut
    assert len(found.pids) <= MOST_CGROUPS


def test_processes_of_another_pid_namespace_are_counted_and_not_named(tmp_path):
    node = TwinNode(tmp_path)
    node.file(1, "cgroup.procs").write_text("0\n0\n5\n")
    found = members(node)
    assert (found.pids, found.unseen) == ((5,), 2)


@pytest.mark.parametrize("text", ["", "12\nabc\n-4\n99999999999\n"])
def test_garbage_is_no_pid(tmp_path, text):
    node = TwinNode(tmp_path)
    node.file(1, "cgroup.procs").write_text(text)
    assert members(node).pids == ((12,) if text else ())


def test_a_container_that_has_gone_has_none(tmp_path):
    node = TwinNode(tmp_path)
    node.file(1, "cgroup.procs").unlink()
    found = members(node)
    assert (found.pids, found.absence) == ((), Absence.GONE)
