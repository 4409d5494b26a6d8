from builders.twin_node import TwinNode
from plimsoll_nodeagent.act.journal import Journal, Record
from plimsoll_nodeagent.kernelfs import Answer

RECORD = Record("high-7-abc", "memory.high", "b007", {"path": "/x", "inode": 7}, "max", ("1048576",))


def test_what_is_kept_is_read_by_the_next_agent(tmp_path):
    Journal(tmp_path / "state").put(RECORD)
    assert Journal(tmp_path / "state").records() == [RECORD]


def test_what_is_dropped_is_gone_and_may_be_dropped_again(tmp_path):
    journal = Journal(tmp_path)
    journal.put(RECORD)
    journal.drop(RECORD.name)
    journal.drop(RECORD.name)
    assert journal.records() == []


def test_a_torn_record_is_put_aside_and_the_others_are_read(tmp_path):
    journal = Journal(tmp_path)
    journal.put(RECORD)
    (tmp_path / "torn.json").write_text('{"name": "to')
    (tmp_path / "foreign.json").write_text('{"other": 1}')
    assert journal.records() == [RECORD]
    assert sorted(each.name for each in tmp_path.glob("*.bad")) == ["foreign.bad", "torn.bad"]


def test_a_write_that_was_cut_off_is_no_record(tmp_path):
    journal = Journal(tmp_path)
    (tmp_path / "high-1.partial").write_text("{")
    assert journal.records() == []


def test_a_record_of_before_a_reboot_undoes_nothing(tmp_path):
    node = TwinNode(tmp_path)
    actor = node.actor(node.container())
    actor.lease(node.container(), 4096 * 100, 10)
    standing = node.file(1, "memory.high").read_text()
    (tmp_path / "proc/sys/kernel/random/boot_id").write_text("another\n")
    assert list(node.actor().recover().values()) == [Answer.GONE]
    assert node.file(1, "memory.high").read_text() == standing
    assert node.journal().names() == []
