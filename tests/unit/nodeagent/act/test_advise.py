import dataclasses
import errno
from pathlib import Path

import numpy as np
import pytest

from builders.twin_node import TwinNode
from plimsoll_nodeagent.act.advise import Advise
from plimsoll_nodeagent.kernelfs import Advice, Answer, Mode
from plimsoll_nodeagent.kernelfs.calls import MOST_RANGES

PAGE = 4096


def advise(node, process, advice=Advice.PAGEOUT, first=0, count=100, number=1):
    start = process.start + first * PAGE
    ranges = np.array([[start, count * PAGE]], dtype=np.uint64)
    return Advise(node.container(number), process.pid, ranges, advice)


def test_pageout_is_measured_by_what_is_no_longer_resident(tmp_path):
    node = TwinNode(tmp_path)
    process = node.process()
    outcome = advise(node, process).run(node.kernel)
    assert outcome.answer is Answer.DONE
    assert outcome.expected.resident_bytes == outcome.measured.resident_bytes == -100 * PAGE
    assert outcome.measured.swapped_bytes == 100 * PAGE


def test_without_swap_the_kernel_takes_all_and_nothing_moves(tmp_path):
    node = TwinNode(tmp_path)
    process = node.process(swap_pages=0)
    outcome = advise(node, process).run(node.kernel)
    assert outcome.answer is Answer.DONE  # so the kernel says
    assert outcome.measured.resident_bytes == outcome.measured.swapped_bytes == 0


def test_file_pages_need_no_swap(tmp_path):
    node = TwinNode(tmp_path)
    process = node.process(anonymous=False, swap_pages=0)
    assert advise(node, process).run(node.kernel).measured.resident_bytes == -100 * PAGE


@pytest.mark.parametrize("has_scan", [True, False])
def test_an_older_kernel_without_pagemap_scan_measures_the_same(tmp_path, has_scan):
    node = TwinNode(tmp_path)
    node.kernel.processes.has_scan = has_scan
    outcome = advise(node, node.process(swap_pages=30)).run(node.kernel)
    assert (outcome.measured.resident_bytes, outcome.measured.swapped_bytes) == (-30 * PAGE, 30 * PAGE)


def test_cold_is_measured_by_what_is_no_longer_referenced(tmp_path):
    node = TwinNode(tmp_path)
    outcome = advise(node, node.process(), Advice.COLD).run(node.kernel)
    assert outcome.expected.referenced_bytes == outcome.measured.referenced_bytes == -100 * PAGE
    assert outcome.measured.resident_bytes == 0


def test_collapse_is_measured_by_huge_pages(tmp_path):
    node = TwinNode(tmp_path)
    outcome = advise(node, node.process(), Advice.COLLAPSE, count=1024).run(node.kernel)
    assert outcome.measured.huge_bytes == 1024 * PAGE


def test_advice_that_is_told_to_stop_ends_at_its_next_step_and_expects_what_was_asked_for(tmp_path):
    node = TwinNode(tmp_path)
    process = node.process(pages=4096)
    answers = iter([False, False, True])
    whole = advise(node, process, Advice.COLLAPSE, count=4096)
    in_steps = dataclasses.replace(whole, stop=lambda: next(answers), step_bytes=1024 * PAGE)
    outcome = in_steps.run(node.kernel)
    assert outcome.answer is Answer.PARTIAL
    assert outcome.expected.huge_bytes == outcome.measured.huge_bytes == 2048 * PAGE
    assert process.huge_pages == 4
    told_before = dataclasses.replace(in_steps, stop=lambda: True).run(node.kernel)
    assert (told_before.answer, told_before.measured) == (Answer.REFUSED, None)


def test_a_process_that_leaves_between_two_steps_is_not_advised_any_more(tmp_path):
    node = TwinNode(tmp_path)
    process = node.process(pages=2048)

    def leaves_after_a_step() -> bool:
        if process.huge_pages:
            node.file(1, "cgroup.procs").write_text("")
        return False

    whole = advise(node, process, Advice.COLLAPSE, count=2048)
    action = dataclasses.replace(whole, stop=leaves_after_a_step, step_bytes=512 * PAGE)
    assert action.run(node.kernel).answer is Answer.PARTIAL
    assert process.huge_pages == 1


def test_willneed_expects_usage_to_grow(tmp_path):
    node = TwinNode(tmp_path)
    outcome = advise(node, node.process(), Advice.WILLNEED).run(node.kernel)
    assert outcome.expected.usage_bytes == 100 * PAGE
    assert outcome.measured.usage_bytes == 0  # measured, and not taken for granted


def test_the_kernel_stops_at_the_first_part_that_is_not_mapped(tmp_path):
    node = TwinNode(tmp_path)
    process = node.process()
    ranges = np.array(
        [[process.start, 8 * PAGE], [process.end, PAGE], [process.start + 8 * PAGE, PAGE]], dtype=np.uint64
    )
    outcome = Advise(node.container(), process.pid, ranges, Advice.PAGEOUT).run(node.kernel)
    assert outcome.answer is Answer.PARTIAL
    assert outcome.measured.resident_bytes == -8 * PAGE


def test_more_ranges_than_the_kernel_takes_at_once_are_given_in_turns(tmp_path):
    node = TwinNode(tmp_path)
    process = node.process(pages=3000)
    starts = process.start + np.arange(MOST_RANGES + 200, dtype=np.uint64) * np.uint64(2 * PAGE)
    ranges = np.column_stack([starts, np.full(len(starts), PAGE, dtype=np.uint64)])
    outcome = Advise(node.container(), process.pid, ranges, Advice.PAGEOUT).run(node.kernel)
    assert outcome.answer is Answer.DONE
    assert outcome.measured.resident_bytes == -len(starts) * PAGE


def test_a_process_of_another_container_is_refused(tmp_path):
    node = TwinNode(tmp_path, containers=2)
    process = node.process(number=2)
    outcome = advise(node, process, number=1).run(node.kernel)
    assert (outcome.answer, outcome.measured) == (Answer.REFUSED, None)
    assert process.has(1 << 3).all()


def test_a_pid_that_is_another_process_by_the_time_it_is_opened_is_refused(tmp_path):
    node = TwinNode(tmp_path)
    old = node.process()
    other = type(old)(old.pid, started_ticks=999)

    def recycle() -> None:
        node.kernel.processes.end(old.pid)
        node.file(1, "cgroup.procs").write_text("")
        node.kernel.processes.add(other)

    action = advise(node, old)
    node.kernel.happen_before("stat", recycle)
    outcome = action.run(node.kernel)
    assert outcome.answer in (Answer.REFUSED, Answer.GONE)
    assert other.has(1 << 3).all()
    assert old.has(1 << 3).all()


def test_a_process_that_leaves_the_cgroup_after_it_was_opened_is_refused(tmp_path):
    node = TwinNode(tmp_path)
    process = node.process()
    action = advise(node, process)
    node.kernel.happen_before("stat", lambda: node.file(1, "cgroup.procs").write_text(""))
    assert action.run(node.kernel).answer is Answer.REFUSED
    assert process.has(1 << 3).all()


def test_a_process_that_has_ended_is_gone(tmp_path):
    node = TwinNode(tmp_path)
    process = node.process()
    action = advise(node, process)
    node.kernel.processes.end(process.pid)
    assert action.run(node.kernel).answer is Answer.GONE


def test_no_descriptor_stays_open(tmp_path):
    node = TwinNode(tmp_path)
    process = node.process()
    descriptors = Path("/proc/self/fd")
    action = advise(node, process)
    before = len(list(descriptors.iterdir()))
    for _ in range(5):
        action.run(node.kernel)
        node.kernel.fail("stat", errno.ESRCH)
        action.run(node.kernel)
    assert len(list(descriptors.iterdir())) == before


def test_a_dry_run_advises_nothing(tmp_path):
    node = TwinNode(tmp_path, mode=Mode.DRY_RUN)
    process = node.process()
    outcome = advise(node, process).run(node.kernel)
    assert outcome.answer is Answer.PLANNED
    assert process.has(1 << 3).all()
    assert node.kernel.notes[-1].what == f"process_madvise {process.pid}"
