"""Stretches that can be gathered into huge pages: wholly resident, anonymous, aligned, not huge yet."""

import numpy as np
import pytest

from builders.twin_node import TwinNode
from plimsoll_nodeagent.kernelfs import Absence, KernelProcess, PageKind
from plimsoll_nodeagent.sample.dense import dense_units

UNIT = 2 << 20
PAGES = 512


def found(node: TwinNode, own, most: int = 100, start: int = 0, length: int | None = None) -> list[int]:
    ranges = np.array([[own.start + start, own.pages * 4096 if length is None else length]], np.uint64)
    with KernelProcess.open(node.kernel, own.pid) as process:
        units = dense_units(process, ranges, most)
        assert not isinstance(units, Absence)
        assert (units[:, 1] == UNIT).all()
        return ((units[:, 0] - np.uint64(own.start)) // np.uint64(UNIT)).tolist()


def test_one_missing_or_swapped_page_is_enough_to_leave_a_unit_alone(tmp_path):
    node = TwinNode(tmp_path)
    own = node.process(pages=4 * PAGES)
    own.kinds[PAGES + 5] = 0
    own.kinds[3 * PAGES - 1] = int(PageKind.SWAPPED)
    node.kernel.processes.show(own)
    assert found(node, own) == [0, 3]
    assert found(node, own, most=1) == [0]


@pytest.mark.parametrize("has_scan", [True, False])
def test_what_is_huge_is_left_out_where_the_kernel_tells(tmp_path, has_scan):
    node = TwinNode(tmp_path)
    node.kernel.processes.has_scan = has_scan
    own = node.process(pages=2 * PAGES)
    own.kinds[:PAGES] |= np.uint64(int(PageKind.HUGE))
    node.kernel.processes.show(own)
    assert found(node, own) == ([1] if has_scan else [0, 1])


def test_only_whole_aligned_units_count(tmp_path):
    node = TwinNode(tmp_path)
    own = node.process(pages=3 * PAGES)
    assert found(node, own, start=4096, length=2 * UNIT) == [1]
    assert found(node, own, start=4096, length=UNIT) == []


def test_memory_of_files_is_none(tmp_path):
    node = TwinNode(tmp_path)
    assert found(node, node.process(pages=PAGES, anonymous=False)) == []


def test_a_process_that_cannot_be_read_has_no_answer(tmp_path):
    node = TwinNode(tmp_path)
    own = node.process(pages=PAGES)
    with KernelProcess.open(node.kernel, own.pid) as process:
        (tmp_path / f"proc/{own.pid}/pagemap").unlink()
        assert dense_units(process, np.array([[own.start, UNIT]], np.uint64), 4) is Absence.GONE


def test_units_that_were_passed_come_last(tmp_path):
    node = TwinNode(tmp_path)
    own = node.process(pages=4 * PAGES)
    ranges = np.array([[own.start, 4 * UNIT]], np.uint64)
    with KernelProcess.open(node.kernel, own.pid) as process:
        for passed, first in ((0, 0), (1, 1), (5, 1), (4, 0)):
            (unit,) = dense_units(process, ranges, 1, passed)
            assert int(unit[0]) == own.start + first * UNIT
