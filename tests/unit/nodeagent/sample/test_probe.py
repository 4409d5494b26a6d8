import errno
import json

import numpy as np
import pytest

from builders.twin_node import ROOT, TwinNode
from plimsoll_nodeagent.act.damon import ADMIN
from plimsoll_nodeagent.capabilities import Engine, Level
from plimsoll_nodeagent.kernelfs import TwinProcess
from plimsoll_nodeagent.sample.probe import DAMON_STAT, find_capabilities


def full_node(tmp_path) -> TwinNode:
    """A node with everything a recent kernel offers."""
    node = TwinNode(tmp_path)
    pods = node.tree.cgroups / "kubepods"
    node.tree.write(pods / "memory.reclaim", "")
    node.tree.write(tmp_path / "sys/kernel/mm/page_idle/bitmap", "\0" * 4096)
    node.tree.write(tmp_path / "sys/kernel/mm/transparent_hugepage/enabled", "always\n")
    node.tree.write(tmp_path / "sys/module/zswap/parameters/enabled", "N\n")
    for tier, nodes in ((4, "0-1"), (20, "2")):
        path = tmp_path / f"sys/devices/virtual/memory_tiering/memory_tier{tier}/nodelist"
        node.tree.write(path, f"{nodes}\n")
    return node


def with_ourselves(node: TwinNode, monkeypatch, *, soft_dirty: bool) -> None:
    process = TwinProcess(4242)
    if soft_dirty:
        process.touch(0, 4, write=True)
    node.kernel.processes.add(process)
    monkeypatch.setattr("os.getpid", lambda: 4242)


def levels(node: TwinNode, **more) -> dict[Engine, Level]:
    return {each.engine: each.level for each in find_capabilities(node.kernel, ROOT, **more).engines}


def test_a_full_kernel_has_every_engine_at_its_best(tmp_path, monkeypatch):
    node = full_node(tmp_path)
    with_ourselves(node, monkeypatch, soft_dirty=True)
    assert levels(node) == {
        Engine.ACCESSES: Level.DAMON,
        Engine.PRESSURE: Level.TRIGGERS,
        Engine.RECLAIM: Level.SWAPPINESS,
        Engine.ANONYMOUS: Level.SWAP,
        Engine.ADVICE: Level.COLLAPSE,
        Engine.COMPACTION: Level.PER_NUMA_NODE,
        Engine.TIERING: Level.TIERS,
    }


def test_without_damon_accesses_fall_step_by_step_to_refaults(tmp_path, monkeypatch):
    node = full_node(tmp_path)
    with_ourselves(node, monkeypatch, soft_dirty=True)
    found = []
    for path in (f"{ADMIN}/nr_kdamonds", "/sys/kernel/mm/page_idle/bitmap", "/sys/kernel/debug/lru_gen"):
        (tmp_path / path.strip("/")).unlink()
        found.append(levels(node)[Engine.ACCESSES])
    with_ourselves(node, monkeypatch, soft_dirty=False)
    found.append(levels(node)[Engine.ACCESSES])
    (node.tree.cgroups / "kubepods/memory.stat").write_text("anon 4096\n")
    found.append(levels(node)[Engine.ACCESSES])
    assert found == [
        Level.IDLE_BITS,
        Level.LRU_GENERATIONS,
        Level.SOFT_DIRTY,
        Level.REFAULTS,
        Level.NONE,
    ]


@pytest.mark.parametrize(
    ("path", "text", "why"),
    [
        (f"{ADMIN}/nr_kdamonds", "2\n", "somebody else has 2 kdamonds"),
        (DAMON_STAT, "Y\n", "DAMON_STAT holds it"),
    ],
)
def test_damon_that_somebody_else_holds_is_not_there_and_the_reason_is_told(tmp_path, path, text, why):
    node = full_node(tmp_path)
    node.tree.write(tmp_path / path.strip("/"), text)
    found = find_capabilities(node.kernel, ROOT)
    accesses = next(each for each in found.engines if each.engine is Engine.ACCESSES)
    assert accesses.level is Level.LRU_GENERATIONS
    assert why in accesses.why


def test_kdamonds_of_our_own_are_no_obstacle(tmp_path):
    node = full_node(tmp_path)
    node.tree.write(tmp_path / f"{ADMIN}/nr_kdamonds".strip("/"), "2\n")
    assert levels(node, ours=lambda: True)[Engine.ACCESSES] is Level.DAMON


def test_without_swap_only_file_pages_can_be_taken(tmp_path):
    node = full_node(tmp_path)
    meminfo = tmp_path / "proc/meminfo"
    meminfo.write_text(meminfo.read_text().replace("524288 kB\nSwapFree", "0 kB\nSwapFree"))
    found = find_capabilities(node.kernel, ROOT)
    assert found.level(Engine.ANONYMOUS) is Level.FILE_ONLY
    assert any("no swap" in each for each in found.limits)


def test_without_psi_the_agent_only_observes(tmp_path):
    node = full_node(tmp_path)
    assert not find_capabilities(node.kernel, ROOT).observe_only
    (node.tree.cgroups / "kubepods/memory.pressure").unlink()
    found = find_capabilities(node.kernel, ROOT)
    assert found.level(Engine.PRESSURE) is Level.NONE
    assert found.observe_only


def test_psi_that_is_switched_off_is_none_too(tmp_path):
    node = full_node(tmp_path)
    node.kernel.fail("memory.pressure", errno.EOPNOTSUPP)
    assert find_capabilities(node.kernel, ROOT).observe_only


@pytest.mark.parametrize(
    ("release", "reclaim", "advice"),
    [
        ("7.2.12-test", Level.SWAPPINESS, Level.COLLAPSE),
        ("6.10.0", Level.PLAIN, Level.COLLAPSE),
        ("5.15.0-generic", Level.PLAIN, Level.WILLNEED),
        ("5.10.0", Level.PLAIN, Level.PAGEOUT),
        ("unreadable", Level.PLAIN, Level.PAGEOUT),
    ],
)
def test_older_kernels_have_less(tmp_path, monkeypatch, release, reclaim, advice):
    node = full_node(tmp_path)
    with_ourselves(node, monkeypatch, soft_dirty=True)
    (tmp_path / "proc/sys/kernel/osrelease").write_text(f"{release}\n")
    found = levels(node)
    assert (found[Engine.RECLAIM], found[Engine.ADVICE]) == (reclaim, advice)


def test_without_memory_reclaim_a_lease_on_memory_high_is_left(tmp_path):
    node = full_node(tmp_path)
    (node.tree.cgroups / "kubepods/memory.reclaim").unlink()
    assert levels(node)[Engine.RECLAIM] is Level.HIGH_LEASE


def test_a_seccomp_profile_that_forbids_the_call_is_told(tmp_path, monkeypatch):
    node = full_node(tmp_path)
    with_ourselves(node, monkeypatch, soft_dirty=True)

    def forbidden(*_):
        raise OSError(errno.ENOSYS, "as told")

    node.kernel.processes.process_madvise = forbidden
    found = find_capabilities(node.kernel, ROOT)
    assert found.level(Engine.ADVICE) is Level.NONE
    assert "process_madvise is unsupported" in str(found.as_dict())


@pytest.mark.parametrize(
    ("effective", "why"),
    [
        ("0000000001880000", ""),
        ("0000000000080000", "CAP_SYS_NICE missing"),
        ("0000000000000000", "CAP_SYS_PTRACE and CAP_SYS_NICE missing"),
    ],
)
def test_without_the_rights_over_other_processes_there_is_no_advice(tmp_path, monkeypatch, effective, why):
    node = full_node(tmp_path)
    with_ourselves(node, monkeypatch, soft_dirty=True)
    node.tree.write(tmp_path / "proc/self/status", f"Name:\ta\nCapEff:\t{effective}\n")
    advice = next(each for each in find_capabilities(node.kernel, ROOT).engines if each.engine == "advice")
    assert (advice.level is Level.NONE) == bool(why)
    assert why in advice.why


def test_a_node_without_anything_has_reasons_for_everything(tmp_path):
    from plimsoll_nodeagent.kernelfs import TwinKernel

    found = find_capabilities(TwinKernel(tmp_path), ROOT)
    assert found.observe_only
    assert {each.level for each in found.engines} == {Level.NONE, Level.FILE_ONLY}
    assert all(each.why for each in found.engines)


def test_idle_bits_are_of_no_use_where_page_frames_are_hidden(tmp_path, monkeypatch):
    node = full_node(tmp_path)
    for path in (f"{ADMIN}/nr_kdamonds", "/sys/kernel/debug/lru_gen"):
        (tmp_path / path.strip("/")).unlink()
    with_ourselves(node, monkeypatch, soft_dirty=True)
    words = np.full(1024, (1 << 63) | (1 << 55), dtype=np.uint64)  # present, soft-dirty, no frame
    with (tmp_path / "proc/4242/pagemap").open("r+b") as file:
        file.seek(0x10000000 // 4096 * 8)
        file.write(words.tobytes())
    accesses = find_capabilities(node.kernel, ROOT).engines[0]
    assert accesses.level is Level.SOFT_DIRTY
    assert "CAP_SYS_ADMIN" in accesses.why


def test_the_next_level_that_there_is_stands_beneath(tmp_path, monkeypatch):
    node = full_node(tmp_path)
    with_ourselves(node, monkeypatch, soft_dirty=False)
    (tmp_path / "sys/kernel/debug/lru_gen").unlink()
    accesses = find_capabilities(node.kernel, ROOT).engines[0]
    assert (accesses.level, accesses.falls_back_to) == (Level.DAMON, Level.IDLE_BITS)


def test_what_is_lost_later_falls_step_by_step_and_says_why(tmp_path, monkeypatch):
    node = full_node(tmp_path)
    with_ourselves(node, monkeypatch, soft_dirty=True)
    found = find_capabilities(node.kernel, ROOT)
    assert found.has(Engine.ACCESSES, Level.SOFT_DIRTY)
    found = found.fallen(Engine.ACCESSES, "others have it").fallen(Engine.ACCESSES, "denied")
    accesses = found.engines[0]
    assert (accesses.level, accesses.falls_back_to) == (Level.LRU_GENERATIONS, Level.SOFT_DIRTY)
    assert accesses.why == "no damon: others have it; no idle-bits: denied"
    assert not found.has(Engine.ACCESSES, Level.DAMON)


def test_at_least_compares_levels_of_an_engine(tmp_path):
    found = find_capabilities(full_node(tmp_path).kernel, ROOT)
    assert found.at_least(Engine.RECLAIM, Level.PLAIN)
    assert not find_capabilities(TwinNode(tmp_path / "b").kernel, ROOT).at_least(Engine.TIERING, Level.TIERS)


def test_it_can_be_sent_and_read(tmp_path):
    found = find_capabilities(full_node(tmp_path).kernel, ROOT)
    document = json.loads(json.dumps(found.as_dict()))
    assert document["numaNodes"] == [0, 1]
    assert {each["engine"] for each in document["engines"]} == {each.value for each in Engine}


def test_looking_writes_nothing(tmp_path):
    node = full_node(tmp_path)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    find_capabilities(node.kernel, ROOT)
    assert not node.kernel.notes
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


def test_generations_that_are_switched_off_are_no_level_and_the_reason_is_told(tmp_path):
    node = full_node(tmp_path)
    (tmp_path / f"{ADMIN}/nr_kdamonds".strip("/")).unlink()
    assert levels(node)[Engine.ACCESSES] is Level.LRU_GENERATIONS
    node.tree.write(tmp_path / "sys/kernel/mm/lru_gen/enabled", "0x0000\n")
    accesses = find_capabilities(node.kernel, ROOT).engines[0]
    assert accesses.level is not Level.LRU_GENERATIONS
    assert "switched off" in str(accesses)
