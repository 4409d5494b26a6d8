"""Idle bits: what is marked, what is still idle, and pages whose bit is their folio's."""

import numpy as np
import pytest

from builders.twin_node import TwinNode
from plimsoll_nodeagent.kernelfs import Absence, Answer, KernelProcess
from plimsoll_nodeagent.sample.idle_bits import folios, frames, idle_frames, mark_idle


def test_idle_frames_are_those_not_touched_since_they_were_marked(tmp_path):
    node = TwinNode(tmp_path)
    bitmap = tmp_path / "sys/kernel/mm/page_idle/bitmap"
    node.tree.write(bitmap, "\0" * 1024)
    own = node.process(pages=130, first_frame=1000)
    with KernelProcess.open(node.kernel, 500) as process:
        found = frames(process, own.start, own.end)
    assert found[:2].tolist() == [1000, 1001]
    assert not idle_frames(node.kernel, found).any()
    assert mark_idle(node.kernel, found) is Answer.DONE
    assert idle_frames(node.kernel, found).all()
    bits = bytearray(bitmap.read_bytes())
    bits[1001 // 8] &= ~(1 << 1001 % 8)  # the kernel, when the page is touched
    bitmap.write_bytes(bits)
    assert np.flatnonzero(~idle_frames(node.kernel, found)).tolist() == [1]


def test_frames_that_are_not_shown_to_us_are_never_idle(tmp_path):
    node = TwinNode(tmp_path)
    node.tree.write(tmp_path / "sys/kernel/mm/page_idle/bitmap", "\xff" * 512)
    hidden = np.zeros(4, dtype=np.uint64)
    assert not idle_frames(node.kernel, hidden).any()
    assert mark_idle(node.kernel, hidden) is Answer.DONE
    assert not node.kernel.notes


def test_a_kernel_without_idle_bits_is_told(tmp_path):
    node = TwinNode(tmp_path)
    assert idle_frames(node.kernel, np.array([5], dtype=np.uint64)) is Absence.GONE
    assert mark_idle(node.kernel, np.array([5], dtype=np.uint64)) is Answer.GONE


def with_folios(tmp_path, folio_pages: int):
    node = TwinNode(tmp_path)
    node.tree.write(tmp_path / "sys/kernel/mm/page_idle/bitmap", "\0" * 1024)
    node.tree.write(tmp_path / "proc/kpageflags", "\0" * (8 * 8192))
    own = node.process(pages=1024, first_frame=2048, folio_pages=folio_pages)
    with KernelProcess.open(node.kernel, 500) as process:
        return node, own, frames(process, own.start, own.end)


@pytest.mark.parametrize("folio_pages", [16, 512])
def test_pages_of_a_folio_are_idle_as_long_as_none_of_it_is_touched(tmp_path, folio_pages):
    node, own, found = with_folios(tmp_path, folio_pages)
    firsts = folios(node.kernel, found)
    assert firsts.tolist() == [2048 + page // folio_pages * folio_pages for page in range(1024)]
    assert mark_idle(node.kernel, firsts) is Answer.DONE
    assert idle_frames(node.kernel, firsts).all()
    own.touch(folio_pages + 3, 1)
    node.kernel.processes.show(own)
    touched = np.flatnonzero(~idle_frames(node.kernel, firsts))
    assert touched.tolist() == list(range(folio_pages, 2 * folio_pages))


def test_without_flags_only_the_first_page_of_a_folio_is_ever_idle(tmp_path):
    node, _, found = with_folios(tmp_path, 16)
    (tmp_path / "proc/kpageflags").unlink()
    assert folios(node.kernel, found) is Absence.GONE
    mark_idle(node.kernel, found)
    assert np.flatnonzero(idle_frames(node.kernel, found)).tolist() == list(range(0, 1024, 16))


def test_frames_far_apart_and_side_by_side_are_marked_alike(tmp_path):
    node = TwinNode(tmp_path)
    node.tree.write(tmp_path / "sys/kernel/mm/page_idle/bitmap", "\0" * 4096)
    some = np.array([5, 64, 65, 128, 30_000, 0, 7], dtype=np.uint64)
    assert mark_idle(node.kernel, some) is Answer.DONE
    assert idle_frames(node.kernel, some).tolist() == [True] * 5 + [False, True]
    assert not idle_frames(node.kernel, np.array([6, 63, 29_999], dtype=np.uint64)).any()
    assert len(node.kernel.notes) == 2  # one for words in a row


def test_frames_of_a_process_alone_are_followed_by_what_is_out(tmp_path):
    node = TwinNode(tmp_path)
    own = node.process(pages=8, first_frame=100)
    own.kinds[3] = 0
    node.kernel.processes.show(own)
    with KernelProcess.open(node.kernel, 500) as process:
        assert frames(process, own.start, own.end).tolist() == [100, 101, 102, 0, 104, 105, 106, 107]
