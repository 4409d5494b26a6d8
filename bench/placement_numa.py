"""What moving memory to the CPUs that use it is worth, in a model of a node built on published figures.

In: the agent's own decisions (`plimsoll.placement.numa`), containers whose threads stay, drift or span NUMA
nodes. Out: rows `placement.numa.model.*`: share of accesses that are local, share of all-local's gain in work
done, what was moved and what it cost; intervals over seeds. No machine here has NUMA nodes of different
speed, so this says what follows from the published figures, and nothing of a machine.

Model: what an access costs by the share of a container's accesses that are local, straight between three
published points (Redis in production at Alibaba: with all memory local 26 % more throughput than with all of
it remote, 10.5 % more than with memory anywhere). Google's fleet saw 10 to 20 %, and sometimes remote memory
win; that is not in the model, trials on real machines are what meets it. Assumed: who stays and who drifts,
what a page costs to move, that all of a container's memory is used alike.

    python bench/placement.py --part numa
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from placement_nodes import COMMAND, interval_of
from placement_pods import SEED
from plimsoll.placement.lanes import FloatArray
from plimsoll.placement.numa import (
    PAGE_BYTES,
    PAGE_MOVE_SECONDS,
    NumaContainer,
    NumaMachine,
    NumaTrials,
    local_share,
    plan_numa,
)
from report import Row

GIB = 2.0**30
LOCAL_SHARES, ACCESS_COSTS = (0.0, 0.5, 1.0), (1.26, 1.105, 1.0)  # in terms of an all-local access
NUMA_NODES, NODE_GIB, FILLED = 2, 64.0, 0.7
LOOK_SECONDS, HOURS, SEEDS = 30.0, 6.0, 20
# Shares of containers, and the mean time for which their threads stay on a NUMA node; None: they span both.
KINDS = ((0.7, 4 * 3600.0), (0.2, 1200.0), (0.1, None))


@dataclass(slots=True)
class Tenant:
    """A container: its memory by NUMA node, its CPUs, for how long its threads stay."""

    bytes_on: FloatArray
    cores: float
    stays_seconds: float | None
    home: int
    since_seconds: float = 0.0

    @property
    def cpu_share(self) -> FloatArray:
        """[M] where its threads run."""
        if self.stays_seconds is None:
            return np.full(NUMA_NODES, 1.0 / NUMA_NODES)
        return np.where(np.arange(NUMA_NODES) == self.home, 1.0, 0.0)


@dataclass(slots=True)
class Ran:
    """What came of one node."""

    work: float = 0.0  # seconds of all-local CPU time, after what moving cost
    work_anywhere: float = 0.0  # with memory left where it was first put, page by page at random
    work_local: float = 0.0  # with all memory always where its threads are, at no cost
    accesses: float = 0.0
    local: float = 0.0
    reachable: float = 0.0  # that would be local if memory were always best placed
    moved_bytes: float = 0.0
    move_seconds: float = 0.0
    cpu_seconds: float = 0.0


def measured_rows(seeds: int = SEEDS) -> list[Row]:
    """All rows."""
    runs = [run(np.random.default_rng(SEED + seed)) for seed in range(seeds)]

    def row(name: str, unit: str, top: Sequence[float], bottom: Sequence[float], scale: float = 100.0) -> Row:
        value, low, high = interval_of([top, bottom], lambda a, b: scale * a.sum() / b.sum())
        print(f"numa model: {name} {value:.3g} {unit} [{low:.3g}, {high:.3g}]", flush=True)
        return Row(f"placement.numa.model.{name}", value, unit, seeds, COMMAND, low, high)

    hours = [HOURS] * seeds
    return [
        row("local_share_percent", "%", [each.local for each in runs], [each.accesses for each in runs]),
        row("of_reachable_percent", "%", [each.local for each in runs], [each.reachable for each in runs]),
        row(
            "gain_of_all_local_percent", "%",
            [each.work - each.work_anywhere for each in runs],
            [each.work_local - each.work_anywhere for each in runs],
        ), row("moved_gib_per_hour", "GiB", [each.moved_bytes / GIB for each in runs], hours, 1.0),
        row("move_cost_percent", "%", [each.move_seconds for each in runs], [each.cpu_seconds for each in
        runs]),
    ]  # fmt: skip


def run(rng: np.random.Generator) -> Ran:
    """One node for some hours."""
    tenants, trials, ran = made(rng), NumaTrials(), Ran()
    total = np.full(NUMA_NODES, NODE_GIB * GIB)
    now = 0.0
    while now < HOURS * 3600.0:
        now += LOOK_SECONDS
        for number, one in enumerate(tenants):
            drift(one, rng, now)
            free = total - np.sum([each.bytes_on for each in tenants], axis=0)
            look(str(number), one, NumaMachine(total, free), trials, ran, now)
            count(one, ran)
    return ran


def made(rng: np.random.Generator) -> list[Tenant]:
    """Containers that fill the node so far, their memory page by page at random."""
    found: list[Tenant] = []
    left = FILLED * NUMA_NODES * NODE_GIB * GIB
    while left > 0:
        size = min(rng.lognormal(np.log(2.0), 0.8) * GIB, left)
        stays = KINDS[rng.choice(len(KINDS), p=[share for share, _ in KINDS])][1]
        cores = float(rng.lognormal(np.log(0.5), 0.8))
        found.append(
            Tenant(np.full(NUMA_NODES, size / NUMA_NODES), cores, stays, int(rng.integers(NUMA_NODES)))
        )
        left -= size
    return found


def drift(one: Tenant, rng: np.random.Generator, now: float) -> None:
    """Its threads may go to the other NUMA node."""
    if one.stays_seconds is not None and rng.random() < -np.expm1(-LOOK_SECONDS / one.stays_seconds):
        one.home, one.since_seconds = (one.home + 1) % NUMA_NODES, now


def look(key: str, one: Tenant, machine: NumaMachine, trials: NumaTrials, ran: Ran, now: float) -> None:
    """What the agent does in a look; memory that is remote stalls in no PSI, so trials are passed."""
    trials.judge(key, one.bytes_on, 0.0, now)
    seen = NumaContainer(
        one.bytes_on,
        one.cpu_share * one.cores * LOOK_SECONDS,
        one.cores,
        now - one.since_seconds,
        bound=False,
    )
    plan = plan_numa(machine, seen)
    if not plan.moves or not trials.may_move(key, now):
        return
    trials.moved(key, one.bytes_on, 0.0, now)
    for move in plan.moves:
        one.bytes_on[move.from_numa_node] -= move.size_bytes
        one.bytes_on[move.to_numa_node] += move.size_bytes
        seconds = move.size_bytes / PAGE_BYTES * PAGE_MOVE_SECONDS
        ran.moved_bytes += move.size_bytes
        ran.move_seconds += seconds
        ran.work -= seconds


def count(one: Tenant, ran: Ran) -> None:
    """Work of the time until the next look."""
    seconds = one.cores * LOOK_SECONDS
    share, best = local_share(one.bytes_on, one.cpu_share), float(one.cpu_share.max())
    ran.work += seconds / cost(share)
    ran.work_anywhere += seconds / cost(1.0 / NUMA_NODES)
    ran.work_local += seconds / cost(best)
    ran.accesses += seconds
    ran.local += seconds * share
    ran.reachable += seconds * best
    ran.cpu_seconds += seconds


def cost(share: float) -> float:
    """Of an access, where this share of them is local."""
    return float(np.interp(share, LOCAL_SHARES, ACCESS_COSTS))
