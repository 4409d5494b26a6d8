from builders.agents import AgentOn
from builders.twin_node import MIB, TwinNode
from plimsoll_nodeagent.control.node_limits import GOOD_SECONDS, NodeLimits, limits_now
from plimsoll_nodeagent.control.node_memory import status_of
from plimsoll_nodeagent.kernelfs import Mode
from plimsoll_nodeagent.loop import Watch

ROOT = "/sys/fs/cgroup"
ZRAM = "Filename\tType\tSize\tUsed\tPriority\n/dev/zram0 partition 524288 262144 100\n"


def watched(node: TwinNode):
    watch = Watch(node.kernel, ROOT)

    def look(now: float):
        snapshot = watch.tick(now)
        assert snapshot is not None
        return snapshot

    return look


def bound(node: TwinNode, number: int, text: str) -> None:
    node.file(number, "memory.swap.max").write_text(f"{text}\n")


def test_limited_swap_is_told_in_one_sentence(tmp_path):
    node = TwinNode(tmp_path, containers=4)
    look = watched(node)
    assert limits_now(node.kernel, look(1.0)) == ()
    bound(node, 1, "0")
    bound(node, 2, str(16 * MIB))
    bound(node, 3, str(48 * MIB))
    (said,) = limits_now(node.kernel, look(2.0))
    whole = "LimitedSwap: 1 of 4 containers may not swap, 2 of 4 may swap 64 MiB together at most"
    assert said == f"{whole} (memory.swap.max): the rest of their anonymous memory stays"


def test_a_bound_is_read_once_in_five_minutes_and_a_few_in_a_tick(tmp_path):
    node = TwinNode(tmp_path, containers=5, swap_max="0")
    look, limits = watched(node), NodeLimits(node.kernel, most_read=2)
    said = []
    for now in (1.0, 2.0, 3.0):
        limits.step(look(now))
        said += limits.sentences
    assert [each.split(" containers")[0] for each in said] == [
        f"LimitedSwap: {number} of {number}" for number in (2, 4, 5)
    ]
    for number in range(1, 6):
        bound(node, number, "max")
    limits.step(look(GOOD_SECONDS))
    assert limits.sentences[0].startswith("LimitedSwap: 5 of 5")
    for more in range(3):
        limits.step(look(GOOD_SECONDS + 3.0 + more))
    assert limits.sentences == ()


def test_a_container_that_went_away_is_forgotten_and_one_that_cannot_be_read_counts_for_nothing(tmp_path):
    node = TwinNode(tmp_path, containers=2, swap_max="0")
    look, limits = watched(node), NodeLimits(node.kernel)
    limits.step(look(1.0))
    before = look(2.0)
    node.file(1, "memory.swap.max").unlink()
    limits.step(look(GOOD_SECONDS + 2.0))
    assert limits.sentences[0].startswith("LimitedSwap: 1 of 1 containers may not swap (")
    limits.step(type(before)(**{name: getattr(before, name) for name in before.__slots__} | {"samples": ()}))
    assert limits.sentences == ()


def test_swap_that_is_full_or_compresses_badly_is_a_limit(tmp_path):
    node = TwinNode(tmp_path)
    node.tree.write(tmp_path / "proc/swaps", ZRAM)
    node.tree.write(tmp_path / "sys/block/zram0/mm_stat", f"{100 * MIB} {90 * MIB} {98 * MIB} 0 0 1 0 0\n")
    look = watched(node)
    (badly,) = limits_now(node.kernel, look(1.0))
    assert badly == "/dev/zram0 stores 1.02 bytes for each that it takes: swapping saves little"
    meminfo = tmp_path / "proc/meminfo"
    kept = [line for line in meminfo.read_text().splitlines() if not line.startswith("SwapFree")]
    meminfo.write_text("\n".join([*kept, "SwapFree: 8 kB"]) + "\n")
    full, _ = limits_now(node.kernel, look(2.0))
    assert full == "swap is full (8 KiB of 512 MiB left): only file pages can be reclaimed"


def test_without_swap_only_its_absence_is_told(tmp_path):
    agent = AgentOn(tmp_path, flags=())
    meminfo = agent.node.root / "proc/meminfo"
    kept = [line for line in meminfo.read_text().splitlines() if not line.startswith("Swap")]
    meminfo.write_text("\n".join([*kept, "SwapTotal: 0 kB", "SwapFree: 0 kB"]) + "\n")
    for number in (1, 2):
        bound(agent.node, number, "0")
    agent.start()
    assert agent.tick(2).capabilities.limits == ("no swap: only file pages can be reclaimed",)


def test_the_cluster_is_told_of_limits(tmp_path):
    agent = AgentOn(tmp_path)
    bound(agent.node, 1, "0")
    status = status_of(agent.tick(), Mode.ACT, "0.1.0")
    assert [each.split(":")[0] for each in status.limits] == ["LimitedSwap"]
    assert status.to_api()["limits"] == list(status.limits)
    bound(agent.node, 1, "max")
    assert status_of(agent.tick(seconds=GOOD_SECONDS), Mode.ACT, "0.1.0").limits == ()
