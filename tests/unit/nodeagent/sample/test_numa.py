import pytest

from builders.twin_node import MIB, TwinNode
from plimsoll_nodeagent.sample.formats import FormatError
from plimsoll_nodeagent.sample.numa import (
    memory_tiers,
    numa_nodes,
    parse_node_list,
    parse_numa_stat,
    read_tiers,
    sample_numa_nodes,
)

MEMINFO = """Node {0} MemTotal:        1048576 kB
Node {0} MemFree:          524288 kB
Node {0} FilePages:        262144 kB
Node {0} AnonPages:         65536 kB
Node {0} HugePages_Total:     0
"""


def with_meminfo(tmp_path, cpus="0") -> TwinNode:
    node = TwinNode(tmp_path)
    for number in (0, 1):
        node.tree.write(tmp_path / f"sys/devices/system/node/node{number}/meminfo", MEMINFO.format(number))
    node.tree.write(tmp_path / "sys/devices/system/node/has_cpu", f"{cpus}\n")
    return node


def test_each_node_has_its_own_memory_and_may_lack_processors(tmp_path):
    first, second = sample_numa_nodes(with_meminfo(tmp_path).kernel)
    assert (first.numa_node, first.total_bytes, first.free_bytes) == (0, 1 << 30, 1 << 29)
    assert (first.has_cpus, second.has_cpus, second.tier) == (True, False, None)


WARM = """Node {0} Inactive(file):  307200 kB
Node {0} Dirty:            40960 kB
Node {0} Writeback:        10240 kB
Node {0} KReclaimable:     20480 kB
"""


def test_page_cache_that_is_dropped_first_is_available_and_what_must_be_written_is_not(tmp_path):
    node = with_meminfo(tmp_path, cpus="0-1")
    text = MEMINFO.format(0) + WARM.format(0)
    node.tree.write(tmp_path / "sys/devices/system/node/node0/meminfo", text)
    first, second = sample_numa_nodes(node.kernel)
    assert first.free_bytes == 512 * MIB
    assert first.available_bytes == (512 + 250 + 10) * MIB
    assert second.available_bytes == second.free_bytes


def test_fast_nodes_that_are_full_of_page_cache_are_not_short(tmp_path):
    node = with_meminfo(tmp_path)
    for number in (0, 1):
        text = MEMINFO.format(number).replace("524288 kB", "20480 kB") + WARM.format(number)
        node.tree.write(tmp_path / f"sys/devices/system/node/node{number}/meminfo", text)
    tiers = read_tiers(node.kernel)
    assert ([each.numa_node for each in tiers.fast], len(tiers.slow)) == ([0], 1)
    assert tiers.demotable_bytes() == 0  # 280 of 1024 MiB are available, though 20 are free
    assert tiers.promotable_bytes() > 0


def test_tiers_are_told_by_node(tmp_path):
    node = with_meminfo(tmp_path)
    base = tmp_path / "sys/devices/virtual/memory_tiering"
    node.tree.write(base / "memory_tier4/nodelist", "0\n")
    node.tree.write(base / "memory_tier22/nodelist", "1\n")
    (base / "uevent").write_text("")
    assert memory_tiers(node.kernel) == {0: 4, 1: 22}
    assert sample_numa_nodes(node.kernel)[1].tier == 22


def test_a_node_that_cannot_be_read_is_left_out(tmp_path):
    node = with_meminfo(tmp_path)
    (tmp_path / "sys/devices/system/node/node1/meminfo").unlink()
    assert [each.numa_node for each in sample_numa_nodes(node.kernel)] == [0]


def test_a_machine_that_tells_no_nodes_has_none(tmp_path):
    node = TwinNode(tmp_path)
    (tmp_path / "sys/devices/system/node/has_memory").unlink()
    assert numa_nodes(node.kernel) == ()


@pytest.mark.parametrize(
    ("text", "nodes"), [("0\n", (0,)), ("0-2,5\n", (0, 1, 2, 5)), ("\n", ()), ("1,3-3\n", (1, 3))]
)
def test_lists_of_nodes(text, nodes):
    assert parse_node_list(text) == nodes


@pytest.mark.parametrize("text", ["a\n", "0-x\n", "-1\n", "0-99999999\n"])
def test_what_is_no_list_is_not_guessed(text):
    with pytest.raises(FormatError):
        parse_node_list(text)


def test_a_cgroup_s_memory_by_node(tmp_path):
    assert parse_numa_stat("anon N0=5 N1=7\nfile N0=1\n") == {"anon": {0: 5, 1: 7}, "file": {0: 1}}
    with pytest.raises(FormatError):
        parse_numa_stat("anon N0=x\n")
