"""The machine's files as readings; what is not there is not known."""

import math

from builders.cgroup_tree import CgroupTree, Memory
from builders.twin_node import TwinNode
from plimsoll_nodeagent.discover.tracker import Tracker
from plimsoll_nodeagent.sample.features import find_features
from plimsoll_nodeagent.sample.pressure_readings import (
    container_reading,
    is_numa,
    node_readings,
    numa_key,
    numa_node_of,
    scope_name,
)
from plimsoll_nodeagent.sample.reading import Sampler
from plimsoll_nodeagent.sample.triggers import KUBE_NODE

ROOT = "/sys/fs/cgroup"
MIB = 1 << 20


def test_scopes_have_keys_and_names_of_their_own():
    assert [scope_name(each) for each in (KUBE_NODE, numa_key(0), numa_key(3))] == [
        "kube_node",
        "numa_node 0",
        "numa_node 3",
    ]
    assert is_numa(numa_key(0))
    assert not is_numa(KUBE_NODE)
    assert numa_node_of(numa_key(3)) == 3
    assert scope_name((77, "abc")) == "abc"


def test_a_kernel_that_counts_nothing_leaves_it_unknown(tmp_path):
    node = TwinNode(tmp_path, containers=0)
    found = node_readings(node.kernel, 5.0)
    assert set(found) == {KUBE_NODE}  # the twin's NUMA nodes have no meminfo
    kube_node = found[KUBE_NODE]
    assert kube_node.seconds == 5.0
    assert kube_node.total_bytes == 2048 * MIB
    for name in ("allocated_bytes", "compactions", "direct_reclaims", "refaults", "oom_kills"):
        assert math.isnan(getattr(kube_node, name))
    assert 0.0 < kube_node.fragmentation_ratio < 1.0


def test_garbled_files_are_not_known_and_the_rest_is(tmp_path):
    node = TwinNode(tmp_path, containers=0)
    node.tree.write(tmp_path / "proc/vmstat", "pgalloc_normal x\n")
    node.tree.write(tmp_path / "proc/buddyinfo", "what\n")
    node.tree.write(tmp_path / "proc/pressure/memory", "some avg10=nan\n")
    kube_node = node_readings(node.kernel, 5.0)[KUBE_NODE]
    assert math.isnan(kube_node.psi_some_seconds)
    assert math.isnan(kube_node.fragmentation_ratio)
    assert kube_node.free_bytes == 512 * MIB


def reading(tmp_path, **of: object):
    tree = CgroupTree(tmp_path)
    path = tree.container(memory=Memory(64 * MIB, **of))
    tracker = Tracker(tree.fs, ROOT)
    tracker.look()
    (container,) = tracker.containers.values()
    sample = Sampler(tree.fs, find_features(tree.fs, f"{ROOT}/{path.relative_to(tree.cgroups)}")).container(
        container
    )
    return container_reading(sample, 512 * MIB, 5.0)


def test_a_container_is_measured_against_its_limit(tmp_path):
    found = reading(tmp_path, memory_max=str(256 * MIB))
    assert found.total_bytes == 256 * MIB
    assert found.free_bytes == 192 * MIB
    assert found.available_bytes == 208 * MIB  # a quarter of its usage is inactive file pages
    assert (found.events_high, found.events_max, found.oom_kills) == (2.0, 5.0, 0.0)
    assert found.refaults == 20.0
    assert found.swap_total_bytes == 512 * MIB
    assert found.allocated_bytes == 64 * MIB + 40 * 4096  # what it has, and what was ever reclaimed from it


def test_a_container_without_a_limit_is_measured_against_what_it_uses(tmp_path):
    found = reading(tmp_path)
    assert found.total_bytes == 64 * MIB
    assert found.free_bytes == 0.0
    assert found.available_bytes == 16 * MIB
