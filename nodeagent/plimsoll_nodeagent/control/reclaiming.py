"""The node's reclaim: every container's own law, the node's room, the acts, and what came of them.

In: a snapshot, policies, idle ages, plans by address, forecasts. Out: a `Plan` (intent), then `Done` (what
was measured). How much is decided in the core alone (`plimsoll.pages.control_law`, `control_share`); here
readings are put together, and actions are carried out (`taking`) through the `Actor`, which refuses what no
policy covers. What was done is booked before the next is done. A policy that goes away in the middle of an
action stops it at its next part, and so does a stall above its bound. What goes wrong with one container
holds that one, and no other.
"""

import logging
import math
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

from plimsoll.api.policy import NumaPlacement
from plimsoll.api.reclaim import ReclaimMode
from plimsoll.pages.address_plan import AddressPlan
from plimsoll.pages.blocks import aimed_blocks_for
from plimsoll.pages.bring_back import room_bytes
from plimsoll.pages.cold import ADDRESS_POLICIES, DEFAULT_PAGE_POLICY, page_policy
from plimsoll.pages.control_law import ReclaimLaw
from plimsoll.pages.control_share import Claim, share_out
from plimsoll.pages.control_types import ContainerReading, Reason, ReclaimPolicy, hold
from plimsoll.pages.guarded_plan import GUARDED
from plimsoll.pages.survival import SurvivalModel
from plimsoll.pages.working_set import need
from plimsoll_nodeagent.act.actor import Actor
from plimsoll_nodeagent.act.outcome import ActionKind, Outcome
from plimsoll_nodeagent.capabilities import KernelCapabilities
from plimsoll_nodeagent.control import start
from plimsoll_nodeagent.control.brake import Brake
from plimsoll_nodeagent.control.by_address import Wanted
from plimsoll_nodeagent.control.controlled import Controlled
from plimsoll_nodeagent.control.episodes import turn_episode
from plimsoll_nodeagent.control.fleet_models import FleetModels
from plimsoll_nodeagent.control.idle_ages import Looked
from plimsoll_nodeagent.control.laid_by import LaidBy
from plimsoll_nodeagent.control.models import Models
from plimsoll_nodeagent.control.policies import PolicySource
from plimsoll_nodeagent.control.readings import Readings, ages_by_address, node_room
from plimsoll_nodeagent.control.stalls import StallWatch
from plimsoll_nodeagent.control.taking import (
    NOT_FILE_ONLY,
    TAKES_NOTHING,
    Taker,
    asked_bytes,
    moved_bytes,
)
from plimsoll_nodeagent.control.teaching import learn, notice, see_leak
from plimsoll_nodeagent.discover.tracker import Container, ContainerId
from plimsoll_nodeagent.kernelfs import KernelFs
from plimsoll_nodeagent.loop import Snapshot
from plimsoll_nodeagent.sample.reading import ContainerSample
from plimsoll_nodeagent.sample.triggers import KUBE_NODE

PRESSED_PROBABILITY = 0.5  # a forecast at least so sure holds the steady pace
CALM_PROBABILITY = 0.25  # nothing is brought back where pressure is likelier than this

# Where tasks stall, or nothing is known, nothing is read in unasked.
NO_RETURN = (Reason.OFF, Reason.PRESSURE, Reason.FORESEEN, Reason.BACKING_OFF, Reason.UNKNOWN, Reason.CLOCK)

# Whoever refaults above its budget, or stalls above its bound, needs all that it has.
SUFFERS = (Reason.THRASHING, Reason.PRESSURE)

logger = logging.getLogger(__name__)


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
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._fs = fs
        self._policies = policies
        self._actor = actor
        self.capabilities = capabilities
        self.models = models or Models()
        self.fleet = FleetModels()
        self.bandit = self.models.bandit()
        self.stalls = StallWatch(fs, monotonic)
        self.brake = Brake(policies, self.stalls, monotonic)
        self.taker = Taker(actor, capabilities, self.brake.must_stop, fs)
        self.readings = Readings(fs, self.taker)
        self.controlled: dict[ContainerId, Controlled] = {}
        self.laid_by = LaidBy(fs)
        self.shrinking: frozenset[ContainerId] = frozenset()
        """Where a shrink towards a lower limit is under way: there the law only looks on."""
        self.numa_wanted: list[ContainerSample] = []
        self.numa_binds: set[ContainerId] = set()  # of them, those whose policy says Bind
        self.page_policy_name = ""
        """Set by a person; empty: by the policy's mode."""
        self.outcomes: Counter[tuple[str, str]] = Counter()
        self.reasons: Counter[Reason] = Counter()
        self.failures: Counter[str] = Counter()
        """By stage: how often something went wrong with one container, which was then left alone."""
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

    def forget_addresses(self, failures: Mapping[ContainerId, Exception] | None = None) -> None:
        """Begin anew with plans by address: with those whose look went wrong, or with all."""
        for key, each in self.controlled.items():
            if failures is None:
                each.addresses = None
            elif key in failures:
                each.addresses = None
                with self._alone(each, "look"):
                    raise failures[key]

    def follow(self, snapshot: Snapshot) -> list[ContainerSample]:
        """Take over what policies say now; returns the samples of the containers they speak for."""
        self.brake.tell(snapshot.taken_seconds)
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
            each = self._known(sample.container, policy)
            each.fault, each.stopped = "", False
            found.append(sample)
            notice(each, sample)
            wanted[sample.container.key] = each
        read = {sample.container.key for sample in snapshot.samples}
        self.laid_by.step(self.controlled, wanted, read, snapshot.taken_seconds)
        self.controlled = wanted
        self.fleet.keep({each.shared_class for each in wanted.values()})
        start.follow(self.fleet, wanted.values())
        reclaimed = (each.container for each in wanted.values())
        self._actor.permit([*reclaimed, *(each.container for each in self.numa_wanted)])
        return found

    def predict(self, looked: Mapping[ContainerId, Looked], now_seconds: float) -> None:
        """Learn from new histograms."""
        for key, each in self.controlled.items():
            with self._alone(each, "predict"):
                new = looked.get(key) or ages_by_address(each, now_seconds)
                start.judge_pages(self.fleet, each, learn(each, new))
                if new is not None:
                    see_leak(each, new, now_seconds)

    def plan(
        self, snapshot: Snapshot, samples: Sequence[ContainerSample], forecasts: Mapping[ContainerId, float]
    ) -> Plan:
        """Decide for every container, then for all of them together."""
        decided: list[tuple[Controlled, Claim]] = []
        returns: list[tuple[Controlled, int]] = []
        self.reasons.clear()
        self.readings.store.look()
        for sample in samples:
            each = self.controlled[sample.container.key]
            with self._alone(each, "plan"):
                reading = self._decide(each, sample, snapshot, forecasts.get(sample.container.key))
                wanted = 0 if each.decision is None else each.decision.reclaim_bytes
                if wanted > 0 and not self.capabilities.observe_only:
                    decided.append((each, each.claim(wanted, reading.file_bytes or 0)))
                if (amount := self._may_return(each, snapshot, forecasts)) > 0:
                    returns.append((each, amount))
            if each.fault:
                each.decision, each.need = hold(Reason.UNKNOWN, f"It is left alone: {each.fault}."), None
            if each.decision is not None:
                self.reasons[each.decision.reason] += 1
        given = share_out([claim for _, claim in decided], node_room(snapshot))
        actions = [(each, amount) for (each, _), amount in zip(decided, given, strict=True) if amount > 0]
        return Plan(snapshot.taken_seconds, tuple(actions), tuple(returns))

    def act(self, plan: Plan) -> None:
        """Do what was planned."""
        done: list[Outcome] = []
        for each, amount in plan.actions:
            done += self.take(each, amount, plan.now_seconds)
        for each, amount in plan.returns:
            all_out = each.decision is not None and each.decision.bring_back
            done += self._booked(each, self.taker.bring_back(each, amount, all_out=all_out))
        self.latest = tuple(done)

    def offer_bytes(self, each: Controlled, now_seconds: float) -> int:
        """What its law offers ahead of pressure; nothing while it is left alone for any other reason."""
        rests = each.fault or each.stopped or each.container.key in self.shrinking
        return 0 if rests or not self.taker.keeps(each) else each.law.offer_bytes(now_seconds)

    def take_in_order(self, each: Controlled, amount_bytes: int) -> list[Outcome]:
        """Take what its law did not decide, in the kernel's own order; what came of it is booked already."""
        each.law.withdraw()
        return self._booked(each, self.taker.in_order(each, amount_bytes))

    def take(self, each: Controlled, amount_bytes: int, now_seconds: float) -> list[Outcome]:
        """Take so much from one container; what came of it is booked already."""
        return self._booked(each, self.taker.take(each, amount_bytes, now_seconds))

    def _booked(self, each: Controlled, outcomes: Iterator[Outcome]) -> list[Outcome]:
        """Do one after the other, each booked before the next; nothing where something is wrong with it."""
        done: list[Outcome] = []
        with self._alone(each, "act"):
            while not each.fault and (outcome := next(outcomes, None)) is not None:
                done.append(outcome)
                self._book(each, outcome)
        return done

    def _book(self, each: Controlled, outcome: Outcome) -> None:
        self.outcomes[outcome.kind.value, outcome.answer.value] += 1
        if not outcome.acted:
            return
        if outcome.kind in TAKES_NOTHING:
            self.brought_back_total += outcome.expected.usage_bytes or 0  # COLD's is none
            return
        asked, taken = asked_bytes(outcome), moved_bytes(outcome)
        each.asked_bytes += asked
        each.taken_bytes += taken
        each.taken_since_look_bytes += taken
        each.paged_out_bytes += taken if outcome.kind is ActionKind.PAGEOUT else 0
        self.asked_total += asked
        self.taken_total += taken
        each.law.settle(asked, taken)
        if outcome.kind is not ActionKind.PAGEOUT:  # what goes by address is not what was probed for
            each.refault_set.took(taken)

    def heed_triggers(self, keys: frozenset[ContainerId], now_seconds: float) -> None:
        """Stop where a trigger fired and its own bound may be passed: triggers have one threshold for all."""
        for each in (self.controlled[key] for key in keys & self.controlled.keys()):
            if not self.stalls.surely_within(each.container, each.law.policy.max_pressure_ratio):
                each.law.notice_pressure(now_seconds)

    def look_at_pressure(self, now_seconds: float) -> dict[ContainerId, float]:
        """Read PSI alone, between two ticks: the share of time since the last look that each one stalled.

        Whoever stalls beyond its policy's bound stops here. Triggers tell of heavy stalls at once; a policy's
        bound is often lower than what they are set to.
        """
        self.brake.tell(now_seconds)
        watched = {each.container.key: each.container for each in self.numa_wanted}  # moves ask in between
        for key, each in self.controlled.items():
            watched[key], each.stopped = each.container, False
        stalls = self.stalls.since(watched, now_seconds)
        stalls = {key: ratio for key, ratio in stalls.items() if key in self.controlled}
        for key, ratio in stalls.items():
            law = self.controlled[key].law
            if ratio > law.policy.max_pressure_ratio:
                law.notice_pressure(now_seconds)
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
            each = Controlled(container, ReclaimLaw(policy), name, shared, own, survival)
            if (account := self.laid_by.of(container)) is not None:
                each.law, each.refault_set = account.law, account.refault_set
        each.law.policy, each.workload_class, each.shared_class = policy, name, shared
        return each

    def _policy_name(self, each: Controlled) -> str:
        return self.page_policy_name or DEFAULT_PAGE_POLICY.get(each.law.policy.mode, "lru")

    def _decide(
        self, each: Controlled, sample: ContainerSample, snapshot: Snapshot, probability: float | None
    ) -> ContainerReading:
        pressed = probability is not None and probability >= PRESSED_PROBABILITY
        reading = self.readings.of(each, sample, snapshot, self._policy_name(each), pressed=pressed)
        turn_episode(self.bandit, each, reading)
        decision = each.law.step(reading)
        if not decision.holds and each.container.key in self.shrinking:
            decision = hold(Reason.SHRINKING, "It is taken towards a lower limit: the steady pace rests.")
        elif not decision.holds and not self.taker.keeps(each):
            decision = hold(Reason.NO_ROOM, NOT_FILE_ONLY)
        elif decision.reason is Reason.PRESSURE and each.io_ratio is not None:
            said = f"{decision.sentence} On io it stalled {each.io_ratio:.2%}, while files came back."
            decision = replace(decision, sentence=said)
        each.decision = decision
        self._account(each, sample, reading)
        return reading

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

    @contextmanager
    def _alone(self, each: Controlled, stage: str) -> Iterator[None]:
        """What goes wrong here is one container's: it is counted, and that container is left alone."""
        try:
            yield
        except Exception as error:
            each.fault = f"{stage} failed ({type(error).__name__})"
            if not self.failures[stage]:
                details = {"stage": stage, "container_id": each.container.container_id}
                logger.exception("failed for one container; it is left alone", extra=details)
            self.failures[stage] += 1


def _bound(bytes_: float | None) -> float:
    return math.inf if bytes_ is None else bytes_
