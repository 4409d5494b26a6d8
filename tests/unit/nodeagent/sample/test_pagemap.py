import errno

import numpy as np
import pytest

from builders.twin_node import TwinNode
from plimsoll_nodeagent.kernelfs import Absence, Answer, KernelProcess
from plimsoll_nodeagent.sample.pagemap import page_counts, written_pages
from plimsoll_nodeagent.sample.processes import read_mappings, read_rollup

PAGE = 4096


@pytest.mark.parametrize("has_scan", [True, False])
def test_written_pages_are_found_with_and_without_pagemap_scan(tmp_path, has_scan):
    node = TwinNode(tmp_path)
    node.kernel.processes.has_scan = has_scan
    own = node.process()
    with KernelProcess.open(node.kernel, 500) as process:
        assert process.forget_writes() is Answer.DONE
        own.touch(7, 2, write=True)
        node.kernel.processes.show(own)
        found = written_pages(process, own.start, own.end)
        assert found.tolist() == [own.start + 7 * PAGE, own.start + 8 * PAGE]


def test_more_pages_than_are_worth_reading_are_not_read(tmp_path):
    node = TwinNode(tmp_path)
    node.process()
    with KernelProcess.open(node.kernel, 500) as process:
        assert page_counts(process, np.array([[0, 1 << 45]], dtype=np.uint64)) is Absence.BUSY


def test_a_process_that_ends_while_it_is_read_is_gone(tmp_path):
    node = TwinNode(tmp_path)
    node.process()
    for name, read in (("maps", read_mappings), ("smaps_rollup", read_rollup)):
        node.kernel.fail(name, errno.ESRCH)
        with KernelProcess.open(node.kernel, 500) as process:
            assert read(process) is Absence.GONE


def test_garbled_mappings_are_garbled(tmp_path):
    node = TwinNode(tmp_path)
    node.process()
    (tmp_path / "proc/500/maps").write_text("not a map\n")
    with KernelProcess.open(node.kernel, 500) as process:
        assert read_mappings(process) is Absence.GARBLED


def test_of_very_many_mappings_the_largest_are_kept_in_order(tmp_path):
    node = TwinNode(tmp_path)
    node.process()
    lines = [
        f"{start:x}-{start + (2 if number == 4500 else 1) * PAGE:x} rw-p 00000000 00:00 0 \n"
        for number, start in enumerate(range(PAGE, 5001 * 4 * PAGE, 4 * PAGE))
    ]
    (tmp_path / "proc/500/maps").write_text("".join(lines))
    with KernelProcess.open(node.kernel, 500) as process:
        found = read_mappings(process)
    assert (len(found.starts), found.cut) == (4096, True)
    assert PAGE + 4500 * 4 * PAGE in found.starts
    assert (np.diff(found.starts.astype(np.int64)) > 0).all()


def test_the_kernel_s_own_mappings_and_those_without_rights_are_left_out(tmp_path):
    node = TwinNode(tmp_path)
    node.process()
    (tmp_path / "proc/500/maps").write_text(
        "1000-2000 rw-p 00000000 00:00 0                          [heap]\n"
        "2000-3000 ---p 00000000 00:00 0 \n"
        "3000-4000 r-xp 00000000 08:01 42                         /bin/a b\n"
        "7fff0000-7fff1000 r-xp 00000000 00:00 0                  [vdso]\n"
    )
    with KernelProcess.open(node.kernel, 500) as process:
        found = read_mappings(process)
    assert found.starts.tolist() == [0x1000, 0x3000]
    assert found.anonymous.tolist() == [True, False]
    assert found.bytes_ == 2 * PAGE
