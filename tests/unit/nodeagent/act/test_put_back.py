"""What we set is taken back where it stands as we wrote it, and nowhere else."""

import errno
import shutil

import pytest

from builders.twin_node import TwinNode
from plimsoll_nodeagent.act.journal import Record
from plimsoll_nodeagent.act.put_back import put_back
from plimsoll_nodeagent.kernelfs import Answer

FILE, OURS, BEFORE, OTHERS = "memory.high", "4096", "max", "8192"


def ended(node, *, inode=0):
    """How putting it back ends; `inode` is added to the cgroup's own."""
    container = node.container()
    subject = {"path": container.path, "inode": container.cgroup_inode + inode, "container_id": "c"}
    record = Record("name", "kind", "b007", subject, BEFORE, (OURS,))
    return lambda: put_back(node.kernel, record, FILE, lambda stands: stands.strip() == OURS, BEFORE)


@pytest.mark.parametrize(("stands", "answer", "after"), [
    (OURS, Answer.DONE, BEFORE),
    (OTHERS, Answer.REFUSED, OTHERS),
])  # fmt: skip
def test_only_what_we_wrote_is_taken_back(tmp_path, stands, answer, after):
    node = TwinNode(tmp_path)
    node.file(1, FILE).write_text(f"{stands}\n")
    assert ended(node)() is answer
    assert node.file(1, FILE).read_text().strip() == after


def test_a_path_that_is_another_cgroups_by_now_is_left_alone(tmp_path):
    node = TwinNode(tmp_path)
    node.file(1, FILE).write_text(f"{OURS}\n")
    assert ended(node, inode=1)() is Answer.GONE
    assert node.file(1, FILE).read_text().strip() == OURS


def test_a_cgroup_that_has_gone_is_gone_and_one_that_cannot_be_read_is_tried_again(tmp_path):
    node = TwinNode(tmp_path)
    node.file(1, FILE).write_text(f"{OURS}\n")
    undo, cgroup = ended(node), node.file(1, FILE).parent
    node.kernel.fail(FILE, errno.EACCES)
    assert undo() is Answer.BUSY
    shutil.rmtree(cgroup)
    assert undo() is Answer.GONE
