import errno

import pytest

from builders.twin_node import ROOT, TwinNode
from plimsoll_nodeagent.kernelfs import Absence, Answer
from plimsoll_nodeagent.sample.formats import FormatError
from plimsoll_nodeagent.sample.lru_gen import LRU_GEN, age, grouped, idle_ages, parse_lru_gen, read_lru_gen

PAGE = 4096


def own(node: TwinNode):
    path = node.container().path.removeprefix(ROOT)
    return grouped(read_lru_gen(node.kernel), [path])[path]


def test_generations_are_told_by_cgroup_and_numa_node(tmp_path):
    node = TwinNode(tmp_path)
    first, second = own(node)
    assert (first.memcg_id, first.numa_node, second.numa_node) == (7, 0, 1)
    assert [each.number for each in first.generations] == [4, 5, 6, 7]
    assert first.generations[0].age_seconds == 120.0
    assert first.generations[0].file_pages == 2000


def test_pages_are_surely_idle_since_the_next_younger_generation_was_born(tmp_path):
    ages = idle_ages(own(TwinNode(tmp_path))[:1])
    assert ages.from_seconds.tolist() == [0.0, 1.0, 10.0, 60.0]
    assert (ages.anon_bytes // PAGE).tolist() == [5, 50, 500, 1000]
    assert (ages.file_bytes // PAGE).tolist() == [6, 40, 100, 2000]


def test_numa_nodes_are_added_up_on_edges_of_both(tmp_path):
    ages = idle_ages(own(TwinNode(tmp_path)))
    assert ages.from_seconds.tolist() == [0.0, 1.0, 2.0, 10.0, 60.0]
    assert ages.anon_bytes.sum() == (1555 + 71) * PAGE


def test_no_generations_give_an_empty_histogram():
    ages = idle_ages([])
    assert (ages.from_seconds.tolist(), ages.anon_bytes.sum(), ages.file_bytes.sum()) == ([0.0], 0, 0)


def test_all_cgroups_are_grouped_in_one_pass():
    text = "".join(f"memcg 1 {path}\n node 0\n 1 2 3 4\n" for path in ("/", "/a", "/a/b/c", "/ab", "/x"))
    found = grouped(parse_lru_gen(text), ["/a", "/ab", "/none"])
    assert {path: [each.path for each in lists] for path, lists in found.items()} == {
        "/a": ["/a", "/a/b/c"],
        "/ab": ["/ab"],
        "/none": [],
    }


def test_ageing_makes_a_new_youngest_generation(tmp_path):
    node = TwinNode(tmp_path)
    lru = own(node)[0]
    assert age(node.kernel, lru) is Answer.DONE
    assert [each.number for each in own(node)[0].generations] == [4, 5, 6, 7, 8]
    assert node.kernel.notes[-1].text == "+ 7 0 7 1"


def test_ageing_a_generation_that_is_no_longer_the_newest_is_refused_by_the_kernel(tmp_path):
    node = TwinNode(tmp_path)
    lru = own(node)[0]
    age(node.kernel, lru)
    node.kernel.fail("lru_gen", errno.EINVAL)
    assert age(node.kernel, lru) is Answer.UNSUPPORTED


@pytest.mark.parametrize("text", ["1 2 3\n", "memcg x /\n", "node one\n", "memcg 1 /\n node 0\n 1 2 a 4\n"])
def test_what_is_not_of_the_format_is_not_guessed(text):
    with pytest.raises(FormatError):
        parse_lru_gen(text)


def test_counters_below_zero_for_a_moment_are_none():
    (lru,) = parse_lru_gen("memcg     1 /\n node     0\n          3       1000         -5       12\n")
    assert (lru.generations[0].anon_pages, lru.generations[0].file_pages) == (0, 12)


def test_a_kernel_without_generations_is_told(tmp_path):
    node = TwinNode(tmp_path)
    (tmp_path / "sys/kernel/debug/lru_gen").unlink()
    assert read_lru_gen(node.kernel) is Absence.GONE


def test_garbage_is_garbled(tmp_path):
    node = TwinNode(tmp_path)
    (tmp_path / "sys/kernel/debug/lru_gen").write_text("nothing of the kind\n")
    assert read_lru_gen(node.kernel) is Absence.GARBLED


@pytest.mark.parametrize(
    ("mapped_pages", "file_pages"),
    [(-5, [0, 0, 0, 0]), (0, [0, 0, 0, 0]), (50, [6, 40, 4, 0]), (1 << 40, [6, 40, 100, 2000])],
)
def test_of_page_cache_the_age_is_told_as_far_as_it_is_mapped_and_then_it_is_the_youngest(
    tmp_path, mapped_pages: int, file_pages: list[int]
):
    ages = idle_ages(own(TwinNode(tmp_path))[:1])
    told = ages.told_bytes(mapped_pages * PAGE) - ages.anon_bytes
    assert (told // PAGE).tolist() == file_pages


WITHOUT_A_PAGE = "memcg 7 /kubepods\n node 0\n 4 120000 0 0\n 5 60000 0 0\n 6 10000 0 0\n 7 1000 0 0\n"


@pytest.mark.parametrize("enabled", ["0x0000\n", "0x0006\n"])
def test_generations_that_are_switched_off_are_none(tmp_path, enabled):
    node = TwinNode(tmp_path)
    node.tree.write(tmp_path / "sys/kernel/mm/lru_gen/enabled", enabled)
    assert read_lru_gen(node.kernel) is Absence.UNSUPPORTED


def test_where_nobody_says_whether_they_are_on_generations_without_a_page_are_none(tmp_path):
    node = TwinNode(tmp_path)
    node.tree.write(tmp_path / LRU_GEN.strip("/"), WITHOUT_A_PAGE)
    assert read_lru_gen(node.kernel) is Absence.UNSUPPORTED
    node.tree.write(tmp_path / "sys/kernel/mm/lru_gen/enabled", "0x0007\n")
    assert not isinstance(read_lru_gen(node.kernel), Absence)
