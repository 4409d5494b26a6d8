"""Acting: plans become writes, resizes are followed to an end, profiles and policies are kept.

In: plans and the world of one loop. Out: writes through the fenced API, each with its event, metric and log
line. The order is that of a crash: originals and OOM kills are on record before a pod is touched. A plan may
wait, behind others and between attempts: what of it still holds is asked anew directly before each attempt.
Writes to one pod go one after the other, so that a fall on its way never lands on a raise made meanwhile.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum, auto
from weakref import WeakValueDictionary

from plimsoll.api.precedence import EffectivePolicy
from plimsoll.guard.decision import DecisionKind
from plimsoll_operator import parse
from plimsoll_operator.actuate.api import ApiError, Body, KubeApi, MemoryValues, PodRef
from plimsoll_operator.actuate.events import Events
from plimsoll_operator.actuate.evict import Evictions
from plimsoll_operator.actuate.resize import (
    REFUSAL_SECONDS,
    SWAP_WORDS,
    Expectation,
    Expectations,
    Patience,
    Verdict,
    asked_by_us,
    pins,
    still_asks,
    values_in_force,
    verdict,
)
from plimsoll_operator.actuate.retry import persistently
from plimsoll_operator.engine.messages import PodContainer
from plimsoll_operator.leader import NotLeaderError
from plimsoll_operator.membership import Group
from plimsoll_operator.planning import MOVED_SECONDS, PodPlan
from plimsoll_operator.records import PodRecord, ProfileRecord
from plimsoll_operator.serve.metrics import Metrics
from plimsoll_operator.situations import Learned

logger = logging.getLogger(__name__)

WRITES_AT_ONCE = 8  # each takes the event loop 2 to 3 ms; together they must stay under 50
BeforeUrgent = Callable[[Group], Awaitable[None]]
BeforeMove = Callable[[Group], Awaitable[bool]]
Still = Callable[[PodPlan], PodPlan]
"""What of a plan may be written now; a plan without choices where nothing may."""


@dataclass(frozen=True, slots=True)
class Acted:
    """What became of plans: in neither is what was withheld at the last moment.

    `unanswered`: written or not, for an answer was lost.
    """

    written: list[PodPlan]
    failed: list[PodPlan]
    unanswered: list[PodPlan]


class _Outcome(Enum):
    WRITTEN = auto()
    FAILED = auto()
    UNANSWERED = auto()


class _WithheldError(Exception):
    """Nothing of a plan may be written any more."""


@dataclass(slots=True)
class Actor:
    """Everything that writes to pods."""

    api: KubeApi
    events: Events
    evictions: Evictions
    metrics: Metrics
    patience: Patience
    learned: Learned = field(default_factory=Learned)
    expectations: Expectations = field(default_factory=Expectations)
    changes: dict[PodContainer, float] = field(default_factory=dict)  # when we last changed it
    asked: dict[PodContainer, MemoryValues] = field(default_factory=dict)  # and what we asked for then
    _turns: WeakValueDictionary[str, asyncio.Lock] = field(default_factory=WeakValueDictionary)  # by pod uid

    async def act(
        self,
        plans: Iterable[PodPlan],
        now_seconds: float,
        before_urgent: BeforeUrgent,
        still: Still = lambda plan: plan,
    ) -> Acted:
        """Carry out plans, the urgent ones first; returns them as they were written, or tried last."""
        ordered = sorted(plans, key=lambda each: not each.urgent)
        await self._record_first(ordered, before_urgent)
        gate = asyncio.Semaphore(WRITES_AT_ONCE)

        async def one(plan: PodPlan) -> tuple[PodPlan, _Outcome]:
            async with gate:
                return await self._resize(plan, now_seconds, still)

        tried = await asyncio.gather(*(one(each) for each in ordered))
        return Acted(
            [plan for plan, came in tried if came is _Outcome.WRITTEN and plan.choices],
            [plan for plan, came in tried if came is _Outcome.FAILED and plan.choices],
            [plan for plan, came in tried if came is _Outcome.UNANSWERED and plan.choices],
        )

    async def follow(
        self,
        pod: PodRecord,
        group: Group,
        profile: ProfileRecord | None,
        now_seconds: float,
        before_move: BeforeMove,
    ) -> None:
        """Bring a resize of ours that is under way to an end; `profile` tells of our predecessor's.

        What a pod is evicted for is on record (`before_move`) before it is: else its successor would start
        with what it had, and be evicted in its turn.
        """
        refusal = self.evictions.refusal(pod, group, now_seconds) or moved_in_vain(pod, profile, now_seconds)
        found = verdict(pod, now_seconds, self.patience, may_evict=not refusal)
        if found is Verdict.WAIT or pod.resize is None or not self._ours(pod, profile):
            return
        logger.warning(
            "resize of %s/%s is %s: %s -> %s",
            pod.namespace,
            pod.name,
            pod.resize.status.value,
            pod.resize.message,
            found.value,
        )
        if found is Verdict.EVICT:
            self._note_move(pod, group, now_seconds)
            if not await before_move(group):
                logger.info("%s/%s not evicted: the profile could not be written", pod.namespace, pod.name)
                return
            said = f"a resize in place is not possible: {pod.resize.message}"
            await self.evict(pod, group, "Evicted", said, now_seconds)
            return
        if found is Verdict.LEARN:
            self._learn(pod)
        # Where it may be evicted later, the gate lets a raise through again: not before some time has passed.
        recreates = isinstance(group.policy, EffectivePolicy) and group.policy.mode.recreates
        if found is not Verdict.LEARN or (recreates and pins(pod.resize.message)):
            self.learned.refusals[pod.uid] = (pod.resize.message, now_seconds + REFUSAL_SECONDS)
        await self._take_back(pod, now_seconds)

    def keep_only(self, present: set[str], now_seconds: float) -> None:
        """Forget pods that are gone, and what is long past."""
        self.expectations.keep_only(present)
        self.changes = {uid: when for uid, when in self.changes.items() if uid[0] in present}
        self.asked = {uid: values for uid, values in self.asked.items() if uid[0] in present}
        moved = self.learned.moved
        self.learned.moved = {k: each for k, each in moved.items() if now_seconds - each[1] < MOVED_SECONDS}
        kept = self.learned.refusals
        self.learned.refusals = {uid: each for uid, each in kept.items() if uid in present}

    async def _record_first(self, plans: Iterable[PodPlan], before_urgent: BeforeUrgent) -> None:
        groups = {id(each.group): each.group for each in plans if each.urgent}
        await asyncio.gather(*(before_urgent(group) for group in groups.values()))

    async def _resize(self, plan: PodPlan, now_seconds: float, still: Still) -> tuple[PodPlan, _Outcome]:
        """Write a plan; returns it as it was written or tried last, and what came of it."""
        whole, failed = plan, _Outcome.FAILED

        async def attempt() -> Body:
            nonlocal plan, failed
            async with self._turn(whole.pod.uid):
                plan = still(whole)
                if not plan.choices:
                    raise _WithheldError
                try:
                    return await self.api.resize(plan.ref, plan.values)
                except ApiError as error:
                    if error.unanswered:
                        failed = _Outcome.UNANSWERED
                        self._asked_for(plan)
                    raise

        try:
            body = await persistently(attempt)
        except _WithheldError:
            return plan, failed
        except NotLeaderError as error:
            logger.info("not written: %s", error)
            return plan, failed
        except ApiError as error:
            await self._refused(plan, error, _direction(plan), now_seconds)
            return plan, failed
        await self._written(plan, body, now_seconds)
        return plan, _Outcome.WRITTEN

    def _asked_for(self, plan: PodPlan) -> None:
        """A resize that is found under way with these values is our own."""
        self.asked.update({(plan.pod.uid, name): values for name, values in plan.values.items()})

    def _turn(self, pod_uid: str) -> asyncio.Lock:
        """Whose turn it is to write to a pod; forgotten when nobody waits for it."""
        return self._turns.setdefault(pod_uid, asyncio.Lock())

    async def _written(self, plan: PodPlan, body: Body, now_seconds: float) -> None:
        version = parse.version(body.get("metadata") or {})
        self.expectations.wrote(plan.pod.uid, Expectation(version, plan.values, now_seconds))
        self.metrics.count("plimsoll_resizes_total", direction=_direction(plan), outcome="accepted")
        self._asked_for(plan)
        for name, choice in plan.choices.items():
            self.changes[plan.pod.uid, name] = now_seconds
            note = f"container {name}: {choice.decision.message}"
            _log_choice(plan, name, note)
            await self.events.say(plan.ref, choice.decision.reason, note, now_seconds)

    async def _refused(self, plan: PodPlan, error: ApiError, direction: str, now_seconds: float) -> None:
        if error.missing or error.conflict:
            logger.info("pod %s went or changed before it could be resized: %s", plan.ref, error)
            outcome = "failed"
        elif error.passing:
            logger.warning("resize of pod %s not written, tried again in the next loop: %s", plan.ref, error)
            outcome = "failed"
        else:
            logger.warning("resize of pod %s refused: %s", plan.ref, error)
            why = f"the API server refused the resize: {error.message}"
            self.learned.refusals[plan.pod.uid] = (why, now_seconds + REFUSAL_SECONDS)
            await self.events.say(plan.ref, "ResizeRefused", why, now_seconds, "Warning")
            outcome = "refused"
        self.metrics.count("plimsoll_resizes_total", direction=direction, outcome=outcome)

    def _ours(self, pod: PodRecord, profile: ProfileRecord | None) -> bool:
        """True where the resize is one we asked for, before or after a restart; a person's own is left to
        the person.
        """
        for each in pod.containers:
            values = self.asked.get((pod.uid, each.spec.name))
            if values is not None and still_asks(each, values):
                return True
        return profile is not None and any(asked_by_us(pod, each) for each in profile.containers)

    def _note_move(self, pod: PodRecord, group: Group, now_seconds: float) -> None:
        for each in pod.containers:
            asked, actual = each.spec.limit_bytes, each.actual_limit_bytes
            if each.spec.name in group.rows and asked is not None and actual is not None and asked > actual:
                self.learned.moved[(group.ref, group.node_class), each.spec.name] = (asked, now_seconds)

    def _learn(self, pod: PodRecord) -> None:
        message = pod.resize.message.lower() if pod.resize is not None else ""
        nodes = self.learned.swapping if SWAP_WORDS in message else self.learned.pinning
        nodes.add(pod.kube_node)

    async def _take_back(self, pod: PodRecord, now_seconds: float) -> None:
        values = values_in_force(pod)
        if not values:
            return
        ref = PodRef(pod.namespace, pod.name, pod.uid)
        try:
            async with self._turn(pod.uid):
                body = await persistently(lambda: self.api.resize(ref, values))
        except (ApiError, NotLeaderError) as error:
            logger.warning("resize of pod %s not taken back: %s", ref, error)
            return
        version = parse.version(body.get("metadata") or {})
        self.expectations.wrote(pod.uid, Expectation(version, values, now_seconds))
        message = pod.resize.message if pod.resize is not None else ""
        await self.events.say(
            ref, "ResizeTakenBack", f"back to what is in force: {message}", now_seconds, "Warning"
        )

    async def may_evict(self, pod: PodRecord) -> bool:
        """Whether the API server would let a pod be evicted now; nothing is done."""
        try:
            await self.api.evict(PodRef(pod.namespace, pod.name, pod.uid), dry_run=True)
        except (ApiError, NotLeaderError) as error:
            logger.info("pod %s/%s would not be evicted: %s", pod.namespace, pod.name, error)
            return False
        return True

    async def evict(
        self, pod: PodRecord, group: Group, reason: str, message: str, now_seconds: float
    ) -> bool:
        """Evict a pod that `Evictions.refusal` lets go, and say why; False where it was refused, as a
        disruption budget may.
        """
        ref = PodRef(pod.namespace, pod.name, pod.uid)
        try:
            await self.api.evict(ref)
        except (ApiError, NotLeaderError) as error:
            budget = isinstance(error, ApiError) and error.status == 429
            self.metrics.count("plimsoll_evictions_total", outcome="budget" if budget else "failed")
            logger.info("pod %s not evicted: %s", ref, error)
            return False
        self.evictions.count(group, now_seconds)
        self.metrics.count("plimsoll_evictions_total", outcome="accepted")
        await self.events.say(ref, reason, message, now_seconds, "Warning")
        return True


def resizing(groups: Iterable[Group]) -> Mapping[str, tuple[PodRecord, Group]]:
    """Pods of some groups whose resize has not come to an end."""
    return {
        pod.uid: (pod, group) for group in groups for pod in group.pods.values() if pod.resize is not None
    }


def moved_in_vain(pod: PodRecord, profile: ProfileRecord | None, now_seconds: float) -> str:
    """Why a pod is not evicted once more: it was born after such an eviction and still has less; else ""."""
    for each in pod.containers:
        known = profile.container(each.spec.name) if profile is not None else None
        if known is None or known.moved is None or each.started_seconds is None:
            continue
        limit, when = known.moved
        less = each.actual_limit_bytes is not None and each.actual_limit_bytes < limit
        if less and each.started_seconds > when and now_seconds - when < REFUSAL_SECONDS:
            return "the last eviction did not give the new pod its limit"
    return ""


def _direction(plan: PodPlan) -> str:
    raises = any(each.decision.kind is DecisionKind.RAISE for each in plan.choices.values())
    return "raise" if raises else "lower"


def _log_choice(plan: PodPlan, name: str, note: str) -> None:
    choice = plan.choices[name]
    extra = {
        "pod": str(plan.ref),
        "workload": str(plan.group.ref),
        "container": name,
        "decision": choice.decision.kind.value,
        "reason": choice.decision.reason,
        "from_bytes": choice.from_bytes,
        "limit_bytes": choice.decision.limit_bytes,
    }
    logger.info("%s", note, extra=extra)
