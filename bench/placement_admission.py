"""What placing pods at admission costs an operator: bench/results/placement-admission.json.

In: `--nodes 100,1000,5000`, ten pods on each kube node, five replicas a workload. Out: for each size what
finding the state anew costs a loop and the longest it holds the event loop, what deciding about one pod
costs (Prefer, Require; p50, p99, the first), and what a row's loads cost the engine. All in processor time of
the thread, which is what the operator itself is to blame for. Real: parsing, membership, placer, patches.

    python bench/placement_admission.py --nodes 100
"""

import argparse
import asyncio
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from builders.clusters import NOW, raw_policy
from builders.placing import new_pod, owned, room_node
from plimsoll.guard.state import ControlState
from plimsoll.usage.sample import Quantity
from plimsoll.workload import WorkloadRef
from plimsoll_operator import parse
from plimsoll_operator.engine.loads import WINDOW_HOURS, LoadDesk
from plimsoll_operator.engine.messages import Member, NodeUse, RowLoads, Tick, empty_tick
from plimsoll_operator.membership import Membership
from plimsoll_operator.owners import OwnerResolver
from plimsoll_operator.place.affinity import placement_patch
from plimsoll_operator.place.placer import Placer
from plimsoll_operator.serve.metrics import Metrics
from plimsoll_operator.world import World, world
from report import Row, bench_options, write_results

COMMAND = "make bench-placement-admission"
SEED = 17
PODS_A_NODE, REPLICAS = 10, 5
DECISIONS = 1000
LOAD_ROWS = 4096
MIB, GIB = 2**20, 2**30
ZONES = 3


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description="placing pods at admission")
    parser.add_argument("--nodes", default="100,1000,5000")
    options = bench_options(parser)
    begun, rows = time.monotonic(), loads_rows()
    for nodes in map(int, options.nodes.split(",")):
        rows += asyncio.run(placing_rows(nodes))
    for row in rows:
        print(f"{row.name:55} {row.value:10.2f} {row.unit}")
    print(write_results("placement-admission", rows, SEED, time.monotonic() - begun))


def loads_rows() -> list[Row]:
    """Loads of a chunk of rows with a whole past: each hour, and a row's first with its hindcast."""
    rng = np.random.default_rng(SEED)
    hourly = rng.uniform(100 * MIB, 2 * GIB, (LOAD_ROWS, WINDOW_HOURS))
    rows, requested, desk = np.arange(LOAD_ROWS, dtype=np.int32), np.full(LOAD_ROWS, 1.0 * GIB), LoadDesk()
    made = []
    for name in ("first", "each_hour"):
        began = time.thread_time()
        desk.look(rows, hourly, requested, NOW)
        desk.take()
        micros = 1e6 * (time.thread_time() - began) / LOAD_ROWS
        made.append(Row(f"placement.admission.loads_{name}", micros, "us/row", LOAD_ROWS, COMMAND))
    return made


@dataclass
class Holds:
    """How long the event loop is held between two breaths."""

    seconds: list[float] = field(default_factory=list)
    began: float = field(default_factory=time.thread_time)

    async def breathe(self) -> None:
        """The event loop may run."""
        self.note()
        await asyncio.sleep(0)
        self.began = time.thread_time()

    def note(self) -> None:
        """A stretch is over."""
        self.seconds.append(time.thread_time() - self.began)


async def placing_rows(nodes: int) -> list[Row]:
    """One size of a cluster."""
    prefix, found = f"placement.admission.nodes_{nodes}", []
    for asked in ("Prefer", "Require"):
        cluster = a_cluster(nodes, asked)
        membership = Membership((), Quantity.WORKING_SET, OwnerResolver())
        changes = await membership.scan(cluster, NOW, Holds().breathe)
        placer = Placer(membership, OwnerResolver(), Metrics("bench"), lambda: NOW, 1e9)
        tick = a_tick(changes.added)
        for name in ("first", "next"):
            holds = Holds()
            await placer.refresh(cluster, tick, ControlState(), holds.breathe)
            holds.note()
            for what, each in (("all", sum(holds.seconds)), ("longest_hold", max(holds.seconds))):
                row = f"{prefix}.refresh_{name}.{what}"
                found += [Row(row, 1e3 * each, "ms", nodes, COMMAND)] if asked == "Prefer" else []
        found += decisions_rows(f"{prefix}.{asked.lower()}", placer, nodes)
    return found


def decisions_rows(prefix: str, placer: Placer, nodes: int) -> Iterator[Row]:
    """One pod after the other, each seeing where the ones before it went."""
    took, told = [], 0
    for number in range(DECISIONS):
        workload = f"w{number % (nodes * PODS_A_NODE // REPLICAS)}"
        pod, ref = new_pod(workload, "128Mi"), WorkloadRef("shop", "StatefulSet", workload)
        began = time.thread_time()
        verdict = placer.place(pod, ref, {}, f"d{number}", remember=True)
        told += len(list(placement_patch(pod, verdict))) > 0 if verdict is not None else 0
        took.append(time.thread_time() - began)
    p50, p99 = (1e3 * float(np.quantile(took[1:], each)) for each in (0.5, 0.99))
    yield Row(f"{prefix}.first", 1e3 * took[0], "ms", 1, COMMAND)
    yield Row(f"{prefix}.p50", p50, "ms", DECISIONS - 1, COMMAND)
    yield Row(f"{prefix}.p99", p99, "ms", DECISIONS - 1, COMMAND)
    yield Row(f"{prefix}.told", 100 * told / DECISIONS, "%", DECISIONS, COMMAND)


def a_cluster(nodes: int, asked: str) -> World:
    """Kube nodes of 64 GiB with ten pods each, replicas side by side on five nodes."""
    pods = (
        parse.pod(
            owned(
                f"w{number // REPLICAS}", f"w{number // REPLICAS}-{number % REPLICAS}", f"n{number % nodes}"
            )
        )
        for number in range(nodes * PODS_A_NODE)
    )
    kube_nodes = (parse.kube_node(room_node(f"n{at}", "64Gi", zone=f"z{at % ZONES}")) for at in range(nodes))
    policy = parse.policy(raw_policy(placement={"node": asked}))
    namespace = parse.namespace({"metadata": {"name": "shop"}})
    assert policy is not None
    return world(pods=pods, kube_nodes=kube_nodes, policies=[policy], namespaces=[namespace])


def a_tick(members: list[Member]) -> Tick:
    """Loads with a daily wave for every row, so that nodes are filled to about four fifths."""
    rng = np.random.default_rng(SEED)
    rows = np.unique([each.row for each in members]).astype(np.int32)
    level = rng.lognormal(np.log(4.5 * GIB), 0.5, (len(rows), 1))
    hours = np.arange(24) + rng.uniform(0, 24, (len(rows), 1))
    mean = level * (1 + 0.3 * np.sin(2 * np.pi * hours / 24))
    deviation = 0.1 * level[:, 0]
    rhythm = np.zeros(len(rows), dtype=np.int32), np.zeros(len(rows), dtype=np.int8)
    always = np.zeros(len(rows), dtype=np.bool_)
    spread = deviation**2, 0.5 * deviation**3, 0.5 * deviation**2
    loads = RowLoads(rows, mean.astype(np.float32), *spread, *rhythm, always, 1.0, 2.0)
    names, counts = np.unique([each.kube_node for each in members], return_counts=True)
    use = NodeUse(tuple(names.tolist()), counts * 4.5 * GIB, counts, counts)
    return replace(empty_tick(NOW), loads=loads, node_use=use)


if __name__ == "__main__":
    main()
