"""Whose generations are whose, wherever cgroups are mounted."""

from pathlib import Path

import pytest

from builders.cgroup_tree import CgroupTree, Naming, nested
from builders.twin_node import Clock
from plimsoll_nodeagent.control.idle_ages import IdleAgeSampler
from plimsoll_nodeagent.discover.tracker import Tracker
from plimsoll_nodeagent.kernelfs import KernelFs, Mode, TwinKernel

GENERATIONS = """ node     0
          0      90000        100        200
          1       1000         10         20
"""
PAGE = 4096


def written(root: Path, paths: list[str]) -> KernelFs:
    text = "".join(f"memcg {number:5} {path}\n{GENERATIONS}" for number, path in enumerate(paths, 1))
    CgroupTree.write(root / "sys/kernel/debug/lru_gen", text)
    return TwinKernel(root, Mode.READ)


def looked(fs: KernelFs, cgroup_root: str) -> list[float]:
    tracker = Tracker(fs, cgroup_root)
    tracker.look()
    sampler = IdleAgeSampler(fs, cgroup_root)
    mapped = dict.fromkeys(tracker.containers, 1 << 40)
    sampler.sample(tracker.containers.values(), Clock().seconds, mapped)
    return [each.ages.total_bytes for each in sampler.looked.values()]


@pytest.mark.parametrize("cgroup_root", ["/sys/fs/cgroup", "/sys/fs/cgroup/kubelet"])
def test_a_cgroup_root_below_the_hierarchys_root_finds_its_generations(tmp_path, cgroup_root: str):
    tree = CgroupTree(tmp_path, nested(Naming()))
    own = tree.container()
    tree.write(tree.cgroups / "kubelet/cgroup.controllers", "memory\n")
    fs = written(tmp_path, ["/", f"/{own.relative_to(tree.cgroups)}"])
    assert looked(fs, cgroup_root) == [330 * PAGE]


def test_where_only_a_part_of_the_hierarchy_is_mounted_the_rest_of_the_name_is_found(tmp_path):
    tree = CgroupTree(tmp_path)
    paths = [tree.container(number, pod=number).relative_to(tree.cgroups) for number in (1, 2)]
    fs = written(tmp_path, ["/", *(f"/machine.slice/vm-7.scope/{path}" for path in paths)])
    assert looked(fs, "/sys/fs/cgroup") == [330 * PAGE, 330 * PAGE]


def test_generations_of_two_machines_with_the_same_names_are_nobodys(tmp_path):
    tree = CgroupTree(tmp_path)
    own = tree.container().relative_to(tree.cgroups)
    fs = written(tmp_path, [f"/one.scope/{own}", f"/two.scope/{own}"])
    assert looked(fs, "/sys/fs/cgroup") == []


def test_cgroups_below_a_container_are_its_own(tmp_path):
    tree = CgroupTree(tmp_path)
    own = tree.container().relative_to(tree.cgroups)
    fs = written(tmp_path, [f"/{own}", f"/{own}/init.scope", f"/{own}-other"])
    assert looked(fs, "/sys/fs/cgroup") == [660 * PAGE]


def test_cgroups_below_a_container_count_in_its_numa_nodes_too(tmp_path):
    tree = CgroupTree(tmp_path)
    own = tree.container().relative_to(tree.cgroups)
    tracker = Tracker(written(tmp_path, [f"/{own}", f"/{own}/init.scope", f"/{own}/app"]), "/sys/fs/cgroup")
    tracker.look()
    (container,) = tracker.containers.values()
    sampler = IdleAgeSampler(TwinKernel(tmp_path, Mode.READ), "/sys/fs/cgroup")
    sampler.sample([container], Clock().seconds, {container.key: 1 << 40})
    looked = sampler.looked[container.key]
    assert {node: each.total_bytes for node, each in looked.by_numa_node.items()} == {0: 990 * PAGE}


@pytest.mark.parametrize(
    ("mapped_pages", "told", "untold"), [(None, 110, 220), (0, 110, 220), (30, 140, 190), (999, 330, 0)]
)
def test_page_cache_has_an_age_only_as_far_as_it_is_mapped(tmp_path, mapped_pages, told: int, untold: int):
    tree = CgroupTree(tmp_path)
    own = tree.container().relative_to(tree.cgroups)
    tracker, fs = Tracker(written(tmp_path, [f"/{own}"]), "/sys/fs/cgroup"), TwinKernel(tmp_path, Mode.READ)
    tracker.look()
    (container,) = tracker.containers.values()
    sampler = IdleAgeSampler(fs, "/sys/fs/cgroup")
    mapped = {} if mapped_pages is None else {container.key: mapped_pages * PAGE}
    sampler.sample([container], Clock().seconds, mapped)
    looked = sampler.looked[container.key]
    assert looked.ages.total_bytes == told * PAGE
    assert looked.untold_bytes == untold * PAGE
    assert looked.anon_ages.total_bytes == 110 * PAGE
    assert looked.by_numa_node[0].total_bytes == told * PAGE
    # What is mapped may be the youngest: no older page is believed to be.
    assert looked.ages.idle_bytes(1.0) == (100 + max(0, min(200, (mapped_pages or 0) - 20))) * PAGE


def test_of_what_is_mapped_a_numa_node_has_what_the_others_cannot_have(tmp_path):
    tree = CgroupTree(tmp_path)
    own = tree.container().relative_to(tree.cgroups)
    fs = written(tmp_path, [f"/{own}"])
    path = tmp_path / "sys/kernel/debug/lru_gen"
    path.write_text(path.read_text() + " node     1\n          0       1000         10         50\n")
    tracker = Tracker(fs, "/sys/fs/cgroup")
    tracker.look()
    (container,) = tracker.containers.values()
    sampler = IdleAgeSampler(fs, "/sys/fs/cgroup")
    sampler.sample([container], Clock().seconds, {container.key: 100 * PAGE})
    nodes = sampler.looked[container.key].by_numa_node
    assert [nodes[each].total_bytes // PAGE for each in (0, 1)] == [110 + 50, 10]
