"""The one door: fixture trees are real files; only what a file system cannot do here is put between."""

import errno
import os
import shutil
from pathlib import Path

import pytest

from builders.cgroup_tree import CgroupTree
from plimsoll_nodeagent.kernelfs import Absence, KernelDirectory, KernelFs


class FailingFs(KernelFs):
    """Every read ends with the given errors, one after the other, then works."""

    def __init__(self, root, *errors: int) -> None:
        super().__init__(root)
        self.errors = list(errors)

    def contents(self, path, directory):
        if self.errors:
            raise OSError(self.errors.pop(0), "as told")
        return super().contents(path, directory)


class PartialFs(KernelFs):
    """The first so many reads give only the first bytes."""

    def __init__(self, root, times: int) -> None:
        super().__init__(root)
        self.times = times

    def contents(self, path, directory):
        whole = super().contents(path, directory)
        self.times -= 1
        return whole[:3] if self.times >= 0 else whole


def test_a_path_is_looked_up_under_the_root(tmp_path):
    assert CgroupTree(tmp_path).fs.read("/proc/sys/kernel/osrelease") == "7.2.12-test\n"


def test_a_file_larger_than_one_read_is_read_whole(tmp_path):
    text = "".join(f"key_{number} {number}\n" for number in range(20_000))
    (tmp_path / "big").write_text(text)
    assert KernelFs(tmp_path).read("big") == text


def test_a_file_without_end_is_not_read_for_ever():
    assert KernelFs().read("/dev/zero") is Absence.BUSY


def test_an_empty_file_is_empty_text_not_a_failure(tmp_path):
    (tmp_path / "empty").write_text("")
    assert KernelFs(tmp_path).read("empty") == ""


def test_what_is_not_there_is_gone(tmp_path):
    fs = KernelFs(tmp_path)
    assert (fs.read("no"), fs.directories("no"), fs.open("no")) == (Absence.GONE,) * 3


@pytest.mark.parametrize(
    ("error", "why"),
    [
        (errno.ENODEV, Absence.GONE),
        (errno.ESRCH, Absence.GONE),
        (errno.EPERM, Absence.DENIED),
        (errno.EACCES, Absence.DENIED),
        (errno.EOPNOTSUPP, Absence.UNSUPPORTED),
        (errno.EAGAIN, Absence.BUSY),
        (errno.EBUSY, Absence.BUSY),
        (errno.EIO, Absence.BUSY),
    ],
)
def test_an_error_of_the_kernel_is_an_answer(tmp_path, error, why):
    CgroupTree(tmp_path)
    assert FailingFs(tmp_path, error).read("/proc/meminfo") is why


def test_a_torn_read_is_read_again(tmp_path):
    (tmp_path / "memory.current").write_text("123456\n")
    assert PartialFs(tmp_path, times=1).read("memory.current") == "123456\n"


def test_a_read_that_stays_torn_gives_no_number(tmp_path):
    (tmp_path / "memory.current").write_text("123456\n")
    assert PartialFs(tmp_path, times=2).read("memory.current") is Absence.TORN


def test_a_pipe_in_the_tree_does_not_hang(tmp_path):
    os.mkfifo(tmp_path / "memory.current")
    assert KernelFs(tmp_path).read("memory.current") == ""


def test_an_open_directory_never_reads_another_of_the_same_path(tmp_path):
    tree = CgroupTree(tmp_path)
    path = tree.container()
    opened = tree.fs.open(str(path.relative_to(tmp_path)))
    assert isinstance(opened, KernelDirectory)
    with opened as cgroup:
        assert cgroup.read("memory.current") == "67108864\n"
        shutil.rmtree(path)
        tree.container()
        assert cgroup.read("memory.current") is Absence.GONE


def test_reading_leaves_no_file_open(tmp_path):
    tree = CgroupTree(tmp_path)
    tree.container()
    before = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(20):
        tree.fs.read("/proc/meminfo")
        with tree.fs.open("/sys/fs/cgroup") as cgroup:
            cgroup.read("cgroup.controllers")
            cgroup.read("no")
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_directories_come_with_their_inodes_and_without_files_and_links(tmp_path):
    (tmp_path / "b").mkdir()
    (tmp_path / "a").mkdir()
    (tmp_path / "file").write_text("x\n")
    (tmp_path / "link").symlink_to(tmp_path / "a")
    found = KernelFs(tmp_path).directories("")
    assert [(each.name, each.inode) for each in found] == [
        (name, (tmp_path / name).stat().st_ino) for name in ("a", "b")
    ]


def test_what_a_pod_has_of_the_host_s_files_is_looked_for_there_first(tmp_path):
    for path, text in (
        ("sys/kernel/mm/x", "pod"),
        ("host/sys/kernel/mm/x", "host"),
        ("sys/kernel/mmm", "pod"),
    ):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(f"{text}\n")
    fs = KernelFs(tmp_path)
    assert (fs.read("/sys/kernel/mm/x"), fs.read("/sys/kernel/mmm")) == ("host\n", "pod\n")


def test_a_part_of_the_kernel_s_files_may_be_elsewhere(tmp_path):
    (tmp_path / "other").mkdir()
    (tmp_path / "other/x").write_text("here\n")
    assert (
        KernelFs(tmp_path, mounts={"/sys/kernel/mm": f"{tmp_path}/other"}).read("/sys/kernel/mm/x")
        == "here\n"
    )
