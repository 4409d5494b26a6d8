import math

import pytest

from builders.twin_node import MIB, TwinNode
from plimsoll_nodeagent.sample.formats import MemoryInfo
from plimsoll_nodeagent.sample.swap import ContainerSwap, swap_devices, swap_full, zswap_enabled

SWAPS = """Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority
/dev/zram0                              partition\t524284\t\t262144\t\t100
/swapfile                               file\t\t1048572\t\t0\t\t-2
"""


def with_zram(tmp_path, stored=256 * MIB, taken=64 * MIB) -> TwinNode:
    node = TwinNode(tmp_path)
    node.tree.write(tmp_path / "proc/swaps", SWAPS)
    node.tree.write(tmp_path / "sys/block/zram0/mm_stat", f"{stored} {taken // 2} {taken} 0 0 1 0 0\n")
    return node


def test_devices_and_how_well_zram_compresses(tmp_path):
    zram, file = swap_devices(with_zram(tmp_path).kernel)
    assert (zram.name, zram.used_bytes, zram.compression_ratio) == ("/dev/zram0", 256 * MIB, 4.0)
    assert (file.size_bytes, file.compression_ratio) == (1048572 * 1024, None)


def test_zram_that_compresses_badly_is_seen(tmp_path):
    zram, _ = swap_devices(with_zram(tmp_path, stored=100 * MIB, taken=98 * MIB).kernel)
    assert zram.compression_ratio < 1.03


def test_empty_or_garbled_figures_of_zram_give_no_ratio(tmp_path):
    assert swap_devices(with_zram(tmp_path, stored=0, taken=0).kernel)[0].compression_ratio is None
    (tmp_path / "sys/block/zram0/mm_stat").write_text("x\n")
    assert swap_devices(TwinNode(tmp_path / "other").kernel) == ()


@pytest.mark.parametrize(
    ("swap", "free", "headroom"),
    [
        (ContainerSwap(0, math.inf), 100, 100),
        (ContainerSwap(60, 100.0), 1000, 40),
        (ContainerSwap(60, 50.0), 1000, 0),
        (ContainerSwap(0, 0.0), 1000, 0),
        (ContainerSwap(0, math.inf), 0, 0),
    ],
)
def test_headroom_is_bounded_by_the_container_and_by_the_node(swap, free, headroom):
    assert swap.headroom_bytes(free) == headroom


def test_swap_is_full_when_next_to_nothing_is_free():
    def info(free: int) -> MemoryInfo:
        return MemoryInfo(1000, 10, 10, 1000, free)

    assert swap_full(info(10))
    assert not swap_full(info(500))
    assert swap_full(MemoryInfo(1000, 10, 10, 0, 0))


def test_zswap_is_on_only_where_it_says_so(tmp_path):
    node = TwinNode(tmp_path)
    assert not zswap_enabled(node.kernel)
    node.tree.write(tmp_path / "sys/module/zswap/parameters/enabled", "Y\n")
    assert zswap_enabled(node.kernel)
