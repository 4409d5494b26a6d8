"""Moves containers' memory to the NUMA nodes whose CPUs use it, where their policy says `placement.numa`.

In: samples of containers whose policy asks for it, every half minute. Out: migrations through the actor, each
measured, on trial, and taken back where the container then stalls more. Whether and what is decided in
`plimsoll.placement.numa`; here is only how it is seen and done. Where the policy says Bind, `cpuset.mems`
then keeps new memory there, too (`plimsoll.placement.numa_bind`). A container whose cpuset names NUMA nodes
(the kubelet's static managers do) is left alone, and so is a machine with one NUMA node.
"""

import logging
import math
import time
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from plimsoll.placement.numa import (
    SPANS_BELOW,
    NumaContainer,
    NumaMachine,
    NumaPlan,
    NumaTrials,
    plan_numa,
    remote_share_on,
)
from plimsoll.placement.numa_bind import NumaBindings
from plimsoll_nodeagent.act.actor import Actor
from plimsoll_nodeagent.act.container import opened
from plimsoll_nodeagent.control.brake import Brake
from plimsoll_nodeagent.control.numa_moves import NumaMoves
from plimsoll_nodeagent.control.numa_under_way import UnderWay
from plimsoll_nodeagent.discover.pids import member_pids
from plimsoll_nodeagent.discover.tracker import Container, ContainerId
from plimsoll_nodeagent.kernelfs import Absence, Answer, KernelDirectory, KernelFs
from plimsoll_nodeagent.sample.cpu_places import CpuPlaces, FloatArray, cpus_by_numa_node
from plimsoll_nodeagent.sample.formats import FormatError
from plimsoll_nodeagent.sample.numa import (
    fast_numa_nodes,
    parse_node_list,
    read_numa_stat,
    sample_numa_nodes,
)
from plimsoll_nodeagent.sample.reading import ContainerSample

logger = logging.getLogger(__name__)

Addresses = npt.NDArray[np.uint64]

LOOK_SECONDS = 30.0


@dataclass(slots=True)
class _Watched:
    """What is remembered of a container between two looks."""

    looked_seconds: float
    main: int  # the NUMA node of most of its CPU time, -1: it spans several
    since_seconds: float
    stalled_seconds: float | None  # PSI some, in all


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a container's memory was at the last look, and where it ran until then."""

    numbers: tuple[int, ...]  # [M] NUMA nodes
    bytes_on: FloatArray  # [M]
    cpu_seconds_on: FloatArray  # [M]


@dataclass
class NumaPlaces:
    """One for the agent."""

    fs: KernelFs
    actor: Actor
    brake: Brake
    cpu_seconds: Callable[[], float] = time.thread_time
    """What the agent's thread has run."""
    taken_back_total: int = 0
    plans: dict[ContainerId, NumaPlan] = field(default_factory=dict)
    moves: NumaMoves = field(init=False)
    _cpus: CpuPlaces = field(init=False)
    _trials: NumaTrials = field(default_factory=NumaTrials)
    _bindings: NumaBindings = field(default_factory=NumaBindings)
    _binds: Collection[ContainerId] = ()
    _watched: dict[ContainerId, _Watched] = field(default_factory=dict)
    _places: dict[ContainerId, _Place] = field(default_factory=dict)
    _due_seconds: float = float("-inf")

    def __post_init__(self) -> None:
        self._cpus = CpuPlaces(self.fs)
        self.moves = NumaMoves(self.fs, self.actor, self._trials, self.brake, self.cpu_seconds)

    def step(
        self,
        samples: Iterable[ContainerSample],
        now_seconds: float,
        binds: Collection[ContainerId] = frozenset(),
    ) -> None:
        """Look where it is time, and move, at most `STEP_BYTES` at once; of `binds` the memory is bound, too.
        Nothing is done on a machine with one NUMA node.
        """
        if self._due_seconds - LOOK_SECONDS <= now_seconds < self._due_seconds:
            self.moves.go_on(now_seconds)
            return
        self._due_seconds, self._binds = now_seconds + LOOK_SECONDS, binds
        wanted = list(samples)
        present = frozenset(each.container.key for each in wanted)
        self._forget(present)
        nodes = fast_numa_nodes(self.fs) if wanted else ()
        if len(nodes) < 2:
            return
        numbers = tuple(each.numa_node for each in nodes)
        cpus = cpus_by_numa_node(self.fs, numbers)
        for sample in wanted:
            # What was moved before is not free any more: read anew for each.
            machine = _machine(self.fs, numbers)
            if machine is not None:
                self._one(sample, machine, numbers, cpus, now_seconds)
        self.moves.go_on(now_seconds)

    def local_share(self) -> float | None:
        """Mean share of accesses that are local, of the containers looked at; None where there are none."""
        found = [each.local_before for each in self.plans.values()]
        return float(np.mean(found)) if found else None

    def remote_shares(self) -> dict[int, float]:
        """By NUMA node, the share of accesses to it that are remote; those of which nothing is known lack."""
        numbers = max((each.numbers for each in self._places.values()), key=len, default=())
        alike = [each for each in self._places.values() if each.numbers == numbers]
        if not alike:
            return {}
        shares = remote_share_on(
            np.array([each.bytes_on for each in alike]), np.array([each.cpu_seconds_on for each in alike])
        )
        found = zip(numbers, shares.tolist(), strict=True)
        return {number: share for number, share in found if math.isfinite(share)}

    def _one(
        self,
        sample: ContainerSample,
        machine: NumaMachine,
        numbers: tuple[int, ...],
        cpus: dict[int, int],
        now_seconds: float,
    ) -> None:
        key = sample.container.key
        self._places.pop(key, None)
        with opened(self.fs, sample.container) as cgroup:
            if isinstance(cgroup, Answer):
                return
            pids, held = member_pids(cgroup).pids, _held(cgroup, numbers)
            ours = self.actor.bindings.is_ours(sample.container, cgroup)
            bound = not ours and is_bound(cgroup, numbers)
        spent = self._cpus.look(key, pids, cpus, len(numbers))
        before, watched, stall = self._remember(sample, spent, now_seconds)
        if spent is None or before is None or held is None or stall is None:
            if ours:  # nobody could tell whether it does harm
                self._let_go(sample.container)
            return
        bytes_on = held[0] + held[1]
        self._places[key] = _Place(numbers, bytes_on, spent)
        back = self._trials.judge(str(key), bytes_on, stall, now_seconds)
        if back:
            self.taken_back_total += 1
            logger.warning(
                "memory moved between NUMA nodes is taken back: it stalled more", extra=_extra(sample)
            )
            self.moves.begin(UnderWay(sample, pids, back, numbers, bytes_on, stall, back=True), now_seconds)
            return
        container = NumaContainer(
            bytes_on=bytes_on,
            cpu_seconds_on=spent,
            cpu_cores=float(spent.sum()) / max(now_seconds - before, 1.0),
            steady_seconds=now_seconds - watched.since_seconds,
            bound=bound,
            file_bytes_on=held[1],
        )
        plan = self.plans[key] = self._plan(key, machine, container)
        if not self._bind(sample, machine, container, numbers, stall, now_seconds) and ours:
            self._let_go(sample.container)
        one = UnderWay(sample, pids, plan.moves, numbers, bytes_on, stall, back=False)
        self._carry_out(one, plan, now_seconds)

    def _plan(self, key: ContainerId, machine: NumaMachine, container: NumaContainer) -> NumaPlan:
        """What is under way goes on as far as it goes the same ways; all else is decided anew."""
        cost, ways = self.moves.cost.page_seconds, self.moves.ways(key)
        if ways:
            plan = plan_numa(machine, container, cost, under_way=True)
            if plan.ways() == ways:
                return plan
        return plan_numa(machine, container, cost)

    def _carry_out(self, one: UnderWay, plan: NumaPlan, now_seconds: float) -> None:
        if not plan.moves:
            self.moves.end(one.sample.container.key, plan.why)
        elif self.moves.begin(one, now_seconds):
            told = _told(plan, one.numbers)
            logger.info("memory moves between NUMA nodes", extra=_extra(one.sample) | {"plan": told})

    def _bind(
        self,
        sample: ContainerSample,
        machine: NumaMachine,
        container: NumaContainer,
        numbers: tuple[int, ...],
        stall: float,
        now_seconds: float,
    ) -> bool:
        """Bind it where its policy and everything else allows; whether it is bound."""
        key = str(sample.container.key)
        if sample.container.key not in self._binds or not self._trials.may_move(key, now_seconds):
            return False
        most = math.inf if sample.memory_max_bytes is None else sample.memory_max_bytes
        places = self._bindings.decide(key, machine, container, most, stall, now_seconds)
        if not places:
            return False
        outcome = self.actor.bind(sample.container, tuple(numbers[each] for each in places))
        if outcome.answer is not Answer.DONE:
            self._bindings.undone(key)
            return False
        return True

    def _let_go(self, container: Container) -> None:
        self._bindings.undone(str(container.key))
        self.actor.let_go(container)

    def _remember(
        self, sample: ContainerSample, spent: FloatArray | None, now_seconds: float
    ) -> tuple[float | None, _Watched, float | None]:
        """When it was looked at before, what is remembered from now on, its stall since; None: not known."""
        key, total = sample.container.key, None
        if sample.pressure is not None:
            total = sample.pressure.some.total_seconds
        known = self._watched.get(key)
        main = _main(spent)
        if known is not None and spent is not None and not spent.sum() > 0:
            main = known.main  # who did not run has not moved
        since = now_seconds if known is None or known.main != main else known.since_seconds
        made = self._watched[key] = _Watched(now_seconds, main, since, total)
        if known is None:
            return None, made, None
        stall = None
        if total is not None and known.stalled_seconds is not None:
            stall = max(0.0, total - known.stalled_seconds) / max(now_seconds - known.looked_seconds, 1.0)
        return known.looked_seconds, made, stall

    def _forget(self, present: frozenset[ContainerId]) -> None:
        self._cpus.keep_only(present)
        self._trials.forget(frozenset(str(each) for each in present))
        self._bindings.forget(frozenset(str(each) for each in present))
        self._watched = {key: each for key, each in self._watched.items() if key in present}
        self.moves.keep_only(present)
        self.plans = {key: each for key, each in self.plans.items() if key in present}
        self._places = {key: each for key, each in self._places.items() if key in present}


def _machine(fs: KernelFs, numbers: tuple[int, ...]) -> NumaMachine | None:
    found = {each.numa_node: each for each in sample_numa_nodes(fs)}
    if not all(number in found for number in numbers):
        return None
    nodes = [found[number] for number in numbers]
    return NumaMachine(
        np.array([each.total_bytes for each in nodes], dtype=np.float64),
        np.array([each.available_bytes for each in nodes], dtype=np.float64),
    )


def _held(cgroup: KernelDirectory, numbers: tuple[int, ...]) -> tuple[FloatArray, FloatArray] | None:
    """Anonymous memory and page cache on each NUMA node; None where it is not told."""
    stat = read_numa_stat(cgroup)
    if stat is None:
        return None
    anon, file = (
        np.array([stat.get(kind, {}).get(number, 0) for number in numbers], dtype=np.float64)
        for kind in ("anon", "file")
    )
    return anon, file


def is_bound(cgroup: KernelDirectory, numbers: tuple[int, ...]) -> bool:
    """Whether somebody chose its NUMA nodes; taken for so where it cannot be read, but for no file."""
    text = cgroup.read("cpuset.mems")
    if isinstance(text, Absence):
        return text not in (Absence.GONE, Absence.UNSUPPORTED)
    try:
        named = set(parse_node_list(text))
    except FormatError:
        return True
    return bool(named) and not named.issuperset(numbers)


def _main(spent: FloatArray | None) -> int:
    if spent is None or not spent.sum() > 0:
        return -1
    share = spent / spent.sum()
    return int(share.argmax()) if share.max() >= SPANS_BELOW else -1


def _told(plan: NumaPlan, numbers: tuple[int, ...]) -> str:
    ways = [
        (numbers[each.from_numa_node], numbers[each.to_numa_node], each.size_bytes) for each in plan.moves
    ]
    steps = [f"{size / 2**20:.0f} MiB from {source} to {to}" for source, to, size in ways]
    return f"{plan.standing}: {', '.join(steps)}; local {plan.local_before:.0%} to {plan.local_after:.0%}"


def _extra(sample: ContainerSample) -> dict[str, object]:
    return {"container": sample.container.container_id}
