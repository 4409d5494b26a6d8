import pytest

from builders.cgroup_tree import CGROUPFS, SYSTEMD, CgroupTree, nested, uid
from plimsoll_nodeagent.discover.hierarchy import find_memory_cgroup, find_pods_roots, unusable
from plimsoll_nodeagent.kernelfs import KernelFs

ROOT = "/sys/fs/cgroup"


def test_a_unified_hierarchy_with_memory_can_be_watched(tmp_path):
    assert unusable(CgroupTree(tmp_path).fs, ROOT) is None


def test_cgroup_v1_is_named_in_one_sentence(tmp_path):
    CgroupTree.write(tmp_path / "sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n")
    CgroupTree.write(tmp_path / "sys/fs/cgroup/unified/cgroup.controllers", "")
    why = unusable(KernelFs(tmp_path), ROOT)
    assert why.startswith("This host uses cgroup v1")
    assert why.count(". ") == 0


@pytest.mark.parametrize("controllers", ["", "\n", "cpu io pids\n", "memoryish\n"])
def test_a_hierarchy_without_the_memory_controller_cannot(tmp_path, controllers):
    tree = CgroupTree(tmp_path)
    tree.write(tree.cgroups / "cgroup.controllers", controllers)
    assert "no memory controller" in unusable(tree.fs, ROOT)


def test_no_cgroups_at_all_points_to_the_flags(tmp_path):
    assert "--cgroup-root" in unusable(KernelFs(tmp_path), ROOT)


@pytest.mark.parametrize("naming", [CGROUPFS, SYSTEMD, nested(CGROUPFS), nested(SYSTEMD)])
def test_the_root_of_all_pods_is_found_wherever_the_kubelet_has_it(tmp_path, naming):
    tree = CgroupTree(tmp_path, naming)
    (tree.cgroups / "system.slice/sshd.service").mkdir(parents=True)
    found = find_pods_roots(tree.fs, ROOT)
    assert [each.path for each in found] == [f"{ROOT}/{naming.pods_root()}"]
    assert found[0].driver == ("systemd" if naming.systemd else "cgroupfs")


def test_a_cluster_within_a_pod_is_not_this_node_s(tmp_path):
    tree = CgroupTree(tmp_path)
    (tree.cgroups / f"kubepods/pod{uid(1)}" / ("ab" * 32) / "kubelet/kubepods").mkdir(parents=True)
    assert [each.path for each in find_pods_roots(tree.fs, ROOT)] == [f"{ROOT}/kubepods"]


def test_the_cgroup_root_may_be_kubepods_itself(tmp_path):
    tree = CgroupTree(tmp_path)
    assert find_pods_roots(tree.fs, f"{ROOT}/kubepods/")[0].path == f"{ROOT}/kubepods"


def test_without_a_kubelet_the_kernel_is_learnt_from_another_cgroup(tmp_path):
    CgroupTree.write(tmp_path / "sys/fs/cgroup/init.scope/cgroup.procs", "1\n")
    fs = KernelFs(tmp_path)
    assert find_memory_cgroup(fs, ROOT) is None
    CgroupTree.write(tmp_path / "sys/fs/cgroup/system.slice/memory.current", "4096\n")
    assert find_pods_roots(fs, ROOT) == ()
    assert find_memory_cgroup(fs, ROOT) == f"{ROOT}/system.slice"
