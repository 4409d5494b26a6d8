"""In: figures of zram. Out: whether swapping more out pays, and what is taken for what was."""

import pytest

from builders.agents import AgentOn
from builders.twin_node import MIB, TwinNode
from plimsoll_nodeagent.control.swap_store import SwapStore

SWAPS = """Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority
/dev/zram0                              partition\t524288\t\t{zram}\t\t100
/swapfile                               file\t\t1048576\t\t{file}\t\t-2
"""


def stored(node: TwinNode, stored_mib: float, taken_mib: float, file_mib: float = 0) -> None:
    swaps = SWAPS.format(zram=int(stored_mib * 1024), file=int(file_mib * 1024))
    node.tree.write(node.root / "proc/swaps", swaps)
    figures = f"{int(stored_mib * MIB)} 0 {int(taken_mib * MIB)} 0 0 0 0 0\n"
    node.tree.write(node.root / "sys/block/zram0/mm_stat", figures)


@pytest.mark.parametrize(
    ("figures", "pays"),
    [
        ((256, 64), True),
        ((256, 200), False),
        ((256, 256), False),
        ((8, 8), True),  # too little to tell
        ((256, 250, 256), True),  # as much lies on a device that takes no memory
        ((0, 0, 256), True),
    ],
)
def test_whether_it_pays(tmp_path, figures, pays):
    node = TwinNode(tmp_path)
    stored(node, *figures)
    store = SwapStore(node.kernel)
    store.look()
    assert store.pays is pays
    assert store.taken_bytes == figures[1] * MIB


def test_without_swap_nothing_is_taken(tmp_path):
    store = SwapStore(TwinNode(tmp_path).kernel)
    store.look()
    assert (store.pays, store.taken_bytes) == (True, 0)


def test_it_must_get_better_before_it_pays_again(tmp_path):
    node = TwinNode(tmp_path)
    store, told = SwapStore(node.kernel), []
    for ratio in (1.35, 1.25, 1.35, 1.45, 1.35):
        stored(node, 100 * ratio, 100)
        store.look()
        told.append(store.pays)
    assert told == [True, False, False, True, True]


def asked_of(agent: AgentOn) -> list[str]:
    """Every write to memory.reclaim so far."""
    return [each.text for each in agent.node.kernel.notes if each.what.endswith("memory.reclaim")]


def test_where_zram_compresses_badly_file_pages_alone_go_and_the_node_needs_what_it_takes(tmp_path):
    agent = AgentOn(tmp_path, containers=1)
    needed = agent.tick(2).node.needed_bytes
    before = len(asked_of(agent))
    stored(agent.node, 100, 95)
    report = agent.tick(60)
    assert agent.taken_bytes > 0
    assert agent.node.file(1, "memory.swap.current").read_text() == "0\n"
    asked = asked_of(agent)[before:]
    assert asked
    assert all(each.endswith(" swappiness=0") for each in asked)
    (container,) = report.containers
    assert report.node.needed_bytes == container.needed_bytes + 95 * MIB
    assert needed <= 64 * MIB
