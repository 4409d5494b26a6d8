import shutil

from builders.twin_node import TwinNode
from plimsoll_nodeagent.kernelfs import Answer, TwinProcess
from plimsoll_nodeagent.sample.damon_rota import DamonRota

REGION = (0x1000, 0x2000, 3, 1)


def rota_of(tmp_path, containers: int, slots: int = 1, **more) -> tuple[TwinNode, DamonRota]:
    node = TwinNode(tmp_path, containers=containers)
    for number in range(1, containers + 1):
        node.process(500 + number, number)
        node.kernel.damon.regions[500 + number] = [REGION]
    damon = node.actor().damon
    assert damon.take(slots) is Answer.DONE
    return node, DamonRota(node.kernel, damon, look_seconds=5.0, **more)


def pids(looks) -> list[int]:
    return [each.pid for look in looks for each in look.regions]


def test_containers_share_a_slot_in_turn_and_nobody_starves(tmp_path):
    node, rota = rota_of(tmp_path, containers=3)
    found = node.discovered()
    seen = [pids(rota.step(now * 5.0, found)) for now in range(7)]
    assert seen[0] == []
    assert sorted(pid for each in seen[1:4] for pid in each) == [501, 502, 503]
    assert seen[1:4] == seen[4:7]


def test_a_look_is_not_cut_short(tmp_path):
    node, rota = rota_of(tmp_path, containers=2)
    found = node.discovered()
    rota.step(0.0, found)
    assert rota.step(4.9, found) == []
    (look,) = rota.step(5.0, found)
    assert look.watched_seconds == 5.0
    assert look.regions[0].accesses.tolist() == [3]


def test_with_a_slot_for_each_nothing_is_started_anew(tmp_path):
    node, rota = rota_of(tmp_path, containers=2, slots=2)
    found = node.discovered()
    rota.step(0.0, found)
    started = len(node.kernel.notes)
    assert sorted(pids(rota.step(5.0, found))) == [501, 502]
    assert sorted(pids(rota.step(10.0, found))) == [501, 502]
    assert {note.text for note in list(node.kernel.notes)[started:]} == {"update_schemes_tried_regions"}


def test_new_processes_of_a_container_are_watched_too(tmp_path):
    node, rota = rota_of(tmp_path, containers=1)
    found = node.discovered()
    rota.step(0.0, found)
    node.process(700)
    node.kernel.damon.regions[700] = [REGION]
    assert pids(rota.step(5.0, found)) == [501]
    assert pids(rota.step(10.0, found)) == [501, 700]


def test_a_container_that_goes_frees_its_slot_and_is_forgotten(tmp_path):
    node, rota = rota_of(tmp_path, containers=2)
    first, second = node.discovered()
    rota.step(0.0, [first])
    shutil.rmtree(node.file(1, ""))
    assert rota.step(1.0, [second]) == []
    assert pids(rota.step(6.0, [second])) == [502]
    assert rota.step(7.0, []) == []
    assert rota._seen_seconds == {}
    assert rota._turns == {}


def test_a_recycled_pid_gives_no_regions(tmp_path):
    node, rota = rota_of(tmp_path, containers=1)
    found = node.discovered()
    rota.step(0.0, found)
    node.kernel.processes.end(501)
    node.kernel.processes.add(TwinProcess(501, started_ticks=999))
    (look,) = rota.step(5.0, found)
    assert look.regions == ()


def test_the_largest_processes_are_watched(tmp_path):
    node, rota = rota_of(tmp_path, containers=1, most_pids=2)
    for pid, pages in ((501, 10), (601, 5000), (602, 300)):
        if pid != 501:
            node.process(pid)
        node.tree.write(tmp_path / f"proc/{pid}/statm", f"9999 {pages} 0 0 0 0 0\n")
    rota.step(0.0, node.discovered())
    assert rota._turns[0].watching.pids == (601, 602)


def test_a_container_without_processes_takes_no_turn(tmp_path):
    node, rota = rota_of(tmp_path, containers=2)
    found = node.discovered()
    node.file(1, "cgroup.procs").write_text("")
    rota.step(0.0, found)
    assert rota._turns[0].container == found[1]


def test_damon_that_is_held_is_counted_and_asked_again(tmp_path):
    node, rota = rota_of(tmp_path, containers=2)
    node.kernel.damon.held_by_other = True
    found = node.discovered()
    assert rota.step(0.0, found) == []
    assert rota.failures == {Answer.BUSY: 1}
    node.kernel.damon.held_by_other = False
    rota.step(1.0, found)
    assert pids(rota.step(6.0, found)) != []


def test_a_clock_that_goes_back_ends_a_look_and_not_the_rota(tmp_path):
    node, rota = rota_of(tmp_path, containers=1)
    found = node.discovered()
    rota.step(1000.0, found)
    (look,) = rota.step(10.0, found)
    assert look.watched_seconds == 0.0
    assert pids(rota.step(15.0, found)) == [501]


def test_stopping_ends_all_turns(tmp_path):
    node, rota = rota_of(tmp_path, containers=2, slots=2)
    rota.step(0.0, node.discovered())
    rota.stop()
    assert node.kernel.damon.running() == []
