import errno

import pytest

from builders.twin_node import TwinNode
from plimsoll_nodeagent.act.actor import boot_id
from plimsoll_nodeagent.act.damon import ADMIN, noted
from plimsoll_nodeagent.act.journal import Journal
from plimsoll_nodeagent.act.watching import Watching, settings
from plimsoll_nodeagent.capabilities import Engine
from plimsoll_nodeagent.kernelfs import Answer
from plimsoll_nodeagent.sample.damon import read_regions
from plimsoll_nodeagent.sample.probe import damon_fact

TWO = Watching((500, 501))


def text(node: TwinNode, name: str) -> str:
    return (node.root / ADMIN.strip("/") / name).read_text().strip()


def started(tmp_path, watching=TWO, slots=2):
    node = TwinNode(tmp_path)
    damon = node.actor().damon
    assert damon.take(slots) is Answer.DONE
    assert damon.start(0, watching) is Answer.DONE
    return node, damon


def test_slots_are_taken_once_and_used_in_turn(tmp_path):
    node, damon = started(tmp_path)
    assert (text(node, "nr_kdamonds"), text(node, "0/state"), text(node, "1/state")) == ("2", "on", "off")
    first_thread = text(node, "0/pid")
    assert damon.start(0, Watching((777,))) is Answer.DONE
    assert text(node, "nr_kdamonds") == "2"
    assert text(node, "0/pid") != first_thread
    assert text(node, "0/contexts/0/targets/0/pid_target") == "777"


def test_regions_are_told_apart_by_target(tmp_path):
    node, damon = started(tmp_path)
    node.kernel.damon.regions = {
        500: [(0x2000, 0x3000, 0, 50), (0x1000, 0x2000, 20, 3)],
        501: [(0x9000, 0xA000, 5, 1)],
    }
    first, second = read_regions(node.kernel, damon, 0, TWO)
    assert (first.pid, second.pid) == (500, 501)
    assert first.starts.tolist() == [0x1000, 0x2000]
    assert first.accesses.tolist() == [20, 0]
    assert first.idle_seconds.tolist() == [0.0, 5.0]
    assert (first.most_accesses, second.accesses.tolist()) == (20, [5])


def test_an_idle_target_has_no_regions(tmp_path):
    node, damon = started(tmp_path)
    assert [len(each.starts) for each in read_regions(node.kernel, damon, 0, TWO)] == [0, 0]


def test_a_region_that_is_replaced_while_it_is_read_is_left_out(tmp_path):
    node, damon = started(tmp_path)
    node.kernel.damon.regions = {500: [(0, 4096, 1, 1), (4096, 8192, 2, 2)]}
    node.kernel.fail("0/nr_accesses", errno.ENOENT)
    first, _ = read_regions(node.kernel, damon, 0, TWO)
    assert first.accesses.tolist() == [2]


def test_kdamonds_of_somebody_else_are_left_alone(tmp_path):
    node = TwinNode(tmp_path)
    (tmp_path / ADMIN.strip("/") / "nr_kdamonds").write_text("1\n")
    damon = node.actor().damon
    assert damon.take(2) is Answer.BUSY
    assert damon.start(0, TWO) is Answer.REFUSED
    assert damon.stop(0) is Answer.REFUSED
    damon.close()
    assert text(node, "nr_kdamonds") == "1"
    assert not node.kernel.notes


def test_damon_stat_that_holds_the_monitor_is_busy(tmp_path):
    node = TwinNode(tmp_path)
    node.kernel.damon.held_by_other = True
    damon = node.actor().damon
    assert damon.take(2) is Answer.DONE
    assert damon.start(0, TWO) is Answer.BUSY
    damon.close()
    assert text(node, "nr_kdamonds") == "0"
    assert node.journal().names() == []


def test_a_slot_whose_thread_is_not_ours_is_neither_read_nor_stopped(tmp_path):
    node, damon = started(tmp_path)
    (tmp_path / ADMIN.strip("/") / "0/pid").write_text("4242\n")  # somebody restarted it
    assert read_regions(node.kernel, damon, 0, TWO) is Answer.REFUSED
    assert damon.stop(0) is Answer.REFUSED
    damon.close()
    assert text(node, "0/state") == "on"


def test_a_slot_whose_processes_have_all_ended_is_used_again(tmp_path):
    node, damon = started(tmp_path)
    kdamond = tmp_path / ADMIN.strip("/") / "0"
    (kdamond / "state").write_text("off\n")  # the kernel's thread has ended with them
    (kdamond / "pid").write_text("-1\n")
    assert read_regions(node.kernel, damon, 0, TWO) is Answer.REFUSED
    assert damon.start(0, TWO) is Answer.DONE
    assert text(node, "0/state") == "on"


def test_a_slot_that_somebody_else_has_switched_on_is_left_alone(tmp_path):
    node, damon = started(tmp_path)
    kdamond = tmp_path / ADMIN.strip("/") / "1"
    (kdamond / "state").write_text("on\n")
    (kdamond / "pid").write_text("4242\n")
    assert damon.start(1, TWO) is Answer.BUSY
    assert text(node, "1/contexts/nr_contexts") == "0"
    assert damon.close() is Answer.BUSY
    assert text(node, "1/state") == "on"


@pytest.mark.parametrize("others", [0, 1, 2])
def test_kdamonds_that_were_taken_away_are_forgotten_and_those_made_in_their_place_are_left_alone(
    tmp_path, others
):
    node, damon = started(tmp_path)
    admin = tmp_path / ADMIN.strip("/")
    node.kernel.damon.write(admin / "0/state", "off")
    for number in (0, others):
        node.kernel.damon.write(admin / "nr_kdamonds", str(number))
    node.kernel.notes.clear()
    assert damon.start(0, TWO) is Answer.GONE
    assert damon.close() is Answer.DONE
    assert not node.kernel.notes, "nothing is written"
    assert damon.slots == 0
    assert node.journal().names() == []
    assert damon.take(2) is (Answer.BUSY if others else Answer.DONE)


def test_at_exit_the_kdamonds_are_given_back(tmp_path):
    node, damon = started(tmp_path)
    assert damon.close() is Answer.DONE
    assert text(node, "nr_kdamonds") == "0"
    assert node.journal().names() == []


def test_after_a_kill_the_next_agent_gives_them_back(tmp_path):
    node, _killed = started(tmp_path)
    assert list(node.actor().recover().values()) == [Answer.DONE]
    assert text(node, "nr_kdamonds") == "0"
    assert node.actor().damon.take(2) is Answer.DONE


def test_after_a_kill_a_thread_that_is_not_in_the_journal_is_left_alone(tmp_path):
    node, _killed = started(tmp_path)
    (tmp_path / ADMIN.strip("/") / "0/pid").write_text("4242\n")
    assert list(node.actor().recover().values()) == [Answer.REFUSED]
    assert text(node, "0/state") == "on"


def test_killed_between_switching_on_and_noting_the_thread_it_is_still_given_back(tmp_path):
    node, _killed = started(tmp_path)
    record = tmp_path / "state/damon.json"
    record.write_text(record.read_text().replace(f"0:{text(node, '0/pid')}", "0:0"))
    assert list(node.actor().recover().values()) == [Answer.DONE]
    assert text(node, "nr_kdamonds") == "0"


def seen_beside(node: TwinNode, directory) -> str:
    """What a second process finds, that only reads the journal of the first: why there is no DAMON for it."""
    records = Journal.of_another(directory / "state")
    return damon_fact(
        node.kernel, Engine.ACCESSES, lambda: noted(node.kernel, records, boot_id(node.kernel))
    ).why


def test_who_looks_beside_a_running_agent_knows_its_kdamonds_by_its_journal(tmp_path):
    node, damon = started(tmp_path)
    assert seen_beside(node, tmp_path) == ""
    assert damon.stop(0) is Answer.DONE
    assert seen_beside(node, tmp_path) == ""
    (tmp_path / ADMIN.strip("/") / "0/state").write_text("on\n")  # by somebody else
    assert seen_beside(node, tmp_path) == "somebody else has 2 kdamonds"
    assert damon_fact(node.kernel, Engine.ACCESSES).why == "somebody else has 2 kdamonds"


def test_a_journal_of_another_boot_or_a_torn_one_tells_of_nobodys_kdamonds(tmp_path):
    node, _damon = started(tmp_path)
    record = tmp_path / "state/damon.json"
    kept = record.read_text()
    record.write_text(kept.replace(boot_id(node.kernel), "another-boot"))
    assert "somebody else" in seen_beside(node, tmp_path)
    record.write_text(kept[: len(kept) // 2])
    assert "somebody else" in seen_beside(node, tmp_path)
    assert record.read_text() == kept[: len(kept) // 2], "who only looks puts nothing aside"
    assert Journal.of_another(tmp_path / "nowhere") == []
    assert not (tmp_path / "nowhere").exists()


def test_a_kernel_without_damon_is_told(tmp_path):
    node = TwinNode(tmp_path)
    node.kernel.fail("nr_kdamonds", errno.ENOENT)
    assert node.actor().damon.take(1) is Answer.UNSUPPORTED


def test_several_targets_need_filters_that_older_kernels_lack(tmp_path):
    node = TwinNode(tmp_path)
    (tmp_path / "proc/sys/kernel/osrelease").write_text("6.1.0-18-amd64\n")
    damon = node.actor().damon
    damon.take(1)
    assert damon.start(0, TWO) is Answer.UNSUPPORTED
    assert damon.start(0, Watching((500,))) is Answer.DONE


def test_of_several_targets_each_has_a_scheme_of_its_own_that_only_counts():
    pairs = dict(settings(Watching((7, 8))))
    assert pairs["contexts/0/schemes/nr_schemes"] == 2
    indices = [pairs[f"contexts/0/schemes/{number}/filters/0/damon_target_idx"] for number in range(2)]
    assert indices == [0, 1]
    assert [pairs[f"contexts/0/schemes/{number}/action"] for number in range(2)] == ["stat", "stat"]


def test_nobody_to_watch_starts_nothing(tmp_path):
    damon = TwinNode(tmp_path).actor().damon
    damon.take(1)
    assert damon.start(0, Watching(())) is Answer.REFUSED
