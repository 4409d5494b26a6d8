"""In: threads' stat files. Out: where a container's CPU time was spent between two looks."""

import pytest

from builders.twin_node import TwinNode
from plimsoll_nodeagent.sample.cpu_places import TICKS_PER_SECOND, CpuPlaces, cpus_by_numa_node

PLACES = {0: 0, 1: 0, 2: 1, 3: 1}


def thread(node, tid, seconds, cpu, pid=500, name="a (strange) name"):
    ticks = int(seconds * TICKS_PER_SECOND)
    words = ["S", *["0"] * 10, str(ticks - ticks // 4), str(ticks // 4), *["0"] * 23, str(cpu), "0", "0"]
    text = f"{tid} ({name}) {' '.join(words)}\n"
    node.tree.write(node.root / f"proc/{pid}/task/{tid}/stat", text)


@pytest.fixture
def node(tmp_path):
    return TwinNode(tmp_path)


def test_time_is_counted_where_a_thread_ran_last(node):
    places, key = CpuPlaces(node.kernel), node.container().key
    thread(node, 500, 10.0, 0)
    thread(node, 501, 20.0, 3)
    assert places.look(key, [500], PLACES, 2) is None
    thread(node, 500, 11.0, 1)
    thread(node, 501, 24.0, 2)
    assert places.look(key, [500], PLACES, 2).tolist() == [1.0, 4.0]
    assert places.look(key, [500], PLACES, 2).tolist() == [0.0, 0.0]


def test_a_thread_that_is_new_counts_from_its_birth_and_a_gone_one_not_at_all(node):
    places, key = CpuPlaces(node.kernel), node.container().key
    thread(node, 500, 10.0, 0)
    places.look(key, [500], PLACES, 2)
    thread(node, 502, 2.0, 2)
    assert places.look(key, [500, 600], PLACES, 2).tolist() == [0.0, 2.0]


def test_garbled_files_and_cpus_of_nobody_are_left_out(node):
    places, key = CpuPlaces(node.kernel), node.container().key
    thread(node, 500, 10.0, 9)
    node.tree.write(node.root / "proc/500/task/501/stat", "501 (x")
    places.look(key, [500], PLACES, 2)
    thread(node, 500, 30.0, 9)
    assert places.look(key, [500], PLACES, 2).tolist() == [0.0, 0.0]
    places.keep_only(frozenset())
    assert places.look(key, [500], PLACES, 2) is None


def test_cpus_are_read_off_the_numa_nodes(node):
    for number, cpus in ((0, "0-1\n"), (1, "2,3\n"), (2, "rubbish\n")):
        node.tree.write(node.root / f"sys/devices/system/node/node{number}/cpulist", cpus)
    assert cpus_by_numa_node(node.kernel, (0, 1, 2, 3)) == PLACES
