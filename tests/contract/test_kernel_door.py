"""The door to the kernel and its twin, by the same tests: on files and on a process of the test's own.

The real door has a directory of the test as its root, so that no cgroup of the host can be written, and the
host's /proc, in which it touches only the child that the test has started. The twin has the same tree and a
process of its own making.
"""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from builders.own_process import own_process
from builders.twin_node import ROOT, TwinNode
from plimsoll_nodeagent.act.advise import Advise
from plimsoll_nodeagent.act.container import member
from plimsoll_nodeagent.discover.tracker import Container
from plimsoll_nodeagent.kernelfs import (
    Absence,
    Advice,
    Answer,
    KernelFs,
    KernelProcess,
    Mode,
    PageKind,
    TwinProcess,
)
from plimsoll_nodeagent.sample.idle_bits import idle_frames, mark_idle
from plimsoll_nodeagent.sample.pagemap import page_counts, written_pages
from plimsoll_nodeagent.sample.probe import find_capabilities
from plimsoll_nodeagent.sample.processes import read_mappings, read_rollup

PAGE = 4096
PAGES = 64


@dataclass
class Held:
    """A process and how the test lets it touch its pages."""

    fs: KernelFs
    container: Container
    pid: int
    start: int
    touch: Callable[..., None]
    stop: Callable[[], None]

    def ranges(self, first: int = 0, count: int = PAGES) -> np.ndarray:
        return np.array([[self.start + first * PAGE, count * PAGE]], dtype=np.uint64)


@pytest.fixture(params=["twin", "real"])
def door(request, tmp_path) -> KernelFs:
    node = TwinNode(tmp_path)
    return node.kernel if request.param == "twin" else KernelFs(tmp_path, Mode.ACT)


@pytest.fixture(params=["twin anonymous", "real anonymous", "twin file", "real file"])
def held(request, tmp_path) -> Iterator[Held]:
    node = TwinNode(tmp_path)
    which, _, kind = request.param.partition(" ")
    if which == "twin":
        of = TwinProcess(500, pages=PAGES, anonymous=kind == "anonymous")
        node.file(1, "cgroup.procs").write_text("500\n")
        process = node.kernel.processes.add(of)

        def touch(first: int, count: int, *, write: bool = False) -> None:
            process.touch(first, count, write=write)
            node.kernel.processes.show(process)

        yield Held(
            node.kernel, node.container(), 500, process.start, touch, lambda: node.kernel.processes.end(500)
        )
        return
    file = tmp_path / "mapped" if kind == "file" else None
    with own_process(PAGES, file) as child:
        if file is not None:
            os.sync()  # dirty pages of a file are not reclaimed at once
        node.file(1, "cgroup.procs").write_text(f"{child.pid}\n")
        fs = KernelFs(tmp_path, Mode.ACT, mounts={"/proc": "/proc"})
        yield Held(fs, node.container(), child.pid, child.start, child.touch, child.stop)


def is_anonymous(request) -> bool:
    return "anonymous" in request.node.callspec.params["held"]


def opened(fs: KernelFs):
    return fs.open(f"{ROOT}/kubepods")


@pytest.mark.parametrize(
    "name", ["memory.max", "memory.min", "memory.low", "memory.swap.max", "cgroup.procs"]
)
@pytest.mark.parametrize("text", ["max", "0", "1048576", "1048576\n"])
def test_limits_and_members_are_never_written(door, name, text):
    with opened(door) as cgroup:
        before = cgroup.read(name)
        assert cgroup.write(name, text) is Answer.REFUSED
        assert cgroup.read(name) == before
    assert door.write(f"{ROOT}/kubepods/{name}", text) is Answer.REFUSED


def test_what_may_be_written_is_written(door):
    with opened(door) as cgroup:
        assert cgroup.write("memory.high", "1048576") is Answer.DONE
        assert cgroup.read("memory.high").strip() == "1048576"


def test_a_file_that_is_not_there_is_not_made(door, tmp_path):
    with opened(door) as cgroup:
        (tmp_path / ROOT.strip("/") / "kubepods/memory.high").unlink()
        assert cgroup.write("memory.high", "4096") is Answer.GONE
        assert cgroup.read("memory.high") is Absence.GONE


def test_a_directory_below_is_listed_and_read_through_the_open_one(door, tmp_path):
    inner = tmp_path / ROOT.strip("/") / "kubepods/inner"
    inner.mkdir()
    (inner / "cgroup.procs").write_text("7\n")
    with opened(door) as cgroup:
        assert "inner" in [each.name for each in cgroup.directories()]
        assert cgroup.read("inner/cgroup.procs") == "7\n"
        assert cgroup.directories("inner/") == []
        assert cgroup.directories("no") is Absence.GONE


def test_a_process_is_read_by_its_mapping(held, request):
    with KernelProcess.open(held.fs, held.pid) as process:
        mappings = read_mappings(process)
        whole = (mappings.starts <= held.start) & (mappings.ends >= held.start + PAGES * PAGE)
        assert whole.sum() == 1
        assert mappings.anonymous[whole].all() == is_anonymous(request)
        assert read_rollup(process).resident_bytes >= PAGES * PAGE


def test_pages_are_counted_where_they_are(held):
    with KernelProcess.open(held.fs, held.pid) as process:
        counts = page_counts(process, held.ranges())
        assert (counts.resident_bytes, counts.swapped_bytes) == (PAGES * PAGE, 0)
        words = process.pagemap(held.start, PAGES)
        assert (words >> np.uint64(63) == 1).all()


def test_pageout_takes_what_it_can_and_touching_brings_it_back(held, request):
    outcome = Advise(held.container, held.pid, held.ranges(), Advice.PAGEOUT).run(held.fs)
    assert outcome.answer is Answer.DONE
    assert outcome.expected.resident_bytes == -PAGES * PAGE
    gone = -outcome.measured.resident_bytes
    # File pages always go; anonymous ones only as far as there is swap, and then they are counted as swapped.
    assert gone == (outcome.measured.swapped_bytes if is_anonymous(request) else PAGES * PAGE)
    held.touch(0, PAGES)
    with KernelProcess.open(held.fs, held.pid) as process:
        assert page_counts(process, held.ranges()).resident_bytes == PAGES * PAGE


def test_cold_pages_are_no_longer_referenced_and_stay(held, request):
    held.touch(0, PAGES)
    outcome = Advise(held.container, held.pid, held.ranges(), Advice.COLD).run(held.fs)
    assert outcome.answer is Answer.DONE
    assert outcome.measured.referenced_bytes <= 0
    if is_anonymous(request):  # cold pages of files may be taken at any time, where memory is short
        assert outcome.measured.resident_bytes == 0
        assert outcome.measured.referenced_bytes <= -PAGES * PAGE // 2


def test_advice_on_what_is_not_mapped_is_refused_by_the_kernel(held):
    with KernelProcess.open(held.fs, held.pid) as process:
        nowhere = np.array([[PAGE, PAGE]], dtype=np.uint64)
        assert process.advise(nowhere, Advice.COLD) is Answer.FULL  # ENOMEM, as in madvise(2)


def test_what_was_written_to_is_found_and_forgotten(held):
    with KernelProcess.open(held.fs, held.pid) as process:
        assert process.forget_writes() is Answer.DONE
        held.touch(3, 2, write=True)
        found = written_pages(process, held.start, held.start + PAGES * PAGE)
        if isinstance(found, Absence) or not knows_soft_dirty(held):
            pytest.skip("this kernel has no soft-dirty bits")
        assert found.tolist() == [held.start + 3 * PAGE, held.start + 4 * PAGE]
        assert process.forget_writes() is Answer.DONE
        assert len(written_pages(process, held.start, held.start + PAGES * PAGE)) == 0


def knows_soft_dirty(held: Held) -> bool:
    """Whether a page that was just written to has the bit."""
    held.touch(0, 1, write=True)
    with KernelProcess.open(held.fs, held.pid) as process:
        return held.start in written_pages(process, held.start, held.start + PAGE)


def test_a_scan_finds_runs_of_pages(held):
    with KernelProcess.open(held.fs, held.pid) as process:
        runs = process.scan(held.start, held.start + PAGES * PAGE, PageKind.PRESENT)
        if runs is Absence.UNSUPPORTED:
            pytest.skip("this kernel has no PAGEMAP_SCAN")
        assert (runs[0].start, runs[-1].end) == (held.start, held.start + PAGES * PAGE)


def test_where_pages_are_is_told_by_numa_node(held):
    with KernelProcess.open(held.fs, held.pid) as process:
        addresses = held.start + np.arange(4, dtype=np.uint64) * np.uint64(PAGE)
        found = process.numa_nodes_of(addresses)
        if found is Answer.UNSUPPORTED:
            pytest.skip("this kernel has no NUMA")
        assert (found >= 0).all()
        assert process.move(addresses, int(found[0])).tolist() == [int(found[0])] * 4


def test_a_process_that_ends_is_gone_by_every_call(held):
    with KernelProcess.open(held.fs, held.pid) as process:
        assert process.is_alive()
        held.stop()
        assert not process.is_alive()
        assert process.advise(held.ranges(), Advice.PAGEOUT) is Answer.GONE
        assert process.numa_nodes_of(np.array([held.start], dtype=np.uint64)) is Answer.GONE
        assert process.move(np.array([held.start], dtype=np.uint64), 0) is Answer.GONE
        assert process.forget_writes() is Answer.GONE
    assert KernelProcess.open(held.fs, held.pid) is Absence.GONE


def test_a_process_outside_the_cgroup_is_refused(held, tmp_path):
    procs = tmp_path / held.container.path.strip("/") / "cgroup.procs"
    procs.write_text("1\n")
    with member(held.fs, held.container, held.pid) as process:
        assert process is Answer.REFUSED


def test_what_the_host_has_is_found_without_writing():
    """Read-only on the host itself: every engine has a level, and a reason where it is not the best."""
    fs = KernelFs(Path("/"))
    found = find_capabilities(fs, ROOT)
    assert found.kernel == os.uname().release
    assert all(each.why or each.level for each in found.engines)
    assert len(fs.notes) == 0


def test_pagemap_words_of_several_ranges_are_those_of_each(held):
    ranges = np.concatenate([held.ranges(40, 8), held.ranges(0, 4), held.ranges(0, 0)])
    with KernelProcess.open(held.fs, held.pid) as process:
        found = process.pagemap_of(ranges)
        assert [len(each) for each in found] == [8, 4, 0]
        whole = process.pagemap(held.start, PAGES)
        assert (found[0] == whole[40:48]).all()
        assert (found[1] == whole[:4]).all()


def test_marks_of_page_frames_are_asked_back_where_they_were_set(door, tmp_path):
    bitmap = tmp_path / "sys/kernel/mm/page_idle/bitmap"
    bitmap.parent.mkdir(parents=True)
    bitmap.write_bytes(bytes(1024))
    marked = np.array([5, 64, 65, 4000, 0], dtype=np.uint64)
    assert mark_idle(door, marked) is Answer.DONE
    assert idle_frames(door, marked).tolist() == [True, True, True, True, False]
    assert not idle_frames(door, np.array([4, 66, 3999, 8191], dtype=np.uint64)).any()
    assert bitmap.stat().st_size == 1024
