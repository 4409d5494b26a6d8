"""The node's reclaim: every container's own law, the node's room, the acts, and what came of them.

In: a snapshot, policies, idle ages, forecasts. Out: a `Plan` (intent), then `Done` (what was measured). How
much is decided in the core alone (`plimsoll.pages.control_law`, `control_share`); here readings are put
together and actions are carried out through the `Actor`, which refuses what no policy covers. A policy that
goes away in the middle of an action stops it at its next part.
"""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from plimsoll.api.reclaim import ReclaimMode
from plimsoll.pages.cold import DEFAULT_PAGE_POLICY, page_policy
from plimsoll.pages.control_bandit import ARMS, EPISODE_SECONDS, Episode, SafeBandit
from plimsoll.pages.control_law import ReclaimLaw
from plimsoll.pages.control_share import Claim, NodeRoom, share_out
from plimsoll.pages.control_types import ContainerReading, Reason, ReclaimDecision, ReclaimPolicy
from plimsoll.pages.survival import SurvivalModel
from plimsoll.pages.touched_once import IDLE_SECONDS, LeakHint, TouchedOnce
from plimsoll.pages.working_set import Need, need
from plimsoll_nodeagent.act.actor import Actor
from plimsoll_nodeagent.act.container import opened
from plimsoll_nodeagent.act.outcome import Outcome
from plimsoll_nodeagent.act.reclaim import Reclaim
from plimsoll_nodeagent.capabilities import Engine, KernelCapabilities, Level
from plimsoll_nodeagent.control.idle_ages import Looked
from plimsoll_nodeagent.control.models import Models
from plimsoll_nodeagent.control.policies import PolicySource
from plimsoll_nodeagent.discover.tracker import Container, ContainerId
from plimsoll_nodeagent.kernelfs import Absence, Answer, KernelFs
from plimsoll_nodeagent.kernelfs.process import PAGE_BYTES
from plimsoll_nodeagent.loop import Snapshot
from plimsoll_nodeagent.sample.formats import FormatError, parse_pressure
from plimsoll_nodeagent.sample.reading import ContainerSample
from plimsoll_nodeagent.sample.swap import container_swap

PRESSED_PROBABILITY = 0.5  # a forecast at least so sure stops reclaim as pressure itself does
LEASE_SECONDS = 5.0
FILE_PAGES_ONLY = 0  # memory.reclaim's swappiness


@dataclass(slots=True)
class Controlled:
    """One container under a policy."""

    container: Container
    law: ReclaimLaw
    survival: SurvivalModel = field(default_factory=SurvivalModel)
    leak: TouchedOnce = field(default_factory=TouchedOnce)
    arm: int = 0
    episode_seconds: float = math.nan
    violations_before: int = 0
    taken_bytes: int = 0
    episode_kept_before: int = 0
    asked_bytes: int = 0
    returned_bytes: int = 0
    refault_bytes: int | None = None
    usage_bytes: int = 0
    read_seconds: float = math.nan
    polled: tuple[float, float] | None = None
    looked: Looked | None = None
    need: Need | None = None
    cold_age_seconds: float = math.nan
    decision: ReclaimDecision | None = None
    hint: LeakHint | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be done in this tick: each with its container."""

    actions: tuple[tuple[Controlled, int], ...]


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
        self.bandit = SafeBandit()
        self.controlled: dict[ContainerId, Controlled] = {}
        self.page_policy_name = ""
        """Set by a person; empty: by the policy's mode."""
        self.outcomes: Counter[tuple[str, str]] = Counter()
        self.reasons: Counter[Reason] = Counter()
        self.asked_total = self.taken_total = self.returned_total = 0
        self.latest: tuple[Outcome, ...] = ()

    def set_page_policy(self, name: str) -> None:
        """Change how cold memory is told, from the next tick on. Raises KeyError for an unknown name."""
        if name:
            page_policy(name)
        self.page_policy_name = name

    def follow(self, snapshot: Snapshot) -> list[ContainerSample]:
        """Take over what policies say now; returns the samples of the containers they speak for."""
        found = []
        wanted: dict[ContainerId, Controlled] = {}
        for sample in snapshot.samples:
            policy = self._policies.policy_of(sample.container)
            if policy.mode is ReclaimMode.OFF:
                continue
            found.append(sample)
            wanted[sample.container.key] = self._known(sample.container, policy)
        self.controlled = wanted
        self._actor.permit(each.container for each in wanted.values())
        return found

    def predict(self, looked: Mapping[ContainerId, Looked], now_seconds: float) -> None:
        """Learn from new histograms."""
        for key, each in self.controlled.items():
            new = looked.get(key)
            if new is not None and each.looked is not None and new.taken_seconds > each.looked.taken_seconds:
                each.survival.observe(
                    each.looked.ages, new.ages, new.taken_seconds - each.looked.taken_seconds
                )
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
            self._episode(each, reading)
            each.decision = each.law.step(reading)
            self.reasons[each.decision.reason] += 1
            self._account(each, reading)
            if not each.decision.holds and not self.capabilities.observe_only:
                decided.append((each, each.decision, reading))
        claims = [
            Claim(decision.reclaim_bytes, each.law.policy.importance, reading.file_bytes or 0)
            for each, decision, reading in decided
        ]
        memory = snapshot.kube_node.memory
        room = NodeRoom() if memory is None else NodeRoom(memory.swap_total_bytes, memory.swap_free_bytes)
        given = share_out(claims, room)
        return Plan(
            tuple((each, amount) for (each, _, _), amount in zip(decided, given, strict=True) if amount > 0)
        )

    def act(self, plan: Plan) -> list[tuple[Controlled, Outcome]]:
        """Do what was planned."""
        if not self.capabilities.at_least(Engine.RECLAIM, Level.PLAIN):
            return [(each, self._lease(each, amount)) for each, amount in plan.actions]
        return [(each, self._actor.act(self._action(each, amount))) for each, amount in plan.actions]

    def measure(self, done: Sequence[tuple[Controlled, Outcome]]) -> None:
        """Book what really came of it."""
        self.latest = tuple(outcome for _, outcome in done)
        for each, outcome in done:
            self.outcomes[outcome.kind.value, outcome.answer.value] += 1
            if not outcome.acted:
                continue
            asked = -(outcome.expected.usage_bytes or 0)
            measured = 0 if outcome.measured is None else -(outcome.measured.usage_bytes or 0)
            taken = max(0, measured)
            each.law.settle(asked, taken)
            each.asked_bytes += asked
            each.taken_bytes += taken
            self.asked_total += asked
            self.taken_total += taken

    def notice_pressure(self, keys: frozenset[ContainerId], now_seconds: float) -> None:
        """Stop at once in these containers: a trigger fired between two ticks."""
        for key in keys:
            if (each := self.controlled.get(key)) is not None:
                each.law.notice_pressure(now_seconds)

    def look_at_pressure(self, now_seconds: float) -> frozenset[ContainerId]:
        """Read PSI alone, between two ticks; returns who stalls beyond its policy's bound, and stops there.

        Triggers tell of heavy stalls at once; a policy's bound is often lower than what they are set to.
        """
        found = set()
        for key, each in self.controlled.items():
            with opened(self._fs, each.container) as cgroup:
                text = Absence.GONE if isinstance(cgroup, Answer) else cgroup.read("memory.pressure")
            try:
                total = None if isinstance(text, Absence) else parse_pressure(text).some.total_seconds
            except FormatError:
                total = None
            before, each.polled = each.polled, None if total is None else (now_seconds, total)
            if before is not None and total is not None and now_seconds > before[0]:
                stalled = (total - before[1]) / (now_seconds - before[0])
                if stalled > each.law.policy.max_pressure_ratio:
                    found.add(key)
        self.notice_pressure(frozenset(found), now_seconds)
        return frozenset(found)

    def survival_by_class(self) -> dict[str, list[SurvivalModel]]:
        """The models of the containers now, by what they share experience with."""
        found: dict[str, list[SurvivalModel]] = {}
        for each in list(self.controlled.values()):
            found.setdefault(self._policies.class_of(each.container), []).append(each.survival)
        return found

    def _known(self, container: Container, policy: ReclaimPolicy) -> Controlled:
        each = self.controlled.get(container.key)
        if each is None:
            prior = self.models.prior(self._policies.class_of(container))
            return Controlled(container, ReclaimLaw(policy), SurvivalModel(prior))
        each.law.policy = policy
        return each

    def _reading(
        self, each: Controlled, sample: ContainerSample, snapshot: Snapshot, probability: float | None
    ) -> ContainerReading:
        stat, pressure = sample.stat, sample.pressure
        refaults = None
        if stat is not None and stat.refault_file_pages is not None:
            refaults = ((stat.refault_anon_pages or 0) + stat.refault_file_pages) * PAGE_BYTES
        return ContainerReading(
            now_seconds=snapshot.taken_seconds,
            usage_bytes=sample.usage_bytes,
            stall_seconds_total=None if pressure is None else pressure.some.total_seconds,
            pressure_avg10_ratio=None if pressure is None else pressure.some.avg10_ratio,
            refault_bytes_total=refaults,
            file_bytes=None if stat is None else stat.file_bytes,
            swap_room_bytes=self._swap_room(sample, snapshot),
            working_set_bytes=sample.working_set_bytes,
            cold_bytes=self._cold(each, sample.usage_bytes),
            touched_bytes=_touched(each, snapshot.taken_seconds),
            pressure_forecast_ratio=1.0
            if probability is not None and probability >= PRESSED_PROBABILITY
            else None,
        )

    def _cold(self, each: Controlled, usage_bytes: int) -> int | None:
        if each.looked is None:
            return None
        policy = each.law.policy
        name = self.page_policy_name or DEFAULT_PAGE_POLICY.get(policy.mode, "lru")
        allowed = policy.refault_budget_ratio * max(0.0, each.looked.ages.working_set_bytes(60.0)) / 60.0
        cold = page_policy(name)(each.looked.ages, each.survival, allowed)
        each.cold_age_seconds = math.nan if cold is None else cold.threshold_seconds
        return None if cold is None else min(cold.cold_bytes, usage_bytes)

    def _swap_room(self, sample: ContainerSample, snapshot: Snapshot) -> int | None:
        memory = snapshot.kube_node.memory
        if memory is None or not memory.swap_total_bytes:
            return 0
        with opened(self._fs, sample.container) as cgroup:
            swap = None if isinstance(cgroup, Answer) else container_swap(cgroup)
        return None if swap is None else swap.headroom_bytes(memory.swap_free_bytes)

    def _account(self, each: Controlled, reading: ContainerReading) -> None:
        each.usage_bytes, each.read_seconds = reading.usage_bytes, reading.now_seconds
        if reading.refault_bytes_total is not None:
            if each.refault_bytes is not None:
                back = max(0, reading.refault_bytes_total - each.refault_bytes)
                each.returned_bytes += back
                self.returned_total += back
            each.refault_bytes = reading.refault_bytes_total
        if reading.cold_bytes is None:
            each.need = None
            return
        thrashes = each.decision is not None and each.decision.reason is Reason.THRASHING
        room = reading.swap_room_bytes or 0
        each.need = need(
            reading.usage_bytes,
            reading.cold_bytes,
            reading.file_bytes or 0,
            room,
            each.law.yield_ratio,
            thrashes=thrashes,
        )

    def _episode(self, each: Controlled, reading: ContainerReading) -> None:
        """End an episode of the bandit where its time is over, and choose the next arm."""
        now = reading.now_seconds
        name = self._policies.class_of(each.container)
        if 0.0 <= now - each.episode_seconds < EPISODE_SECONDS:
            return
        violations = each.law.violations_total
        if now - each.episode_seconds <= 2 * EPISODE_SECONDS:  # not after a leap of the clock
            kept = each.taken_bytes - each.returned_bytes - each.episode_kept_before
            gained = kept / max(1, reading.usage_bytes)
            self.bandit.learn(name, Episode(each.arm, gained, violated=violations > each.violations_before))
        each.arm = self.bandit.choose(name, each.law.policy.importance)
        each.law.arm = ARMS[each.arm]
        each.episode_seconds, each.violations_before = now, violations
        each.episode_kept_before = each.taken_bytes - each.returned_bytes

    def _action(self, each: Controlled, amount: int) -> Reclaim:
        file_only = each.decision is not None and each.decision.file_only
        can = self.capabilities.at_least(Engine.RECLAIM, Level.SWAPPINESS)
        swappiness = FILE_PAGES_ONLY if file_only and can else None
        return Reclaim(each.container, amount, swappiness, stop=lambda: self._must_stop(each))

    def _lease(self, each: Controlled, amount: int) -> Outcome:
        """Before Linux 5.19: memory.high, lowered for some seconds and then put back."""
        high = max(0, each.usage_bytes - amount)
        return self._actor.lease(each.container, high, LEASE_SECONDS)

    def _must_stop(self, each: Controlled) -> bool:
        """Between two parts of an action: is its policy still there?"""
        return self._policies.policy_of(each.container).mode is ReclaimMode.OFF


def _touched(each: Controlled, now_seconds: float) -> int | None:
    """What surely was touched since the last reading: the memory that a minute touches, once a minute."""
    since = now_seconds - each.read_seconds
    if each.looked is None or not 0.0 < since < math.inf:
        return None
    return int(each.looked.ages.working_set_bytes(60.0) * min(1.0, since / 60.0))
