"""The node's reclaim: every container's own law, the node's room, the acts, and what came of them.

In: a snapshot, policies, idle ages, plans by address, forecasts. Out: a `Plan` (intent), then `Done` (what
was measured). How much is decided in the core alone (`plimsoll.pages.control_law`, `control_share`); here
readings are put together, and actions are carried out (`taking`) through the `Actor`, which refuses what no
policy covers. A policy that goes away in the middle of an action stops it at its next part.
"""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from plimsoll.api.policy import NumaPlacement
from plimsoll.api.reclaim import ReclaimMode
from plimsoll.pages.address_plan import AddressPlan
from plimsoll.pages.blocks import aimed_blocks_for
from plimsoll.pages.bring_back import room_bytes
from plimsoll.pages.cold import ADDRESS_POLICIES, DEFAULT_PAGE_POLICY, by_ages, page_policy
from plimsoll.pages.control_law import ReclaimLaw
from plimsoll.pages.control_share import NodeRoom, share_out
from plimsoll.pages.control_types import ContainerReading, Reason, ReclaimDecision, ReclaimPolicy
from plimsoll.pages.guarded_plan import GUARDED
from plimsoll.pages.survival import SurvivalModel
from plimsoll.pages.touched_once import IDLE_SECONDS
from plimsoll.pages.working_set import need
from plimsoll_nodeagent.act.actor import Actor
from plimsoll_nodeagent.act.container import opened
from plimsoll_nodeagent.act.outcome import ActionKind, Outcome
from plimsoll_nodeagent.capabilities import KernelCapabilities
from plimsoll_nodeagent.control import start
from plimsoll_nodeagent.control.by_address import Wanted
from plimsoll_nodeagent.control.controlled import Aged, Controlled, cold_by_refaults, reading_of
from plimsoll_nodeagent.control.episodes import turn_episode
from plimsoll_nodeagent.control.fleet_models import FleetModels
from plimsoll_nodeagent.control.idle_ages import Looked
from plimsoll_nodeagent.control.models import Models
from plimsoll_nodeagent.control.policies import PolicySource
from plimsoll_nodeagent.control.stalls import StallWatch
from plimsoll_nodeagent.control.taking import Taker, asked_bytes, moved_bytes
from plimsoll_nodeagent.discover.tracker import Container, ContainerId
from plimsoll_nodeagent.kernelfs import Answer, KernelFs
from plimsoll_nodeagent.loop import Snapshot
from plimsoll_nodeagent.sample.reading import ContainerSample
from plimsoll_nodeagent.sample.swap import ContainerSwap, swap_max_bytes
from plimsoll_nodeagent.sample.triggers import KUBE_NODE

PRESSED_PROBABILITY = 0.5  # a forecast at least so sure holds the steady pace
SWAP_MAX_SECONDS = 30.0  # the kernel keeps to memory.swap.max itself, whatever we believe
CALM_PROBABILITY = 0.25  # nothing is brought back where pressure is likelier than this

# Where tasks stall, or nothing is known, nothing is read in unasked.
NO_RETURN = (Reason.OFF, Reason.PRESSURE, Reason.FORESEEN, Reason.BACKING_OFF, Reason.UNKNOWN, Reason.CLOCK)

# Whoever refaults above its budget, or stalls above its bound, needs all that it has.
SUFFERS = (Reason.THRASHING, Reason.PRESSURE)

Done = list[tuple[Controlled, Outcome]]


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be done in this tick: bytes to take and bytes to bring back, each with its container."""

    now_seconds: float
    actions: tuple[tuple[Controlled, int], ...]
    returns: tuple[tuple[Controlled, int], ...] = ()


class Reclaimer:
    """Reclaim on one node."""

    def __init__(
        self,
        fs: KernelFs,
        policies: PolicySource,
        actor: Actor,
        capabilities: KernelCapabilities,
        models: Models | None = None,
    ) -> None:
        self._fs = fs
        self._policies = policies
        self._actor = actor
        self.capabilities = capabilities
        self.models = models or Models()
        self.fleet = FleetModels()
        self.bandit = self.models.bandit()
        self.taker = Taker(actor, capabilities, self._must_stop)
        self.stalls = StallWatch(fs)
        self.controlled: dict[ContainerId, Controlled] = {}
        self.numa_wanted: list[ContainerSample] = []
        self.numa_binds: set[ContainerId] = set()  # of them, those whose policy says Bind
        self.page_policy_name = ""
        """Set by a person; empty: by the policy's mode."""
        self.outcomes: Counter[tuple[str, str]] = Counter()
        self.reasons: Counter[Reason] = Counter()
        self.asked_total = self.taken_total = self.returned_total = self.brought_back_total = 0
        self.latest: tuple[Outcome, ...] = ()

    def set_page_policy(self, name: str) -> None:
        """Change how cold memory is told, from the next tick on. Raises KeyError for an unknown name."""
        if name:
            page_policy(name)
        self.page_policy_name = name

    @property
    def expert(self) -> str:
        """Whose order plans by address follow."""
        return self.page_policy_name if self.page_policy_name in ADDRESS_POLICIES else GUARDED

    def by_address(self, *, without_ages: bool) -> dict[ContainerId, Wanted]:
        """The containers to be watched by address: Predictive ones, and Cold ones that nothing else ages."""
        found = {}
        for key, each in self.controlled.items():
            if self._policy_name(each) not in ADDRESS_POLICIES and not without_ages:
                each.addresses = None
                continue
            policy = each.law.policy
            if each.addresses is None:
                tables = self.models.tables_of(each.workload_class)
                tables = tables or start.tables_of(self.fleet, each.shared_class)
                each.addresses = AddressPlan(policy.refault_budget_ratio, tables)
            each.addresses.aim_at(policy.refault_budget_ratio)
            each.addresses.brings_back(policy.prefetch)
            found[key] = Wanted(each.container, each.addresses)
        for wanted in found.values():
            wanted.plan.aimed_blocks = aimed_blocks_for(len(found))
        return found

    def forget_addresses(self) -> None:
        """Begin anew with every plan by address."""
        for each in self.controlled.values():
            each.addresses = None

    def follow(self, snapshot: Snapshot) -> list[ContainerSample]:
        """Take over what policies say now; returns the samples of the containers they speak for."""
        found = []
        wanted: dict[ContainerId, Controlled] = {}
        self.numa_wanted = []
        self.numa_binds = set()
        for sample in snapshot.samples:
            policy = self._policies.policy_of(sample.container)
            if policy.numa is not NumaPlacement.OFF:
                self.numa_wanted.append(sample)
            if policy.numa is NumaPlacement.BIND:
                self.numa_binds.add(sample.container.key)
            if policy.mode is ReclaimMode.OFF:
                continue
            found.append(sample)
            wanted[sample.container.key] = self._known(sample.container, policy)
        self.controlled = wanted
        self.fleet.keep({each.shared_class for each in wanted.values()})
        start.follow(self.fleet, wanted.values())
        reclaimed = (each.container for each in wanted.values())
        self._actor.permit([*reclaimed, *(each.container for each in self.numa_wanted)])
        return found

    def predict(self, looked: Mapping[ContainerId, Looked], now_seconds: float) -> None:
        """Learn from new histograms."""
        for key, each in self.controlled.items():
            new = looked.get(key) or _by_address(each, now_seconds)
            if new is not None and each.looked is not None and new.taken_seconds > each.looked.taken_seconds:
                elapsed_seconds = new.taken_seconds - each.looked.taken_seconds
                seen = each.survival.observe(each.looked.ages, new.ages, elapsed_seconds)
                start.judge_pages(self.fleet, each, seen)
            each.looked = new
            if new is not None:
                idle = new.ages.idle_bytes(IDLE_SECONDS)
                each.leak.add(now_seconds, new.ages.total_bytes, idle)
                each.hint = each.leak.hint()

    def plan(
        self, snapshot: Snapshot, samples: Sequence[ContainerSample], forecasts: Mapping[ContainerId, float]
    ) -> Plan:
        """Decide for every container, then for all of them together."""
        decided: list[tuple[Controlled, ReclaimDecision, ContainerReading]] = []
        self.reasons.clear()
        for sample in samples:
            each = self.controlled[sample.container.key]
            reading = self._reading(each, sample, snapshot, forecasts.get(sample.container.key))
            turn_episode(self.bandit, each, reading)
            each.decision = each.law.step(reading)
            self.reasons[each.decision.reason] += 1
            self._account(each, sample, reading)
            if not each.decision.holds and not self.capabilities.observe_only:
                decided.append((each, each.decision, reading))
        claims = [
            each.claim(decision.reclaim_bytes, reading.file_bytes or 0) for each, decision, reading in decided
        ]
        given = share_out(claims, node_room(snapshot))
        actions = [(each, amount) for (each, _, _), amount in zip(decided, given, strict=True) if amount > 0]
        returns = [
            (each, amount)
            for each in self.controlled.values()
            if (amount := self._may_return(each, snapshot, forecasts)) > 0
        ]
        return Plan(snapshot.taken_seconds, tuple(actions), tuple(returns))

    def act(self, plan: Plan) -> Done:
        """Do what was planned."""
        done: Done = []
        for each, amount in plan.actions:
            done += [(each, outcome) for outcome in self.taker.take(each, amount, plan.now_seconds)]
        for each, amount in plan.returns:
            all_out = each.decision is not None and each.decision.bring_back
            done += [(each, outcome) for outcome in self.taker.bring_back(each, amount, all_out=all_out)]
        return done

    def measure(self, done: Done) -> None:
        """Book what really came of a tick's plan."""
        self.latest = tuple(outcome for _, outcome in done)
        self.book(done)

    def book(self, done: Done) -> None:
        """Book what really came of actions."""
        for each, outcome in done:
            self.outcomes[outcome.kind.value, outcome.answer.value] += 1
            if not outcome.acted:
                continue
            if outcome.kind is ActionKind.WILLNEED:
                self.brought_back_total += outcome.expected.usage_bytes or 0
                continue
            asked, taken = asked_bytes(outcome), moved_bytes(outcome)
            each.law.settle(asked, taken)
            each.refault_set.took(taken)
            each.asked_bytes += asked
            each.taken_bytes += taken
            self.asked_total += asked
            self.taken_total += taken

    def notice_pressure(self, keys: frozenset[ContainerId], now_seconds: float) -> None:
        """Stop at once in these containers: a trigger fired between two ticks."""
        for key in keys:
            if (each := self.controlled.get(key)) is not None:
                each.law.notice_pressure(now_seconds)

    def look_at_pressure(self, now_seconds: float) -> dict[ContainerId, float]:
        """Read PSI alone, between two ticks: the share of time since the last look that each one stalled.

        Whoever stalls beyond its policy's bound stops here. Triggers tell of heavy stalls at once; a policy's
        bound is often lower than what they are set to.
        """
        containers = {key: each.container for key, each in self.controlled.items()}
        stalls = self.stalls.since(containers, now_seconds)
        bounds = {key: self.controlled[key].law.policy.max_pressure_ratio for key in stalls}
        self.notice_pressure(frozenset(key for key in stalls if stalls[key] > bounds[key]), now_seconds)
        return stalls

    def survival_by_class(self) -> dict[str, list[SurvivalModel]]:
        """The models of the containers now, by what they share experience with."""
        found: dict[str, list[SurvivalModel]] = {}
        for each in list(self.controlled.values()):
            found.setdefault(each.workload_class, []).append(each.survival)
        return found

    def _known(self, container: Container, policy: ReclaimPolicy) -> Controlled:
        each = self.controlled.get(container.key)
        name = self._policies.class_of(container)
        shared = self._policies.shared_class_of(container)
        if each is None:
            own = name in self.models.tables
            prior = None if own else start.prior_of(self.fleet, shared)
            survival = SurvivalModel(self.models.prior(name) if prior is None else prior)
            return Controlled(container, ReclaimLaw(policy), name, shared, own, survival)
        each.law.policy, each.workload_class, each.shared_class = policy, name, shared
        return each

    def _policy_name(self, each: Controlled) -> str:
        return self.page_policy_name or DEFAULT_PAGE_POLICY.get(each.law.policy.mode, "lru")

    def _reading(
        self, each: Controlled, sample: ContainerSample, snapshot: Snapshot, probability: float | None
    ) -> ContainerReading:
        pressed = probability is not None and probability >= PRESSED_PROBABILITY
        now, room = snapshot.taken_seconds, self._swap_room(each, sample, snapshot)
        cold = self._cold(each, sample, now)
        if room and self._policy_name(each) in ADDRESS_POLICIES and self.taker.knows(each, now):
            cold = max(cold or 0, 0 if each.addresses is None else each.addresses.cold_bytes)
        return reading_of(each, sample, now, room, cold, 1.0 if pressed else None)

    def _cold(self, each: Controlled, sample: ContainerSample, now_seconds: float) -> int | None:
        """What is cold by its idle ages; a policy by address has another one for what it does not know."""
        looked, name = each.looked, by_ages(self._policy_name(each))
        budget = each.law.policy.refault_budget_ratio
        probed = cold_by_refaults(each, sample, now_seconds)  # at every reading: it learns
        if looked is None:
            each.aged = None
            return None if name == "lru" else probed
        known = each.aged
        if (
            known is None
            or known.looked is not looked
            or (known.policy, known.budget_ratio) != (name, budget)
        ):
            minute = max(0.0, looked.ages.working_set_bytes(60.0))
            cold = page_policy(name)(looked.ages, each.survival, budget * minute / 60.0)
            each.aged = Aged(looked, name, budget, minute, cold)
            each.cold_age_seconds = math.nan if cold is None else cold.threshold_seconds
        cold_bytes = each.aged_cold_bytes
        return None if cold_bytes is None else min(cold_bytes, sample.usage_bytes)

    def _may_return(
        self, each: Controlled, snapshot: Snapshot, forecasts: Mapping[ContainerId, float]
    ) -> int:
        """What there is room for to bring back; nothing where pressure is, is foreseen, or nobody asked."""
        decision, memory = each.decision, snapshot.kube_node.memory
        if decision is None or not each.law.policy.prefetch or memory is None:
            return 0
        if not self.taker.knows(each, snapshot.taken_seconds) or decision.reason in NO_RETURN:
            return 0
        likely = max(forecasts.get(each.container.key, 0.0), forecasts.get(KUBE_NODE, 0.0))
        if likely >= CALM_PROBABILITY:
            return 0
        limit = min(each.memory_max_bytes, each.memory_high_bytes)
        return room_bytes(each.usage_bytes, limit, memory.available_bytes, memory.total_bytes)

    def _swap_room(self, each: Controlled, sample: ContainerSample, snapshot: Snapshot) -> int | None:
        """What may still be swapped out; None where it is not told. Its bound is read twice a minute."""
        memory, now = snapshot.kube_node.memory, snapshot.taken_seconds
        if memory is None or not memory.swap_total_bytes:
            return 0
        if sample.swap_bytes is None:
            return None
        if each.swap_max is None or not 0.0 <= now - each.swap_max[0] < SWAP_MAX_SECONDS:
            with opened(self._fs, sample.container) as cgroup:
                most = None if isinstance(cgroup, Answer) else swap_max_bytes(cgroup)
            each.swap_max = None if most is None else (now, most)
        if each.swap_max is None:
            return None
        return ContainerSwap(sample.swap_bytes, each.swap_max[1], None).headroom_bytes(memory.swap_free_bytes)

    def _account(self, each: Controlled, sample: ContainerSample, reading: ContainerReading) -> None:
        each.usage_bytes, each.read_seconds = reading.usage_bytes, reading.now_seconds
        each.file_bytes = reading.file_bytes or 0
        each.memory_max_bytes = _bound(sample.memory_max_bytes)
        each.memory_high_bytes = _bound(sample.memory_high_bytes)
        if reading.refault_bytes_total is not None:
            if each.refault_bytes is not None:
                back = max(0, reading.refault_bytes_total - each.refault_bytes)
                each.returned_bytes += back
                self.returned_total += back
            each.refault_bytes = reading.refault_bytes_total
        if reading.cold_bytes is None:
            each.need = None
            return
        thrashes = each.decision is not None and each.decision.reason in SUFFERS
        room = reading.swap_room_bytes or 0
        each.need = need(
            reading.usage_bytes,
            reading.cold_bytes,
            reading.file_bytes or 0,
            room,
            each.law.yield_ratio,
            thrashes=thrashes,
        )

    def _must_stop(self, each: Controlled) -> bool:
        """Between two parts of an action: is its policy still there?"""
        return self._policies.policy_of(each.container).mode is ReclaimMode.OFF


def node_room(snapshot: Snapshot) -> NodeRoom:
    """What the node has for all of its containers together in one tick."""
    memory = snapshot.kube_node.memory
    return NodeRoom() if memory is None else NodeRoom(memory.swap_total_bytes, memory.swap_free_bytes)


def _by_address(each: Controlled, now_seconds: float) -> Looked | None:
    """Idle ages by DAMON, where the kernel keeps no generations."""
    plan = each.addresses
    if plan is None or not plan.speaks(now_seconds):
        return None
    ages = plan.idle_ages(plan.planned_seconds)
    return None if ages is None else Looked(plan.planned_seconds, ages, {})


def _bound(bytes_: float | None) -> float:
    return math.inf if bytes_ is None else bytes_
