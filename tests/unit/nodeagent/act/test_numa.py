import dataclasses
import errno

import numpy as np

from builders.twin_node import TwinNode
from plimsoll_nodeagent.act.numa import Compact, MovePages
from plimsoll_nodeagent.kernelfs import Advice, Answer, KernelProcess
from plimsoll_nodeagent.kernelfs.calls import Advice as SameAdvice

PAGE = 4096


def test_compaction_is_measured_by_free_huge_blocks_of_that_node_alone(tmp_path):
    node = TwinNode(tmp_path)
    outcome = Compact(1).run(node.kernel)
    assert (outcome.answer, outcome.subject) == (Answer.DONE, "numa_node 1")
    assert outcome.measured.free_blocks == 1
    assert "Node 0, zone   Normal     10     20" in (tmp_path / "proc/buddyinfo").read_text()


def test_compaction_that_finds_nothing_measures_nothing(tmp_path):
    node = TwinNode(tmp_path)
    Compact(1).run(node.kernel)
    assert Compact(1).run(node.kernel).measured.free_blocks == 0


def test_a_numa_node_that_is_not_there_is_gone(tmp_path):
    outcome = Compact(7).run(TwinNode(tmp_path).kernel)
    assert (outcome.answer, outcome.measured) == (Answer.GONE, None)


def test_pages_move_and_are_measured_where_they_are(tmp_path):
    node = TwinNode(tmp_path)
    process = node.process()
    addresses = process.start + np.arange(10, dtype=np.uint64) * np.uint64(PAGE)
    outcome = MovePages(node.container(), process.pid, addresses, 1).run(node.kernel)
    assert outcome.answer is Answer.DONE
    assert outcome.expected.moved_bytes == outcome.measured.moved_bytes == 10 * PAGE
    again = MovePages(node.container(), process.pid, addresses, 1).run(node.kernel)
    assert again.measured.moved_bytes == 0


def test_pages_that_are_not_resident_do_not_move(tmp_path):
    assert Advice is SameAdvice
    node = TwinNode(tmp_path)
    process = node.process()
    process.advise(0, 4, Advice.PAGEOUT)
    addresses = process.start + np.arange(10, dtype=np.uint64) * np.uint64(PAGE)
    outcome = MovePages(node.container(), process.pid, addresses, 1).run(node.kernel)
    assert (outcome.answer, outcome.measured.moved_bytes) == (Answer.PARTIAL, 6 * PAGE)


def test_a_move_that_is_told_to_stop_ends_at_its_next_step_and_expects_what_was_asked_for(tmp_path):
    node = TwinNode(tmp_path)
    process = node.process(pages=100)
    addresses = process.start + np.arange(100, dtype=np.uint64) * np.uint64(PAGE)
    answers = iter([False, False, True])
    action = MovePages(
        node.container(), process.pid, addresses, 1, stop=lambda: next(answers), step_bytes=8 * PAGE
    )
    outcome = action.run(node.kernel)
    assert outcome.answer is Answer.PARTIAL
    assert outcome.expected.moved_bytes == outcome.measured.moved_bytes == 16 * PAGE
    assert int((process.numa_nodes == 1).sum()) == 16
    told_before = dataclasses.replace(action, stop=lambda: True).run(node.kernel)
    assert (told_before.answer, told_before.measured) == (Answer.REFUSED, None)


def test_a_process_that_leaves_between_two_steps_is_not_moved_any_more(tmp_path):
    node = TwinNode(tmp_path)
    process = node.process(pages=100)
    addresses = process.start + np.arange(100, dtype=np.uint64) * np.uint64(PAGE)

    def leaves_after_a_step() -> bool:
        if (process.numa_nodes == 1).any():
            node.file(1, "cgroup.procs").write_text("")
        return False

    action = MovePages(node.container(), 500, addresses, 1, stop=leaves_after_a_step, step_bytes=8 * PAGE)
    assert action.run(node.kernel).expected.moved_bytes == 8 * PAGE
    assert int((process.numa_nodes == 1).sum()) == 8


def test_a_stranger_s_pages_do_not_move(tmp_path):
    node = TwinNode(tmp_path, containers=2)
    process = node.process(number=2)
    addresses = np.array([process.start], dtype=np.uint64)
    assert MovePages(node.container(1), process.pid, addresses, 1).run(node.kernel).answer is Answer.REFUSED
    assert (process.numa_nodes == 0).all()


def test_a_process_that_ends_before_the_call_by_number_is_gone(tmp_path):
    node = TwinNode(tmp_path)
    node.process()
    with KernelProcess.open(node.kernel, 500) as process:
        node.kernel.processes.end(500)
        assert process.move(np.zeros(1, dtype=np.uint64), 1) is Answer.GONE


def test_pages_of_whoever_has_the_number_now_are_not_moved(tmp_path):
    node = TwinNode(tmp_path)
    node.process()
    with KernelProcess.open(node.kernel, 500) as process:
        node.kernel.processes.end(500)
        other = node.process()
        assert process.move(np.array([other.start], dtype=np.uint64), 1) is Answer.GONE
    assert (other.numa_nodes == 0).all()


def test_a_number_that_was_given_away_during_the_call_is_not_taken_for_the_process(tmp_path, monkeypatch):
    node = TwinNode(tmp_path)
    node.process()
    processes = node.kernel.processes
    monkeypatch.setattr(
        processes, "move_pages", lambda *_: (np.ones(1, dtype=np.int32), processes.end(500))[0]
    )
    with KernelProcess.open(node.kernel, 500) as process:
        assert process.move(np.zeros(1, dtype=np.uint64), 1) is Answer.GONE
    assert node.kernel.notes[-1].answer is Answer.GONE


def test_what_was_written_is_forgotten_of_the_process_that_was_opened_and_of_no_other(tmp_path):
    node = TwinNode(tmp_path)
    node.process()
    with KernelProcess.open(node.kernel, 500) as process:
        alive = process.is_alive
        # Its number is another's between the question and the write.
        process.is_alive = lambda: alive() and (node.kernel.processes.end(500), node.process(500))[0] is None
        assert process.forget_writes() is Answer.GONE


def test_what_is_denied_is_denied(tmp_path):
    node = TwinNode(tmp_path)
    node.kernel.fail("compact", errno.EACCES)
    assert Compact(0).run(node.kernel).answer is Answer.DENIED
