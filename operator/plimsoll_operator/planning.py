"""From asks to plans: every container that is due gets a decision, every pod whose decisions act gets one
plan.

In: groups, asks, situations. Out: `PodPlan`s (intent, nothing is written here) and the decision of each row
for its profile. Containers of one pod are decided one after the other, each seeing what the ones before it
took.
"""

from collections.abc import Container, Mapping
from dataclasses import dataclass, field, replace

from plimsoll.guard.cluster import guard
from plimsoll.guard.decision import Decision, DecisionKind, hold
from plimsoll.guard.limits import GuardSettings
from plimsoll.guard.state import Ask, Purpose, Situation
from plimsoll_operator.actuate.api import MemoryValues, PodRef
from plimsoll_operator.asks import Asks
from plimsoll_operator.engine.messages import PodContainer
from plimsoll_operator.membership import Group, GroupKey
from plimsoll_operator.records import ContainerRecord, PodRecord, ProfileRecord, RememberedContainer
from plimsoll_operator.situations import Situations

UNWRITTEN = "NoProfile"  # the reason of every decision before the workload's profile is there
UNANSWERED = "Unanswered"  # of a write that may be there, for its answer was lost
# Reasons that pass by themselves: such a container is looked at again in the next loop, not in an hour.
PASSING = frozenset(
    {
        "Cooldown", "OutsideWindow", "BudgetSpent", "ResizeUnderWay", "Paused", "SourceProblem", "NoUsage",
        "PodNotRunning", "NotReported", "KubeNodeUnknown", "Settling", "ResourceQuota", "KubeNodeHeadroom",
        "PresentUse", "Infeasible", "GuardError", "Restored", UNWRITTEN,
    }
)  # fmt: skip
# So long new pods start with no less than what an evicted one had asked for: as long as a kill is remembered.
MOVED_SECONDS = GuardSettings().oom_memory_seconds
ROUTINE_REASON = "Forecast"  # of an `Ask` for a routine change; the others wait for no budget
RANK = {DecisionKind.RAISE: 3, DecisionKind.LOWER: 2, DecisionKind.HOLD: 1, DecisionKind.KEEP: 0}


@dataclass(frozen=True, slots=True)
class Choice:
    """A decision about one container of one pod, and the limit it started from."""

    decision: Decision
    from_bytes: int | None
    purpose: Purpose

    @property
    def weight(self) -> tuple[int, bool]:
        """Which of a row's pods is told of: one that is changed, then one whose need cannot be met."""
        return RANK[self.decision.kind], self.purpose is Purpose.URGENT


@dataclass(frozen=True, slots=True)
class PodPlan:
    """What is to be written to one pod."""

    pod: PodRecord
    group: Group
    choices: Mapping[str, Choice]  # containers that change

    @property
    def ref(self) -> PodRef:
        """The pod as the API knows it."""
        return PodRef(self.pod.namespace, self.pod.name, self.pod.uid)

    @property
    def urgent(self) -> bool:
        """True where a container was killed or is about to be."""
        return any(each.purpose is Purpose.URGENT for each in self.choices.values())

    @property
    def values(self) -> dict[str, MemoryValues]:
        """What to write, by container."""
        sidecars = {each.spec.name for each in self.pod.containers if each.spec.sidecar}
        return {
            name: MemoryValues(each.decision.limit_bytes, each.decision.request_bytes, name in sidecars)
            for name, each in self.choices.items()
        }


@dataclass(slots=True)
class Plans:
    """The outcome of one planning."""

    pods: list[PodPlan] = field(default_factory=list)
    rows: dict[int, Choice] = field(default_factory=dict)  # the weightiest choice of each row
    again: set[int] = field(default_factory=set)  # rows to look at again in the next loop

    def unwritten(self, plan: PodPlan) -> None:
        """A plan that could not be carried out: its rows hold, unless another pod of theirs was changed."""
        for name, choice in plan.choices.items():
            spec = next(each.spec for each in plan.pod.containers if each.spec.name == name)
            text = f"could not be written: {choice.decision.message}"
            held = hold("NotWritten", text, spec.limit_bytes, spec.request_bytes)
            self.rows[plan.group.rows[name]] = Choice(held, spec.limit_bytes, choice.purpose)

    def withheld(self, plan: PodPlan, name: str, reason: str, text: str) -> None:
        """One container's choice that is not written yet, and why; it is looked at again in the next loop."""
        choice, row = plan.choices[name], plan.group.rows[name]
        request = next(each.spec.request_bytes for each in plan.pod.containers if each.spec.name == name)
        held = hold(reason, f"{text}; {choice.decision.message}", choice.from_bytes, request)
        self.rows[row] = Choice(held, choice.from_bytes, choice.purpose)
        self.again.add(row)

    def note(self, row: int, choice: Choice) -> None:
        """Remember a row's choice where it weighs more than what is there."""
        known = self.rows.get(row)
        if known is None or choice.weight > known.weight:
            self.rows[row] = choice
        if choice.decision.acts or choice.decision.reason in PASSING:
            self.again.add(row)


class Planner:
    """Plans one loop."""

    def __init__(
        self,
        situations: Situations,
        asks: Asks,
        changes: Mapping[PodContainer, float],
        routine_left: "RoutineBudget",
        since_seconds: float,
        pending: Container[GroupKey] = (),
    ) -> None:
        """`pending`: groups whose past could not be read back yet; nothing of theirs is lowered."""
        self._pending = pending
        self._situations = situations
        self._asks = asks
        self._changes = changes
        self._routine = routine_left
        self._since_seconds = since_seconds

    def plan(self, group: Group, profile: ProfileRecord | None, plans: Plans) -> None:
        """Decide about every container of every pod of a group."""
        for pod in group.pods.values():
            choices = {}
            for container in pod.containers:
                row = group.rows.get(container.spec.name)
                if row is None:
                    continue
                choice = self._choose(group, pod, container, row, profile)
                plans.note(row, choice)
                if choice.decision.acts:
                    choices[container.spec.name] = choice
            if choices:
                plans.pods.append(PodPlan(pod, group, choices))

    def _choose(
        self,
        group: Group,
        pod: PodRecord,
        container: ContainerRecord,
        row: int,
        profile: ProfileRecord | None,
    ) -> Choice:
        spec = container.spec
        if profile is None:
            text = "the profile that remembers the original resources is not written yet"
            return Choice(
                hold(UNWRITTEN, text, spec.limit_bytes, spec.request_bytes),
                spec.limit_bytes,
                Purpose.FORECAST,
            )
        uid = (pod.uid, spec.name)
        now_seconds = self._situations.now_seconds
        ask = restore_ask(profile, spec.name) or self._asks.for_pod(uid, row, now_seconds)
        if ask is None:
            ask = kill_ask(profile.container(spec.name), spec.limit_bytes, now_seconds)
        last = self._changes.get(uid, _change_before(profile, spec.name, self._since_seconds))
        situation = self._budgeted(self._situations.of(group, pod, container, last), group, row)
        decision = self._explained(guard(ask, situation), ask, row)
        purpose = ask.purpose if ask is not None else Purpose.FORECAST
        if decision.acts:
            self._promise(group, pod, container, decision, purpose)
        return Choice(decision, spec.limit_bytes, purpose)

    def _budgeted(self, situation: Situation, group: Group, row: int) -> Situation:
        policy = situation.policy
        if policy is None:
            return situation
        settled = situation.control.settled or self._asks.covered(row)
        settled = settled and (group.ref, group.node_class) not in self._pending
        left = self._routine.left(str(policy.policy), policy.resizes_per_hour)
        return replace(situation, control=replace(situation.control, routine_left=left, settled=settled))

    def _explained(self, decision: Decision, ask: Ask | None, row: int) -> Decision:
        """A hold for want of a recommendation says what the engine lacks."""
        why = self._asks.why_silent(row)
        if ask is None and why and decision.reason == "NoHistory":
            return replace(decision, reason=why, message=f"the engine holds this container: {why}")
        return decision

    def _promise(
        self, group: Group, pod: PodRecord, container: ContainerRecord, decision: Decision, purpose: Purpose
    ) -> None:
        spec = container.spec
        limit = (decision.limit_bytes or 0) - (spec.limit_bytes or 0)
        request = (decision.request_bytes or 0) - (spec.request_bytes or 0)
        self._situations.ledger.promise(pod.namespace, pod.kube_node, limit, request)
        policy = group.container_policy(spec.name)
        if purpose is Purpose.FORECAST and policy is not None:
            self._routine.spend(str(policy.policy))


class RoutineBudget:
    """How many routine changes rate and budget still give; an hour and a minute slide along."""

    def __init__(self, per_minute: int) -> None:
        self._per_minute = per_minute
        self._spent: dict[str, list[float]] = {}
        self._now_seconds = 0.0
        self._minute = 0

    def recall(self, group: Group, profile: ProfileRecord) -> None:
        """Count what a predecessor spent: its last routine change of each container, once for every pod."""
        for remembered in profile.containers:
            decision, policy = remembered.decision, group.container_policy(remembered.name)
            if policy is None or decision is None or not decision.acted or decision.at_seconds is None:
                continue
            if decision.reason == ROUTINE_REASON:
                times = self._spent.setdefault(str(policy.policy), [])
                times += [decision.at_seconds] * len(group.pods)

    def begin(self, now_seconds: float) -> None:
        """Start a loop: forget what is older than an hour."""
        self._now_seconds = now_seconds
        for name, times in list(self._spent.items()):
            kept = [each for each in times if 0 <= now_seconds - each < 3600.0]
            self._spent[name] = kept
        recent = (each for kept in self._spent.values() for each in kept if now_seconds - each < 60.0)
        self._minute = sum(1 for _ in recent)

    def left(self, policy: str, per_hour: int | None) -> int:
        """Changes that may still be made for a policy now."""
        rate = self._per_minute - self._minute
        if per_hour is None:
            return rate
        return min(rate, per_hour - len(self._spent.get(policy, ())))

    def spend(self, policy: str) -> None:
        """Count one change."""
        self._spent.setdefault(policy, []).append(self._now_seconds)
        self._minute += 1


def restore_ask(profile: ProfileRecord, container: str) -> Ask | None:
    """The original resources of a container, where a person asked for them back."""
    if not profile.restore:
        return None
    remembered = profile.container(container)
    if remembered is None or remembered.original is None:
        return None
    limit, request = remembered.original
    return Ask(limit, request, purpose=Purpose.RESTORE, reason="Restored")


def kill_ask(
    remembered: RememberedContainer | None, limit_bytes: int | None, now_seconds: float
) -> Ask | None:
    """What a kill of the last day taught, for a pod that has less: all there is of a short history."""
    if remembered is None or remembered.oom_floor_bytes is None or remembered.oom_seconds is None:
        return None
    recent = abs(now_seconds - remembered.oom_seconds) <= GuardSettings().oom_memory_seconds
    if not recent or limit_bytes is None or limit_bytes >= remembered.oom_floor_bytes:
        return None
    return Ask(remembered.oom_floor_bytes, None, purpose=Purpose.URGENT, reason="OomRemembered")


def move_ask(
    remembered: RememberedContainer | None, limit_bytes: int | None, now_seconds: float
) -> Ask | None:
    """What a pod was evicted for in the last day, for a new pod that would start with less."""
    if remembered is None or remembered.moved is None or limit_bytes is None:
        return None
    wanted, when = remembered.moved
    if limit_bytes >= wanted or not abs(now_seconds - when) <= MOVED_SECONDS:
        return None
    return Ask(wanted, None, purpose=Purpose.URGENT, reason="Moved")


def _change_before(profile: ProfileRecord, container: str, since_seconds: float) -> float | None:
    """When a predecessor last changed this container: what a restart or a change of leaders leaves of the
    cooldown.

    What this process has changed it knows pod by pod; the profile only knows that some pod was changed.
    """
    remembered = profile.container(container)
    decision = remembered.decision if remembered is not None else None
    if decision is None or not decision.acted or decision.at_seconds is None:
        return None
    return decision.at_seconds if decision.at_seconds < since_seconds else None
