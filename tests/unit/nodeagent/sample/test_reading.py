import errno
import math
import shutil

import pytest

from builders.cgroup_tree import MIB, CgroupTree, Memory
from plimsoll_nodeagent.discover.tracker import Tracker
from plimsoll_nodeagent.kernelfs import Absence, KernelFs
from plimsoll_nodeagent.sample.features import find_features
from plimsoll_nodeagent.sample.reading import Sampler

ROOT = "/sys/fs/cgroup"


class SurprisingFs(KernelFs):
    """Something happens just before the file of a name is read."""

    name = "none"

    def happen(self) -> None: ...

    def contents(self, path, directory):
        if path == self.name:
            self.happen()
        return super().contents(path, directory)


def refuse() -> None:
    raise OSError(errno.EPERM, "as told")


def sampler_of(fs: KernelFs) -> tuple[Sampler, list]:
    tracker = Tracker(fs, ROOT)
    tracker.look()
    return Sampler(fs, find_features(fs, f"{ROOT}/kubepods")), list(tracker.containers.values())


def test_a_sample_has_what_the_kernel_says(tmp_path):
    tree = CgroupTree(tmp_path)
    tree.container(memory=Memory(100 * MIB, memory_max=str(200 * MIB), oom_kills=2, avg10=50.0))
    sampler, [container] = sampler_of(tree.fs)
    sample = sampler.container(container)
    assert sample.container is container
    assert (sample.usage_bytes, sample.peak_bytes) == (100 * MIB, 101 * MIB)
    assert (sample.memory_max_bytes, sample.memory_high_bytes) == (200 * MIB, math.inf)
    assert sample.swap_bytes == 8192
    assert sample.working_set_bytes == 75 * MIB
    assert sample.events["oom_kill"] == 2
    assert sample.stat.refault_file_pages == 17
    assert sample.pressure.some.avg10_ratio == 0.5
    assert not sampler.failures


@pytest.mark.parametrize(
    ("stat", "out_bytes"), [("", 8192), ("swapcached 4096\n", 4096), ("swapcached 12288\n", 0)]
)
def test_what_is_kept_in_swap_after_it_was_read_back_is_not_out(tmp_path, stat: str, out_bytes: int):
    tree = CgroupTree(tmp_path)
    path = tree.container() / "memory.stat"
    path.write_text(path.read_text() + stat)
    sampler, [container] = sampler_of(tree.fs)
    assert sampler.container(container).swapped_out_bytes == out_bytes


def test_the_node(tmp_path):
    sampler, _ = sampler_of(CgroupTree(tmp_path).fs)
    found = sampler.kube_node()
    assert (found.memory.total_bytes, found.memory.swap_free_bytes) == (2048 * MIB, 256 * MIB)
    assert found.pressure.some.avg10_ratio == 0.125


@pytest.mark.parametrize("name", ["memory.current", "memory.stat", "memory.pressure"])
def test_a_container_that_vanishes_in_the_middle_gives_no_sample(tmp_path, name):
    tree = CgroupTree(tmp_path)
    path = tree.container()
    fs = SurprisingFs(tmp_path)
    sampler, [container] = sampler_of(fs)
    fs.name, fs.happen = name, lambda: shutil.rmtree(path, ignore_errors=True)
    assert sampler.container(container) is None
    assert set(sampler.failures) == {Absence.GONE}


def test_a_container_whose_path_another_has_gives_no_sample(tmp_path):
    tree = CgroupTree(tmp_path)
    path = tree.container()
    sampler, [container] = sampler_of(tree.fs)
    path.rename(tmp_path / "kept, so that the inode is not given again")
    tree.container(memory=Memory(7 * MIB))
    assert sampler.container(container) is None


def test_a_file_that_is_hidden_in_one_cgroup_costs_only_itself(tmp_path):
    tree = CgroupTree(tmp_path)
    path = tree.container()
    sampler, [container] = sampler_of(tree.fs)
    (path / "memory.pressure").unlink()
    sample = sampler.container(container)
    assert sample.pressure is None
    assert sample.usage_bytes == 64 * MIB


@pytest.mark.parametrize(
    ("name", "text", "why"),
    [
        ("memory.stat", "anon twelve\n", Absence.GARBLED),
        ("memory.stat", "anon 12\nfil", Absence.TORN),
        ("memory.events", "\x00\xff\n", Absence.GARBLED),
        ("memory.max", "-1\n", Absence.GARBLED),
        ("memory.pressure", "", Absence.GARBLED),
    ],
)
def test_garbage_in_one_file_is_not_known_and_counted(tmp_path, name, text, why):
    tree = CgroupTree(tmp_path)
    tree.container(memory=Memory(extra={name: text}))
    sampler, [container] = sampler_of(tree.fs)
    sample = sampler.container(container)
    field = {"memory.stat": "stat", "memory.events": "events", "memory.max": "memory_max_bytes"}.get(
        name, "pressure"
    )
    assert getattr(sample, field) is None
    assert sampler.failures == {why: 1}


@pytest.mark.parametrize("text", ["", "max\n", "12", "-5\n"])
def test_without_a_usage_that_can_be_believed_there_is_no_sample(tmp_path, text):
    tree = CgroupTree(tmp_path)
    tree.container(memory=Memory(extra={"memory.current": text}))
    sampler, [container] = sampler_of(tree.fs)
    assert sampler.container(container) is None
    assert sum(sampler.failures.values()) == 1


def test_what_is_denied_is_not_known(tmp_path):
    CgroupTree(tmp_path).container()
    fs = SurprisingFs(tmp_path)
    sampler, [container] = sampler_of(fs)
    fs.name, fs.happen = "memory.stat", refuse
    sample = sampler.container(container)
    assert (sample.stat, sample.working_set_bytes) == (None, None)
    assert sampler.failures == {Absence.DENIED: 1}


def test_what_this_kernel_lacks_is_never_asked_for(tmp_path):
    tree = CgroupTree(tmp_path)
    (tree.cgroups / "kubepods/memory.peak").unlink()
    tree.container(memory=Memory(without=("memory.peak",)))
    sampler, [container] = sampler_of(tree.fs)
    assert sampler.container(container).peak_bytes is None
    assert not sampler.failures


@pytest.mark.parametrize(
    ("lines", "mapped", "unmapped"),
    [
        ("file 100\nfile_mapped 30\nshmem 10\n", 20, 60),  # all of the shared memory may be mapped, or none
        ("file 100\nfile_mapped 5\nshmem 40\n", 0, 55),
        ("file 100\nfile_mapped 100\nshmem 0\n", 100, 0),
        ("file 100\nshmem 0\n", 0, 0),
        ("file 100\nfile_mapped 30\n", 0, 0),
        ("file_mapped 30\nshmem 0\n", 30, 0),
    ],
)
def test_page_cache_is_mapped_or_not_as_far_as_that_is_sure(tmp_path, lines, mapped: int, unmapped: int):
    tree = CgroupTree(tmp_path)
    tree.container(memory=Memory(extra={"memory.stat": lines}))
    sampler, [container] = sampler_of(tree.fs)
    sample = sampler.container(container)
    assert (sample.mapped_cache_bytes, sample.unmapped_cache_bytes) == (mapped, unmapped)
