import re
from pathlib import Path

import pytest

import plimsoll_nodeagent
from plimsoll_nodeagent.kernelfs import Answer, KernelFs, Mode
from plimsoll_nodeagent.kernelfs.allowed import CGROUP_FILES, may_write, may_write_in

SOURCE = Path(plimsoll_nodeagent.__file__).parent
CGROUP = "/sys/fs/cgroup/kubepods/memory"


@pytest.mark.parametrize("mode", list(Mode))
@pytest.mark.parametrize(
    "path",
    [
        f"{CGROUP}.max",
        f"{CGROUP}.high",
        f"{CGROUP}.reclaim",
        "/sys/fs/cgroup/../cgroup/kubepods/memory.max",
        "/sys/kernel/mm/damon/admin/kdamonds/../../../../../sys/fs/cgroup/kubepods/memory.max",
        "/proc/sys/vm/drop_caches",
        "/proc/sys/vm/compact_memory",
        "/proc/1/oom_score_adj",
        "/proc/1/mem",
        "/sys/module/damon_stat/parameters/enabled",
        "/sys/devices/system/node/node0/compact2",
        "/sys/kernel/debug/lru_gen_full",
    ],
)
def test_a_path_that_is_not_on_the_list_is_refused_in_every_mode(tmp_path, mode, path):
    target = tmp_path / path.strip("/")
    target.parent.mkdir(parents=True, exist_ok=True)
    fs = KernelFs(tmp_path, mode)
    assert fs.write(path, "1") is Answer.REFUSED
    assert fs.notes[-1].answer is Answer.REFUSED


@pytest.mark.parametrize(
    ("path", "text", "allowed"),
    [
        ("/sys/devices/system/node/node3/compact", "1", True),
        ("/sys/devices/system/node/node3/compact", "2", False),
        ("/proc/123/clear_refs", "4", False),  # the number may be another's by now
        ("/sys/kernel/debug/lru_gen", "+ 7 0 12 1", True),
        ("/sys/kernel/debug/lru_gen", "+ 7 0 12 1 0", True),
        ("/sys/kernel/debug/lru_gen", "- 7 0 12", False),
        ("/sys/kernel/mm/damon/admin/kdamonds/0/state", "on", True),
        ("/sys/kernel/mm/damon/admin/kdamonds/0/contexts/0/schemes/0/filters/0/matching", "N", True),
        ("/proc/pressure/memory", "some 150000 1000000", True),
        ("/proc/pressure/cpu", "some 150000 1000000", False),
    ],
)
def test_what_may_be_written_where(path, text, allowed):
    assert may_write(path, text) is allowed


@pytest.mark.parametrize(
    ("name", "text", "allowed"),
    [
        ("memory.reclaim", "1048576", True),
        ("memory.reclaim", "1048576 swappiness=0", True),
        ("memory.reclaim", "1048576 swappiness=max", True),
        ("memory.reclaim", "1G", False),
        ("memory.reclaim", "-1", False),
        ("memory.high", "max", True),
        ("memory.high", "0", True),
        ("memory.max", "max", False),
        ("../memory.high", "max", False),
        ("inner/memory.high", "max", False),
        ("memory.pressure", "some 100000 2000000", True),
        ("cgroup.kill", "1", False),
        ("cgroup.freeze", "1", False),
    ],
)
def test_what_may_be_written_in_a_cgroup(name, text, allowed):
    assert may_write_in(CGROUP, name, text) is allowed


def test_memory_max_is_on_no_list():
    assert not [name for name in CGROUP_FILES if name.endswith(".max")]


def test_only_the_door_opens_files_for_writing_or_makes_system_calls():
    """Everything of the kernel goes through kernelfs/; others write files of ours or a person's."""
    opens = re.compile(r"os\.open\(|\bopen\(\"w|write_text\(|ctypes|O_WRONLY|O_RDWR|\.write_bytes\(")
    # The journal; standard output that has gone.
    own = {SOURCE / each for each in ("act/journal.py", "main.py")}
    found = [
        path.relative_to(SOURCE)
        for path in SOURCE.rglob("*.py")
        if path.parent.name not in ("kernelfs", "serve") and path not in own
        if re.search(r"ctypes|O_WRONLY|O_RDWR", path.read_text())
    ]
    assert found == []
    assert opens.search((SOURCE / "kernelfs/door.py").read_text())


@pytest.mark.parametrize(
    ("directory", "name", "text", "allowed"),
    [
        ("/proc/123", "clear_refs", "4", True),
        ("/proc/123", "clear_refs", "1", False),
        ("/proc/self", "clear_refs", "4", False),
        ("/proc/123", "memory.reclaim", "4096", False),
        (CGROUP, "clear_refs", "4", False),
    ],
)
def test_what_may_be_written_of_a_process(directory, name, text, allowed):
    assert may_write_in(directory, name, text) is allowed
