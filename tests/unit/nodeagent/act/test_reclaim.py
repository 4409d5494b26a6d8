import errno
import shutil

import pytest

from builders.cgroup_tree import MIB
from builders.twin_node import TwinNode
from plimsoll_nodeagent.act.reclaim import Reclaim
from plimsoll_nodeagent.kernelfs import Answer, Mode


def test_reclaim_lowers_usage_by_what_was_asked_and_measures_it(tmp_path):
    node = TwinNode(tmp_path)
    outcome = Reclaim(node.container(), 40 * MIB).run(node.kernel)
    assert outcome.answer is Answer.DONE
    assert outcome.expected.usage_bytes == -40 * MIB
    assert outcome.measured.usage_bytes == -40 * MIB
    assert outcome.measured.file_bytes == -32 * MIB
    assert outcome.measured.swap_bytes == 8 * MIB
    assert int(node.file(1, "memory.current").read_text()) == 24 * MIB


def test_swappiness_zero_takes_file_pages_only(tmp_path):
    node = TwinNode(tmp_path)
    outcome = Reclaim(node.container(), 40 * MIB, swappiness=0).run(node.kernel)
    assert outcome.answer is Answer.PARTIAL
    assert (outcome.measured.file_bytes, outcome.measured.anon_bytes) == (-32 * MIB, 0)


def test_eagain_is_a_part_that_is_measured_and_not_a_failure(tmp_path):
    node = TwinNode(tmp_path)
    outcome = Reclaim(node.container(), 500 * MIB).run(node.kernel)
    assert outcome.answer is Answer.PARTIAL
    assert outcome.measured.usage_bytes == -64 * MIB


def test_where_the_container_may_not_swap_its_anonymous_pages_stay(tmp_path):
    node = TwinNode(tmp_path, swap_max="0")
    outcome = Reclaim(node.container(), 64 * MIB).run(node.kernel)
    assert outcome.answer is Answer.PARTIAL
    assert (outcome.measured.usage_bytes, outcome.measured.swap_bytes) == (-32 * MIB, 0)


def test_a_full_swap_leaves_anonymous_pages(tmp_path):
    node = TwinNode(tmp_path)
    meminfo = tmp_path / "proc/meminfo"
    meminfo.write_text(meminfo.read_text().replace("262144", "0"))
    outcome = Reclaim(node.container(), 64 * MIB).run(node.kernel)
    assert outcome.measured.usage_bytes == -32 * MIB


def test_it_stops_between_two_parts_when_told(tmp_path):
    node = TwinNode(tmp_path)
    answers = iter([False, True])
    action = Reclaim(node.container(), 12 * MIB, stop=lambda: next(answers), part_bytes=4 * MIB)
    outcome = action.run(node.kernel)
    assert outcome.answer is Answer.PARTIAL
    assert outcome.measured.usage_bytes == -4 * MIB
    assert outcome.expected.usage_bytes == -4 * MIB  # what was not asked for is not the kernel's failure


@pytest.mark.parametrize(
    ("error", "answer"),
    [
        (errno.EPERM, Answer.DENIED),
        (errno.EBUSY, Answer.BUSY),
        (errno.EINVAL, Answer.UNSUPPORTED),
        (errno.ENODEV, Answer.GONE),
        (errno.EIO, Answer.FAILED),
        (errno.EROFS, Answer.DENIED),
    ],
)
def test_what_the_kernel_refuses_is_an_answer_and_changes_nothing(tmp_path, error, answer):
    node = TwinNode(tmp_path)
    node.kernel.fail("memory.reclaim", error)
    outcome = Reclaim(node.container(), MIB).run(node.kernel)
    assert (outcome.answer, outcome.measured) == (answer, None)
    assert int(node.file(1, "memory.current").read_text()) == 64 * MIB


def test_a_failure_after_a_part_still_measures_the_part(tmp_path):
    node = TwinNode(tmp_path)
    parts = []

    def busy_from_the_second_on() -> bool:
        if parts:
            node.kernel.fail("memory.reclaim", errno.EBUSY)
        parts.append(1)
        return False

    action = Reclaim(node.container(), 8 * MIB, stop=busy_from_the_second_on, part_bytes=4 * MIB)
    outcome = action.run(node.kernel)
    assert (outcome.answer, outcome.measured.usage_bytes) == (Answer.PARTIAL, -4 * MIB)
    assert len(parts) == 2


def test_a_cgroup_that_has_gone_is_gone(tmp_path):
    node = TwinNode(tmp_path)
    container = node.container()
    shutil.rmtree(node.file(1, ""))
    assert Reclaim(container, MIB).run(node.kernel).answer is Answer.GONE


def test_another_cgroup_at_the_same_path_is_not_touched(tmp_path):
    node = TwinNode(tmp_path)
    container = node.container()
    node.file(1, "").rename(tmp_path / "kept, so that the inode is not given again")
    node.add(1)
    assert Reclaim(container, MIB).run(node.kernel).answer is Answer.GONE
    assert int(node.file(1, "memory.current").read_text()) == 64 * MIB


def test_a_cgroup_that_goes_in_the_middle_is_gone(tmp_path):
    node = TwinNode(tmp_path)
    container, path = node.container(), node.file(1, "")
    node.kernel.happen_before("memory.reclaim", lambda: shutil.rmtree(path))
    assert Reclaim(container, MIB).run(node.kernel).answer is Answer.GONE


def test_a_dry_run_notes_and_changes_nothing(tmp_path):
    node = TwinNode(tmp_path, mode=Mode.DRY_RUN)
    outcome = Reclaim(node.container(), 40 * MIB, swappiness=100).run(node.kernel)
    assert (outcome.answer, outcome.measured) == (Answer.PLANNED, None)
    assert int(node.file(1, "memory.current").read_text()) == 64 * MIB
    assert [each.text for each in node.kernel.notes] == [
        f"{size} swappiness=100" for size in (16 * MIB, 16 * MIB, 8 * MIB)
    ]


@pytest.mark.parametrize("counter", ["pgsteal", "pgsteal_direct", "pgsteal_proactive"])
def test_what_it_took_is_counted_whatever_is_allocated_meanwhile(tmp_path, counter):
    node = TwinNode(tmp_path)
    stat, current = node.file(1, "memory.stat"), node.file(1, "memory.current")
    stat.write_text(f"{stat.read_text()}{counter} 1000\n")
    node.kernel.happen_before("memory.reclaim", lambda: current.write_text(f"{80 * MIB}\n"))
    measured = Reclaim(node.container(), 12 * MIB).run(node.kernel).measured
    assert measured.usage_bytes == 4 * MIB
    counted = measured.proactive_bytes if counter == "pgsteal_proactive" else measured.reclaimed_bytes
    assert counted == 12 * MIB


def test_a_kernel_that_counts_no_reclaim_leaves_it_unknown(tmp_path):
    node = TwinNode(tmp_path, without=("memory.stat",))
    node.kernel.happen_before("memory.reclaim", lambda: node.file(1, "memory.stat").write_text("anon 0\n"))
    measured = Reclaim(node.container(), MIB).run(node.kernel).measured
    assert (measured.reclaimed_bytes, measured.proactive_bytes) == (None, None)
